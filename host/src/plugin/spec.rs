use std::str::FromStr;

use super::{FailurePolicy, Grants, Limits, Restarts, Storage};

/// A plugin that somebody asked for: `FILE[,key=value…]` on the command line, or a `[[plugin]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSpec {
    /// Path of a component, or its file name in a plugin directory or among the stock plugins.
    pub file: String,
    /// The plugin's own configuration, in the order in which it was written.
    pub config: Vec<(String, String)>,
    /// What it may use.
    pub limits: Limits,
    /// What of the host it may call. Stock plugins have what they need, whatever is here.
    pub grants: Grants,
    /// How often it may fail before it is left alone for a while.
    pub restarts: Restarts,
    /// What viewers get meanwhile.
    pub failure_policy: FailurePolicy,
    /// Where what it stores is kept.
    pub storage: Storage,
}

impl PluginSpec {
    /// The plugin in `file` with nothing set and nothing granted.
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            config: Vec::new(),
            limits: Limits::default(),
            grants: Grants::default(),
            restarts: Restarts::default(),
            failure_policy: FailurePolicy::default(),
            storage: Storage::default(),
        }
    }
}

/// Why an argument of `--plugin` can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// There is nothing before the first comma.
    #[error("`{0}` names no plugin; write FILE or FILE,key=value")]
    NoFile(String),
    /// A pair has no `=`.
    #[error(
        "`{pair}` in `{argument}` sets nothing; write {pair}=VALUE, and `,,` for a comma that belongs to a value"
    )]
    NoValue {
        /// The argument.
        argument: String,
        /// The part of it that is no pair.
        pair: String,
    },
    /// A pair begins with `=`, or is empty.
    #[error("`{pair}` in `{argument}` has no key; write key=value, as in part-ms=100")]
    NoKey {
        /// The argument.
        argument: String,
        /// The part of it that is no pair.
        pair: String,
    },
}

impl FromStr for PluginSpec {
    type Err = SpecError;

    /// Reads `FILE[,key=value…]`. `,,` stands for a comma, in the file's name as well as in values.
    fn from_str(argument: &str) -> Result<Self, SpecError> {
        let mut items = split(argument).into_iter();
        let file = items.next().unwrap_or_default();
        if file.is_empty() {
            return Err(SpecError::NoFile(argument.to_owned()));
        }
        let mut spec = Self::new(file);
        for pair in items {
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) => (key.trim(), value),
                None if pair.trim().is_empty() => ("", ""),
                None => {
                    return Err(SpecError::NoValue {
                        argument: argument.to_owned(),
                        pair,
                    });
                }
            };
            if key.is_empty() {
                return Err(SpecError::NoKey {
                    argument: argument.to_owned(),
                    pair,
                });
            }
            spec.config.push((key.to_owned(), value.to_owned()));
        }
        Ok(spec)
    }
}

/// Splits at single commas, and makes one comma of two.
fn split(argument: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut rest = argument.chars().peekable();
    while let Some(c) = rest.next() {
        let last = items.last_mut().expect("there is always a last item");
        if c != ',' {
            last.push(c);
        } else if rest.next_if_eq(&',').is_some() {
            last.push(',');
        } else {
            items.push(String::new());
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(argument: &str) -> Result<PluginSpec, String> {
        argument
            .parse()
            .map_err(|error: SpecError| error.to_string())
    }

    fn pairs(argument: &str) -> Vec<(String, String)> {
        parse(argument).unwrap().config
    }

    #[test]
    fn a_file_alone_sets_nothing() {
        assert_eq!(parse("ll-hls.wasm"), Ok(PluginSpec::new("ll-hls.wasm")));
    }

    #[test]
    fn pairs_keep_their_order_and_two_commas_are_one() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            pairs("a.wasm,part-ms=100,title=one,, two=three,empty="),
            [
                pair("part-ms", "100"),
                pair("title", "one, two=three"),
                pair("empty", "")
            ]
        );
        assert_eq!(parse("dir,,name.wasm").unwrap().file, "dir,name.wasm");
        assert_eq!(
            pairs("a,k=,,,l=2"),
            [pair("k", ","), pair("l", "2")],
            "a comma, then a separator"
        );
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        assert!(parse("").unwrap_err().contains("write FILE"));
        assert!(parse(",a=b").unwrap_err().contains("names no plugin"));
        let error = parse("a.wasm,part-ms").unwrap_err();
        assert!(error.contains("write part-ms=VALUE"), "{error}");
        assert!(parse("a.wasm,=1").unwrap_err().contains("has no key"));
        assert!(parse("a.wasm,a=1,").unwrap_err().contains("has no key"));
    }
}
