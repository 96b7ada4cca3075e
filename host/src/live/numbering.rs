use std::fmt;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An init segment.
    Init,
    /// A whole segment.
    Segment,
    /// A part of a segment.
    Part,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Init, Self::Segment, Self::Part];

    /// What surrounds the number in a built-in name.
    fn around(self) -> (&'static str, &'static str) {
        match self {
            Self::Init => ("init-", ".mp4"),
            Self::Segment => ("segment-", ".m4s"),
            Self::Part => ("part-", ".m4s"),
        }
    }

    /// The built-in name of an object of this kind.
    pub(super) fn numbered(self, number: impl fmt::Display) -> String {
        let (before, after) = self.around();
        format!("{before}{number}{after}")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "init segment",
            Self::Segment => "segment",
            Self::Part => "part",
        })
    }
}

/// Of which object this is the built-in name. Names of this shape belong to the host: none of them ever stands for
/// anything else, so numbering can always be fallen back on, and caches may keep what has such a name for good.
pub fn numbered(name: &str) -> Option<(Kind, u64)> {
    Kind::ALL.into_iter().find_map(|kind| {
        let (before, after) = kind.around();
        let number = name.strip_prefix(before)?.strip_suffix(after)?;
        // `part-007.m4s` is not how we write it.
        let number = number
            .parse()
            .ok()
            .filter(|n: &u64| n.to_string() == number)?;
        Some((kind, number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_in_name_tells_its_object_and_nothing_else_looks_like_one() {
        for kind in Kind::ALL {
            for number in [0, 7, u64::MAX] {
                assert_eq!(numbered(&kind.numbered(number)), Some((kind, number)));
            }
        }
        for other in [
            "part-.m4s",
            "part-07.m4s",
            "part-+7.m4s",
            "part-7.mp4",
            "a/part-7.m4s",
            "part-18446744073709551616.m4s",
            "Part-7.m4s",
        ] {
            assert_eq!(numbered(other), None, "{other}");
        }
    }
}
