use super::suggest::{list, suggest};

/// What of the host a plugin may call. `log` needs no grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The wall clock.
    pub clock: bool,
    /// Random bytes.
    pub random: bool,
    /// The small store that survives reloads.
    pub kv: bool,
    /// Figures of its own on the operator's `/metrics`.
    pub metrics: bool,
}

impl Grants {
    /// The names of all grants, as configuration writes them.
    pub const NAMES: [&str; 4] = ["clock", "random", "kv", "metrics"];

    /// All of them.
    pub const ALL: Self = Self {
        clock: true,
        random: true,
        kv: true,
        metrics: true,
    };

    /// These and one more, of [`Grants::NAMES`].
    pub(super) fn with(mut self, name: &'static str) -> Self {
        self.add(name)
            .expect("it is one of the names that there are");
        self
    }

    /// Adds the grant of this name. An unknown name is an error that says which there are.
    pub fn add(&mut self, name: &str) -> Result<(), UnknownGrant> {
        match name {
            "clock" => self.clock = true,
            "random" => self.random = true,
            "kv" => self.kv = true,
            "metrics" => self.metrics = true,
            _ => return Err(UnknownGrant(name.to_owned())),
        }
        Ok(())
    }

    /// Whether the grant of this name is held. Names that are none are not.
    pub fn has(&self, name: &str) -> bool {
        match name {
            "clock" => self.clock,
            "random" => self.random,
            "kv" => self.kv,
            "metrics" => self.metrics,
            _ => false,
        }
    }
}

/// There is no grant of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownGrant(String);

impl std::error::Error for UnknownGrant {}

impl std::fmt::Display for UnknownGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no grant `{}`", self.0)?;
        match suggest(&self.0, Grants::NAMES) {
            Some(meant) => write!(f, "; did you mean `{meant}`?")?,
            None => write!(f, ".")?,
        }
        write!(f, " A plugin can be granted {}", list(Grants::NAMES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_grant_and_others_are_told_what_there_is() {
        let mut grants = Grants::default();
        for name in Grants::NAMES {
            assert!(!grants.has(name));
            grants.add(name).unwrap();
            assert!(grants.has(name));
        }
        assert_eq!(grants, Grants::ALL);
        let error = grants.add("metric").unwrap_err().to_string();
        assert!(error.contains("did you mean `metrics`?"), "{error}");
    }
}
