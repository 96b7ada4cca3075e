//! Dates and times by pattern, as `date` and `strftime` have them, in UTC or at a fixed offset.
//!
//! ```
//! use picam_plugin::strftime::{Offset, Pattern};
//!
//! let pattern = Pattern::parse("%A, %-d %B %Y, %H:%M:%S%:z").unwrap();
//! let berlin = Offset::parse("+02:00").unwrap();
//! assert_eq!(pattern.text(1_753_000_000_000_000, berlin), "Sunday, 20 July 2025, 10:26:40+02:00");
//! // It changes once a second.
//! assert_eq!(pattern.next_change(1_753_000_000_250_000, berlin), Some(1_753_000_001_000_000));
//! ```
//!
//! There are no time zones with summer time in here: their rules change by law several times a year, and weigh more than
//! everything else together.

use crate::text::{push_padded, push_whole};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What [`Pattern::parse`] takes, for people.
const KNOWN: &str = "%Y year, %m month, %d day, %H hour, %M minute, %S second, %3N milliseconds, %F for %Y-%m-%d, %T for \
                     %H:%M:%S, %y %j %e %I %l %k %p %A %a %B %b %u %w %G %V %R %D %N %s %z %:z %%, and %-d for a day \
                     without its leading zero";

/// A fixed distance from UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    /// East of Greenwich is positive.
    minutes: i32,
}

impl Offset {
    /// UTC itself.
    pub const UTC: Self = Self { minutes: 0 };

    /// Reads `Z`, or hours and minutes as in `+02:00` and `-0330`, at most fourteen hours.
    ///
    /// ```
    /// use picam_plugin::strftime::Offset;
    /// assert_eq!(Offset::parse("Z"), Some(Offset::UTC));
    /// assert!(Offset::parse("-0330").is_some());
    /// assert_eq!(Offset::parse("Europe/Berlin"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (sign, digits) = match bytes {
            b"Z" => return Some(Self::UTC),
            [b'+', rest @ ..] => (1, rest),
            [b'-', rest @ ..] => (-1, rest),
            _ => return None,
        };
        let [a, b, c, d] = match *digits {
            [a, b, b':', c, d] | [a, b, c, d] => [a, b, c, d],
            _ => return None,
        }
        .map(|byte| byte.is_ascii_digit().then(|| i32::from(byte - b'0')));
        let (hours, minutes) = (a? * 10 + b?, c? * 10 + d?);
        let total = hours * 60 + minutes;
        (minutes < 60 && total <= 14 * 60).then_some(Self {
            minutes: sign * total,
        })
    }

    /// Microseconds since 1970 as clocks on the wall there show them; not before that year.
    fn local(self, unix_micros: u64) -> u64 {
        unix_micros.saturating_add_signed(i64::from(self.minutes) * MINUTE as i64)
    }
}

/// How a number is filled up to its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Zeros,
    Spaces,
    None,
}

#[derive(Clone, Debug)]
enum Item {
    Literal(String),
    Year(Padding),
    YearOfCentury(Padding),
    Month(Padding),
    Day(Padding),
    DayOfYear(Padding),
    Hour(Padding),
    Hour12(Padding),
    Minute(Padding),
    Second(Padding),
    /// Decimals of the second, so many.
    Fraction(u8),
    UnixSeconds,
    AmPm,
    Weekday,
    WeekdayShort,
    /// 1 is Monday, 7 is Sunday.
    WeekdayFromMonday,
    /// 0 is Sunday, 6 is Saturday.
    WeekdayFromSunday,
    MonthName,
    MonthNameShort,
    /// ISO 8601: the year that the week belongs to.
    WeekYear(Padding),
    /// ISO 8601: weeks begin on Monday, and the first one has the year's first Thursday.
    Week(Padding),
    Offset {
        colon: bool,
    },
}

/// A conversion as it was written.
struct Conversion<'a> {
    written: &'a str,
    /// NUL where the pattern ends too early.
    letter: char,
    padding: Option<Padding>,
    colon: bool,
    decimals: Option<u8>,
}

impl<'a> Conversion<'a> {
    /// Reads one from text that begins with its `%`.
    fn read(text: &'a str) -> Self {
        let mut read = Self {
            written: text,
            letter: '\0',
            padding: None,
            colon: false,
            decimals: None,
        };
        for (at, character) in text.char_indices().skip(1) {
            match character {
                '-' => read.padding = Some(Padding::None),
                '_' => read.padding = Some(Padding::Spaces),
                ':' => read.colon = true,
                '1'..='6' => read.decimals = Some(character as u8 - b'0'),
                letter => {
                    read.letter = letter;
                    read.written = &text[..at + letter.len_utf8()];
                    break;
                }
            }
        }
        read
    }
}

/// A pattern that was read.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    items: Vec<Item>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The conversion that there isn't, and those that there are.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let mut read = Self::default();
        read.add(pattern)?;
        Ok(read)
    }

    fn add(&mut self, pattern: &str) -> Result<(), String> {
        let mut rest = pattern;
        while let Some(at) = rest.find('%') {
            self.literal(&rest[..at]);
            let conversion = Conversion::read(&rest[at..]);
            if !self.convert(&conversion) {
                return Err(crate::text::joined(&[
                    "`",
                    conversion.written,
                    "` is no conversion; there are ",
                    KNOWN,
                ]));
            }
            rest = &rest[at + conversion.written.len()..];
        }
        self.literal(rest);
        Ok(())
    }

    /// Adds a conversion. Whether there is such a one.
    fn convert(&mut self, conversion: &Conversion<'_>) -> bool {
        let Conversion {
            letter,
            padding,
            colon,
            decimals,
            ..
        } = *conversion;
        let bare = padding.is_none() && !colon && decimals.is_none();
        let allowed = match letter {
            'Y' | 'y' | 'm' | 'd' | 'e' | 'j' | 'H' | 'k' | 'I' | 'l' | 'M' | 'S' | 'G' | 'V' => {
                !colon && decimals.is_none()
            }
            'N' => padding.is_none() && !colon,
            'z' => padding.is_none() && decimals.is_none(),
            _ => bare,
        };
        if !allowed {
            return false;
        }
        let zeros = padding.unwrap_or(Padding::Zeros);
        let spaces = padding.unwrap_or(Padding::Spaces);
        self.items.push(match letter {
            'Y' => Item::Year(zeros),
            'y' => Item::YearOfCentury(zeros),
            'm' => Item::Month(zeros),
            'd' => Item::Day(zeros),
            'e' => Item::Day(spaces),
            'j' => Item::DayOfYear(zeros),
            'H' => Item::Hour(zeros),
            'k' => Item::Hour(spaces),
            'I' => Item::Hour12(zeros),
            'l' => Item::Hour12(spaces),
            'M' => Item::Minute(zeros),
            'S' => Item::Second(zeros),
            'G' => Item::WeekYear(zeros),
            'V' => Item::Week(zeros),
            'N' => Item::Fraction(decimals.unwrap_or(6)),
            'z' => Item::Offset { colon },
            's' => Item::UnixSeconds,
            'p' => Item::AmPm,
            'A' => Item::Weekday,
            'a' => Item::WeekdayShort,
            'u' => Item::WeekdayFromMonday,
            'w' => Item::WeekdayFromSunday,
            'B' => Item::MonthName,
            'b' | 'h' => Item::MonthNameShort,
            'F' => return self.add("%Y-%m-%d").is_ok(),
            'T' => return self.add("%H:%M:%S").is_ok(),
            'R' => return self.add("%H:%M").is_ok(),
            'D' => return self.add("%m/%d/%y").is_ok(),
            '%' => {
                self.literal("%");
                return true;
            }
            _ => return false,
        });
        true
    }

    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.items.last_mut() {
            Some(Item::Literal(last)) => last.push_str(text),
            _ => self.items.push(Item::Literal(text.into())),
        }
    }

    /// Appends a moment.
    pub fn push(&self, out: &mut String, unix_micros: u64, offset: Offset) {
        let local = Local::new(unix_micros, offset);
        for item in &self.items {
            local.push(out, item);
        }
    }

    /// The text of a moment.
    pub fn text(&self, unix_micros: u64, offset: Offset) -> String {
        let mut out = String::new();
        self.push(&mut out, unix_micros, offset);
        out
    }

    /// The moment up to which the text of `unix_micros` holds at least; none if there is nothing in it that changes.
    pub fn next_change(&self, unix_micros: u64, offset: Offset) -> Option<u64> {
        let step = self.items.iter().filter_map(Item::step).min()?;
        // Offsets are whole minutes, so only longer steps begin elsewhere than they do in UTC.
        let into = offset.local(unix_micros) % step;
        Some(unix_micros.saturating_add(step - into))
    }
}

impl Item {
    /// How long it stays the same at most, from a moment that divides by it.
    fn step(&self) -> Option<u64> {
        Some(match self {
            Self::Literal(_) | Self::Offset { .. } => return None,
            Self::Fraction(decimals) => 10_u64.pow(6 - u32::from(*decimals)),
            Self::Second(_) | Self::UnixSeconds => SECOND,
            Self::Minute(_) => MINUTE,
            Self::Hour(_) | Self::Hour12(_) | Self::AmPm => HOUR,
            _ => DAY,
        })
    }
}

/// A moment as clocks and calendars on the wall show it.
struct Local {
    unix_seconds: u64,
    offset: Offset,
    year: u64,
    month: u64,
    day: u64,
    /// From 1.
    day_of_year: u64,
    /// From 0, which is Sunday.
    weekday: u64,
    /// Microseconds since midnight.
    time: u64,
}

impl Local {
    fn new(unix_micros: u64, offset: Offset) -> Self {
        let local = offset.local(unix_micros);
        let days = local / DAY;
        let (year, month, day) = crate::text::date(days);
        const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap_day = u64::from(month > 2 && is_leap(year));
        Self {
            unix_seconds: unix_micros / SECOND,
            offset,
            year,
            month,
            day,
            day_of_year: BEFORE[month as usize - 1] + leap_day + day,
            // 1970-01-01 was a Thursday.
            weekday: (days + 4) % 7,
            time: local % DAY,
        }
    }

    fn push(&self, out: &mut String, item: &Item) {
        let hour = self.time / HOUR;
        let hour12 = (hour + 11) % 12 + 1;
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Year(padding) => push_number(out, self.year, 4, *padding),
            Item::YearOfCentury(padding) => push_number(out, self.year % 100, 2, *padding),
            Item::Month(padding) => push_number(out, self.month, 2, *padding),
            Item::Day(padding) => push_number(out, self.day, 2, *padding),
            Item::DayOfYear(padding) => push_number(out, self.day_of_year, 3, *padding),
            Item::Hour(padding) => push_number(out, hour, 2, *padding),
            Item::Hour12(padding) => push_number(out, hour12, 2, *padding),
            Item::Minute(padding) => push_number(out, self.time / MINUTE % 60, 2, *padding),
            Item::Second(padding) => push_number(out, self.time / SECOND % 60, 2, *padding),
            Item::Fraction(decimals) => {
                let step = 10_u64.pow(6 - u32::from(*decimals));
                push_padded(out, self.time % SECOND / step, usize::from(*decimals));
            }
            Item::UnixSeconds => push_whole(out, self.unix_seconds),
            Item::AmPm => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Item::Weekday => out.push_str(DAYS[self.weekday as usize]),
            Item::WeekdayShort => out.push_str(&DAYS[self.weekday as usize][..3]),
            Item::WeekdayFromMonday => push_whole(out, self.weekday_from_monday()),
            Item::WeekdayFromSunday => push_whole(out, self.weekday),
            Item::MonthName => out.push_str(MONTHS[self.month as usize - 1]),
            Item::MonthNameShort => out.push_str(&MONTHS[self.month as usize - 1][..3]),
            Item::WeekYear(padding) => push_number(out, self.week().0, 4, *padding),
            Item::Week(padding) => push_number(out, self.week().1, 2, *padding),
            Item::Offset { colon } => {
                let minutes = self.offset.minutes;
                out.push(if minutes < 0 { '-' } else { '+' });
                let minutes = u64::from(minutes.unsigned_abs());
                push_padded(out, minutes / 60, 2);
                if *colon {
                    out.push(':');
                }
                push_padded(out, minutes % 60, 2);
            }
        }
    }

    fn weekday_from_monday(&self) -> u64 {
        (self.weekday + 6) % 7 + 1
    }

    /// Year and week of ISO 8601.
    fn week(&self) -> (u64, u64) {
        // The week belongs to the year that its Thursday is in.
        let thursday = self.day_of_year + 4;
        let thursday = match thursday.checked_sub(self.weekday_from_monday()) {
            Some(day) if day > 0 => day,
            // Day 0 is the last one of the year before.
            _ => {
                let before = self.year - 1;
                let length = 365 + u64::from(is_leap(before));
                let thursday = length + thursday - self.weekday_from_monday();
                return (before, (thursday - 1) / 7 + 1);
            }
        };
        if thursday > 365 + u64::from(is_leap(self.year)) {
            return (self.year + 1, 1);
        }
        (self.year, (thursday - 1) / 7 + 1)
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn push_number(out: &mut String, number: u64, width: usize, padding: Padding) {
    match padding {
        Padding::Zeros => push_padded(out, number, width),
        Padding::None => push_whole(out, number),
        Padding::Spaces => {
            let mut digits = String::new();
            push_whole(&mut digits, number);
            for _ in digits.len()..width {
                out.push(' ');
            }
            out.push_str(&digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-05T09:07:03.045678Z, a Wednesday.
    const MOMENT: u64 = 1_762_333_623_045_678;

    fn text(pattern: &str) -> String {
        Pattern::parse(pattern).unwrap().text(MOMENT, Offset::UTC)
    }

    #[test]
    fn every_conversion_says_what_date_says() {
        // As GNU date printed them for that moment with LC_ALL=C, but for %N, which counts microseconds here.
        for (pattern, expected) in [
            ("%Y|%y|%m|%d|%e|%j", "2025|25|11|05| 5|309"),
            ("%H|%k|%I|%l|%M|%S|%p", "09| 9|09| 9|07|03|AM"),
            ("%A|%a|%B|%b|%h|%u|%w", "Wednesday|Wed|November|Nov|Nov|3|3"),
            ("%F|%T|%R|%D", "2025-11-05|09:07:03|09:07|11/05/25"),
            ("%G|%V|%s|%z|%:z", "2025|45|1762333623|+0000|+00:00"),
            ("%N|%1N|%3N|%6N", "045678|0|045|045678"),
            ("%-d|%-m|%-H|%_d|%_j|%-j|%-M", "5|11|9| 5|309|309|7"),
            ("100%%|é%Y日", "100%|é2025日"),
            ("", ""),
        ] {
            assert_eq!(text(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_conversion_is_refused_with_those_that_there_are() {
        for (pattern, named) in [
            ("%Q", "`%Q`"),
            ("%", "`%`"),
            ("100% sure", "`% `"),
            ("%-", "`%-`"),
            ("%-A", "`%-A`"),
            ("%3S", "`%3S`"),
            ("%:H", "`%:H`"),
            ("%-%", "`%-%`"),
            ("%é", "`%é`"),
            ("%Y%Ez", "`%E`"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert!(error.starts_with(named), "{error}");
            assert!(error.contains("%H hour"), "{error}");
        }
    }

    #[test]
    fn noon_and_midnight_are_twelve() {
        let at = |hour: u64| {
            let moment = hour * HOUR;
            Pattern::parse("%I %p").unwrap().text(moment, Offset::UTC)
        };
        assert_eq!(
            [at(0), at(1), at(12), at(23)],
            ["12 AM", "01 AM", "12 PM", "11 PM"]
        );
    }

    #[test]
    fn weeks_are_those_of_iso_8601() {
        let pattern = Pattern::parse("%G-W%V-%u").unwrap();
        // The examples of the standard, and what GNU date says.
        for (date, seconds, expected) in [
            ("2005-01-01", 1_104_537_600, "2004-W53-6"),
            ("2005-12-31", 1_135_987_200, "2005-W52-6"),
            ("2007-01-01", 1_167_609_600, "2007-W01-1"),
            ("2008-12-29", 1_230_508_800, "2009-W01-1"),
            ("2010-01-03", 1_262_476_800, "2009-W53-7"),
            ("2020-12-31", 1_609_372_800, "2020-W53-4"),
            ("2024-12-30", 1_735_516_800, "2025-W01-1"),
            ("2024-02-29", 1_709_164_800, "2024-W09-4"),
        ] {
            let moment = seconds * SECOND;
            let date_of = Pattern::parse("%F").unwrap().text(moment, Offset::UTC);
            assert_eq!(date_of, date);
            assert_eq!(pattern.text(moment, Offset::UTC), expected, "{date}");
        }
    }

    #[test]
    fn days_of_the_year_count_the_leap_day() {
        let pattern = Pattern::parse("%j").unwrap();
        for (seconds, expected) in [
            (1_709_164_800, "060"),
            (1_709_251_200, "061"),
            (1_735_603_200, "366"),
            (1_735_689_600, "001"),
            (1_740_787_200, "060"),
        ] {
            assert_eq!(pattern.text(seconds * SECOND, Offset::UTC), expected);
        }
    }

    #[test]
    fn an_offset_moves_the_calendar_and_is_bounded() {
        let pattern = Pattern::parse("%F %R %z %:z").unwrap();
        for (offset, expected) in [
            ("Z", "2025-11-05 09:07 +0000 +00:00"),
            ("+02:00", "2025-11-05 11:07 +0200 +02:00"),
            ("-09:30", "2025-11-04 23:37 -0930 -09:30"),
            ("+1400", "2025-11-05 23:07 +1400 +14:00"),
        ] {
            let offset = Offset::parse(offset).unwrap();
            assert_eq!(pattern.text(MOMENT, offset), expected);
        }
        for bad in [
            "", "+", "+2", "+02", "+02:60", "+14:01", "02:00", "+0a:00", "+02:000", "UTC",
        ] {
            assert_eq!(Offset::parse(bad), None, "{bad}");
        }
        let west = Offset::parse("-05:00").unwrap();
        assert_eq!(pattern.text(0, west), "1970-01-01 00:00 -0500 -05:00");
    }

    #[test]
    fn a_text_holds_until_its_smallest_unit_changes() {
        let next = |pattern: &str, offset: &str| {
            Pattern::parse(pattern)
                .unwrap()
                .next_change(MOMENT, Offset::parse(offset).unwrap())
        };
        assert_eq!(next("no time at all, %z", "Z"), None);
        assert_eq!(next("%F %T", "Z"), Some(1_762_333_624_000_000));
        assert_eq!(next("%T.%1N", "Z"), Some(1_762_333_623_100_000));
        assert_eq!(next("%6N", "Z"), Some(MOMENT + 1));
        assert_eq!(next("%R", "Z"), Some(1_762_333_680_000_000));
        assert_eq!(next("%H", "+05:30"), Some(1_762_335_000_000_000));
        assert_eq!(next("%A", "+05:30"), Some(1_762_367_400_000_000));
    }

    #[test]
    fn the_text_never_changes_before_the_moment_that_was_told() {
        for pattern in ["%T", "%R", "%H", "%F", "%j %V", "%2N", "%s", "%p"] {
            let pattern = Pattern::parse(pattern).unwrap();
            for offset in ["Z", "+05:45", "-09:30"] {
                let offset = Offset::parse(offset).unwrap();
                let mut moment = MOMENT;
                for _ in 0..50 {
                    let next = pattern.next_change(moment, offset).unwrap();
                    assert!(next > moment);
                    let text = pattern.text(moment, offset);
                    assert_eq!(text, pattern.text(next - 1, offset));
                    moment = next;
                }
            }
        }
    }
}
