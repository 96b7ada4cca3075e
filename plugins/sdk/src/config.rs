use crate::{Choice, Flag, KeyValue, Number, Words};

/// The configuration of a plugin: what a person wrote behind `--plugin FILE,` or in the TOML.
///
/// ```
/// use picam_plugin::{Config, Number};
///
/// const PART: Number = Number::whole("part-ms", 200, (20, 5_000), "ms", "longest length of a part");
///
/// assert_eq!(Config::from([("part-ms", "100")]).number(&PART), Ok(100));
/// assert_eq!(Config::default().number(&PART), Ok(200));
/// assert_eq!(
///     Config::from([("part-ms", "fast")]).number(&PART).unwrap_err(),
///     "part-ms=fast: expected a whole number from 20 to 5000 (ms), as in part-ms=200",
/// );
/// ```
#[derive(Clone, Debug, Default)]
pub struct Config(Vec<KeyValue>);

impl Config {
    /// From the list of the contract.
    pub fn new(pairs: Vec<KeyValue>) -> Self {
        Self(pairs)
    }

    /// The value of `key` as it was written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|pair| pair.key == key)
            .map(|pair| pair.value.as_str())
    }

    /// The value of a number, or its default.
    ///
    /// # Errors
    /// A line that says what would be accepted, fit to be returned from [`Plugin::start`](crate::Plugin::start).
    pub fn number(&self, number: &Number) -> Result<u64, String> {
        self.get(number.key)
            .map_or(Ok(number.default), |written| number.read(written))
    }

    /// The value of a flag, or its default.
    ///
    /// # Errors
    /// As [`number`](Self::number).
    pub fn flag(&self, flag: &Flag) -> Result<bool, String> {
        self.get(flag.key)
            .map_or(Ok(flag.default), |written| flag.read(written))
    }

    /// The value of a choice, or its default.
    ///
    /// # Errors
    /// As [`number`](Self::number).
    pub fn choice<T: Copy>(&self, choice: &Choice<T>) -> Result<T, String> {
        choice.read(self.get(choice.key).unwrap_or(choice.default))
    }

    /// Free text, or its default.
    pub fn words<'a>(&'a self, words: &Words) -> &'a str {
        self.get(words.key).unwrap_or(words.default)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Config {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(key, value)| KeyValue {
                    key: (*key).into(),
                    value: (*value).into(),
                })
                .collect(),
        )
    }
}
