use crate::{KeyValue, text};

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
        let Some(written) = self.get(number.key) else {
            return Ok(number.default);
        };
        number
            .parse(written)
            .filter(|value| (number.range.0..=number.range.1).contains(value))
            .ok_or_else(|| number.refuse(written))
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

/// A number that the configuration may set. Declared once, it is parsed, checked, defaulted and described alike.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    pub(crate) key: &'static str,
    default: u64,
    range: (u64, u64),
    thousandths: bool,
    unit: &'static str,
    help: &'static str,
}

impl Number {
    /// A whole number; `range` includes both its ends.
    pub const fn whole(
        key: &'static str,
        default: u64,
        range: (u64, u64),
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            key,
            default,
            range,
            thousandths: false,
            unit,
            help,
        }
    }

    /// A number with up to three decimals. `default`, `range` and the value that comes out are in thousandths.
    ///
    /// ```
    /// use picam_plugin::{Config, Number};
    ///
    /// const HOLD_BACK: Number = Number::thousandths("hold-back", 3_000, (3_000, 30_000), "part targets", "distance");
    ///
    /// assert_eq!(Config::from([("hold-back", "3.25")]).number(&HOLD_BACK), Ok(3_250));
    /// assert!(Config::from([("hold-back", "2.999")]).number(&HOLD_BACK).is_err());
    /// ```
    pub const fn thousandths(
        key: &'static str,
        default: u64,
        range: (u64, u64),
        unit: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            thousandths: true,
            ..Self::whole(key, default, range, unit, help)
        }
    }

    fn parse(&self, written: &str) -> Option<u64> {
        let (whole, decimals) = match written.split_once('.') {
            None => (written, ""),
            Some((whole, decimals)) if self.thousandths && matches!(decimals.len(), 1..=3) => {
                (whole, decimals)
            }
            Some(_) => return None,
        };
        let mut value = text::parse_whole(whole)?;
        if self.thousandths {
            value = value.checked_mul(1_000)?;
            if !decimals.is_empty() {
                let scale = [100, 10, 1][decimals.len() - 1];
                value = value.checked_add(text::parse_whole(decimals)? * scale)?;
            }
        }
        Some(value)
    }

    fn push(&self, out: &mut String, value: u64) {
        if self.thousandths {
            text::push_thousandths(out, value, 0);
        } else {
            text::push_whole(out, value);
        }
    }

    pub(crate) fn default_text(&self) -> String {
        let mut out = String::new();
        self.push(&mut out, self.default);
        out
    }

    /// Help, unit and range in one line.
    pub(crate) fn help_text(&self) -> String {
        let mut out = String::from(self.help);
        out.push_str(", ");
        self.push(&mut out, self.range.0);
        out.push_str(" to ");
        self.push(&mut out, self.range.1);
        out.push(' ');
        out.push_str(self.unit);
        out
    }

    fn refuse(&self, written: &str) -> String {
        let mut out = String::from(self.key);
        out.push('=');
        out.push_str(written);
        out.push_str(": expected a ");
        out.push_str(if self.thousandths {
            "number with at most three decimals"
        } else {
            "whole number"
        });
        out.push_str(" from ");
        self.push(&mut out, self.range.0);
        out.push_str(" to ");
        self.push(&mut out, self.range.1);
        out.push_str(" (");
        out.push_str(self.unit);
        out.push_str("), as in ");
        out.push_str(self.key);
        out.push('=');
        self.push(&mut out, self.default);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Number = Number::whole("window-s", 30, (6, 3_600), "s", "how much is listed");
    const SPEED: Number = Number::thousandths("speed", 1_500, (500, 10_000), "times", "how fast");

    fn set(number: &Number, value: &str) -> Result<u64, String> {
        Config::from([(number.key, value)]).number(number)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(
            Config::from([("other", "1")]).number(&WINDOW),
            Ok(WINDOW.default)
        );
    }

    #[test]
    fn both_ends_of_the_range_are_accepted_and_nothing_beyond() {
        assert_eq!(set(&WINDOW, "6"), Ok(6));
        assert_eq!(set(&WINDOW, "3600"), Ok(3_600));
        assert!(set(&WINDOW, "5").is_err());
        assert!(set(&WINDOW, "3601").is_err());
    }

    #[test]
    fn what_is_no_number_is_refused_with_what_would_be_accepted() {
        for value in ["", "-6", "+6", "6s", "6.0", " 6", "99999999999999999999"] {
            let error = set(&WINDOW, value).unwrap_err();
            assert!(error.starts_with("window-s="), "{error}");
            assert!(
                error.ends_with("a whole number from 6 to 3600 (s), as in window-s=30"),
                "{error}"
            );
        }
    }

    #[test]
    fn decimals_are_thousandths() {
        assert_eq!(set(&SPEED, "2"), Ok(2_000));
        assert_eq!(set(&SPEED, "2.5"), Ok(2_500));
        assert_eq!(set(&SPEED, "2.05"), Ok(2_050));
        assert_eq!(set(&SPEED, "2.005"), Ok(2_005));
        for value in ["2.", ".5", "2.0005", "2,5", "2.-1", "18446744073709551615"] {
            let error = set(&SPEED, value).unwrap_err();
            assert!(
                error.ends_with("from 0.5 to 10 (times), as in speed=1.5"),
                "{error}"
            );
        }
    }

    #[test]
    fn help_states_range_and_unit() {
        assert_eq!(WINDOW.help_text(), "how much is listed, 6 to 3600 s");
        assert_eq!(SPEED.default_text(), "1.5");
    }
}
