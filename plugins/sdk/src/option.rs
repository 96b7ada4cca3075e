use crate::text;

/// A number that the configuration may set. Declared once, it is parsed, checked, defaulted and described alike.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    pub(crate) key: &'static str,
    pub(crate) default: u64,
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

    pub(crate) fn read(&self, written: &str) -> Result<u64, String> {
        self.parse(written)
            .filter(|value| (self.range.0..=self.range.1).contains(value))
            .ok_or_else(|| self.refuse(written))
    }

    fn parse(&self, written: &str) -> Option<u64> {
        // Byte by byte, and without indexing: what `str` has for either weighs more than all of this.
        let (whole, decimals) = match written.bytes().position(|byte| byte == b'.') {
            None => (written, ""),
            Some(at) if self.thousandths && matches!(written.len() - at, 2..=4) => {
                (written.get(..at)?, written.get(at + 1..)?)
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

/// Something that is on or off.
///
/// ```
/// use picam_plugin::{Config, Flag};
///
/// const SECURE: Flag = Flag::new("secure", false, "cookies travel over HTTPS only");
///
/// assert_eq!(Config::from([("secure", "yes")]).flag(&SECURE), Ok(true));
/// assert_eq!(Config::default().flag(&SECURE), Ok(false));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub(crate) key: &'static str,
    pub(crate) default: bool,
    pub(crate) help: &'static str,
}

impl Flag {
    /// A flag. It is written as `yes` or `no` (or `true` or `false`, as TOML has it).
    pub const fn new(key: &'static str, default: bool, help: &'static str) -> Self {
        Self { key, default, help }
    }

    pub(crate) fn read(&self, written: &str) -> Result<bool, String> {
        match written {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            _ => Err(text::joined(&[
                self.key,
                "=",
                written,
                ": expected yes or no",
            ])),
        }
    }

    pub(crate) fn default_text(&self) -> &'static str {
        if self.default { "yes" } else { "no" }
    }

    pub(crate) fn help_text(&self) -> String {
        text::joined(&[self.help, ", yes or no"])
    }
}

/// One of several words.
///
/// ```
/// use picam_plugin::{Choice, Config, overlay::Anchor};
///
/// const WHERE: Choice<Anchor> = Choice::new("where", "top-left", &Anchor::NAMES, "where the text stands");
///
/// assert_eq!(Config::from([("where", "bottom")]).choice(&WHERE), Ok(Anchor::Bottom));
/// assert!(Config::from([("where", "nowhere")]).choice(&WHERE).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Choice<T: 'static> {
    pub(crate) key: &'static str,
    pub(crate) default: &'static str,
    options: &'static [(&'static str, T)],
    help: &'static str,
}

impl<T: Copy> Choice<T> {
    /// A choice; `default` is one of the words.
    pub const fn new(
        key: &'static str,
        default: &'static str,
        options: &'static [(&'static str, T)],
        help: &'static str,
    ) -> Self {
        Self {
            key,
            default,
            options,
            help,
        }
    }

    pub(crate) fn read(&self, written: &str) -> Result<T, String> {
        let found = self.options.iter().find(|(word, _)| *word == written);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let mut error = text::joined(&[self.key, "=", written, ": expected "]);
            self.push_options(&mut error);
            error
        })
    }

    pub(crate) fn help_text(&self) -> String {
        let mut help = text::joined(&[self.help, ": "]);
        self.push_options(&mut help);
        help
    }

    fn push_options(&self, out: &mut String) {
        for (at, (word, _)) in self.options.iter().enumerate() {
            out.push_str(match self.options.len() - at {
                _ if at == 0 => "",
                1 => " or ",
                _ => ", ",
            });
            out.push_str(word);
        }
    }
}

/// Free text, which the plugin reads itself.
///
/// ```
/// use picam_plugin::{Config, Words};
///
/// const TITLE: Words = Words::new("title", "Camera", "what the page is called");
///
/// assert_eq!(Config::from([("title", "Nest box")]).words(&TITLE), "Nest box");
/// assert_eq!(Config::default().words(&TITLE), "Camera");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Words {
    pub(crate) key: &'static str,
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
}

impl Words {
    /// Text with a default, which is what a person would write; empty where there is none.
    pub const fn new(key: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { key, default, help }
    }

    /// The line that refuses a value: what it was, and what was expected.
    ///
    /// ```
    /// use picam_plugin::Words;
    /// const OFFSET: Words = Words::new("utc-offset", "Z", "distance from UTC");
    /// assert_eq!(
    ///     OFFSET.refuse("CET", "Z or hours and minutes, as in +02:00"),
    ///     "utc-offset=CET: expected Z or hours and minutes, as in +02:00",
    /// );
    /// ```
    pub fn refuse(&self, written: &str, expected: &str) -> String {
        self.blame(written, &text::joined(&["expected ", expected]))
    }

    /// The line that refuses a value: what it was, and what is wrong with it.
    pub fn blame(&self, written: &str, why: &str) -> String {
        text::joined(&[self.key, "=", written, ": ", why])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

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

    #[test]
    fn flags_are_yes_or_no() {
        const SECURE: Flag = Flag::new("secure", true, "cookies over HTTPS only");
        let set = |value: &str| Config::from([("secure", value)]).flag(&SECURE);
        assert_eq!(Config::default().flag(&SECURE), Ok(true));
        for (value, expected) in [
            ("yes", true),
            ("true", true),
            ("no", false),
            ("false", false),
        ] {
            assert_eq!(set(value), Ok(expected));
        }
        for value in ["", "1", "YES", "on"] {
            assert_eq!(
                set(value).unwrap_err(),
                text::joined(&["secure=", value, ": expected yes or no"])
            );
        }
    }

    #[test]
    fn a_choice_is_one_of_its_words() {
        const SITE: Choice<u8> = Choice::new(
            "where",
            "left",
            &[("left", 1), ("right", 2), ("top", 3)],
            "side",
        );
        let set = |value: &str| Config::from([("where", value)]).choice(&SITE);
        assert_eq!(Config::default().choice(&SITE), Ok(1));
        assert_eq!(set("top"), Ok(3));
        assert_eq!(
            set("Top").unwrap_err(),
            "where=Top: expected left, right or top"
        );
        assert_eq!(SITE.help_text(), "side: left, right or top");
    }
}
