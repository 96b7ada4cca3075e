use std::{fmt, str::FromStr};

/// The longest name that the host lets a plugin call itself.
const LONGEST: usize = 40;

/// Names that would stand in the way of a crate of the compiler's own, or of the SDK.
const TAKEN: [&str; 6] = ["alloc", "core", "picam-plugin", "proc-macro", "std", "test"];

/// Words that can't name a Rust crate.
const KEYWORDS: [&str; 50] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "yield",
];

/// Name of a plugin, fit for a file, a crate, and a world of the contract: words of lower-case letters and digits, each
/// beginning with a letter, with `-` between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

/// Why something is no name.
#[derive(Debug, thiserror::Error)]
#[error("{why}{}", suggestion(.suggested))]
pub(super) struct BadName {
    why: &'static str,
    suggested: Option<String>,
}

fn suggestion(suggested: &Option<String>) -> String {
    match suggested {
        Some(name) => format!("; `{name}` would do"),
        None => "; a name is like my-plugin".to_owned(),
    }
}

impl Name {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// As in `my_plugin`.
    pub(super) fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// As in `MyPlugin`.
    pub(super) fn camel(&self) -> String {
        self.0
            .split('-')
            .flat_map(|word| {
                let (first, rest) = word.split_at(1);
                [first.to_ascii_uppercase(), rest.to_owned()]
            })
            .collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(given: &str) -> Result<Self, BadName> {
        match problem(given) {
            None => Ok(Self(given.to_owned())),
            Some(why) => Err(BadName {
                why,
                suggested: mended(given),
            }),
        }
    }
}

fn problem(name: &str) -> Option<&'static str> {
    let words = || name.split('-');
    if name.is_empty() {
        Some("the name is empty")
    } else if name.len() > LONGEST {
        Some("a name has 40 letters at most")
    } else if !name
        .bytes()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    {
        Some("a name is made of lower-case letters, digits and `-`")
    } else if words().any(|word| !word.starts_with(|c: char| c.is_ascii_lowercase())) {
        Some("each word of a name begins with a letter")
    } else if TAKEN.contains(&name) || KEYWORDS.contains(&name) {
        Some("that word means something to the compiler")
    } else {
        None
    }
}

/// The name that was probably meant.
fn mended(given: &str) -> Option<String> {
    let words: Vec<_> = given
        .to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            word.trim_start_matches(|c: char| c.is_ascii_digit())
                .to_owned()
        })
        .filter(|word| !word.is_empty())
        .collect();
    let name = words.join("-");
    let name = match problem(&name) {
        None => name,
        Some(_) => format!("my-{name}"),
    };
    problem(&name).is_none().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(given: &str) -> String {
        given.parse::<Name>().unwrap_err().to_string()
    }

    #[test]
    fn a_name_has_a_form_for_each_language() {
        let name: Name = "my-2d-plugin".replace("2d", "d2").parse().unwrap();
        assert_eq!(name.as_str(), "my-d2-plugin");
        assert_eq!(name.snake(), "my_d2_plugin");
        assert_eq!(name.camel(), "MyD2Plugin");
    }

    #[test]
    fn what_is_no_name_is_told_with_one_that_would_do() {
        assert!(error("My Plugin").contains("`my-plugin` would do"));
        assert!(error("../etc").contains("`etc` would do"));
        assert!(error("-x").contains("`x` would do"));
        assert!(error("a--b").contains("`a-b` would do"));
        assert!(error("3d").contains("`d` would do"));
        assert!(error("self").contains("`my-self` would do"));
        assert!(error("test").contains("`my-test` would do"));
        assert!(error("").contains("like my-plugin"));
        assert!(error(&"x".repeat(41)).contains("40"));
    }
}
