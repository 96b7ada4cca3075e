//! Numbers, seconds and dates as text: exact, since nothing passes through floating point, and small, since
//! nothing passes through `core::fmt`.

/// Appends a whole number in decimal.
pub fn push_whole(out: &mut String, number: u64) {
    push_padded(out, number, 1);
}

/// Appends a whole number with leading zeros, `width` digits at least and 20 at most.
///
/// ```
/// let mut out = String::new();
/// picam_plugin::text::push_padded(&mut out, 7, 3);
/// assert_eq!(out, "007");
/// ```
pub fn push_padded(out: &mut String, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let least = digits.len() - width.min(digits.len());
    while number > 0 || at > least {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    for digit in &digits[at..] {
        out.push(char::from(*digit));
    }
}

/// Appends a duration in seconds: exact to the microsecond, three decimals at least.
///
/// ```
/// let mut out = String::new();
/// picam_plugin::text::push_seconds(&mut out, 1_033_367);
/// assert_eq!(out, "1.033367");
/// ```
pub fn push_seconds(out: &mut String, micros: u64) {
    push_whole(out, micros / 1_000_000);
    push_decimals(out, micros % 1_000_000, 6, 3);
}

/// Appends a number given in thousandths, with `least` (0 to 3) decimals at least.
///
/// ```
/// let mut out = String::new();
/// picam_plugin::text::push_thousandths(&mut out, 29_970, 3);
/// assert_eq!(out, "29.970");
/// ```
pub fn push_thousandths(out: &mut String, thousandths: u64, least: usize) {
    push_whole(out, thousandths / 1_000);
    push_decimals(out, thousandths % 1_000, 3, least);
}

/// The point and the decimals of `fraction`, which has `digits` of them, without trailing zeros beyond `least`.
fn push_decimals(out: &mut String, mut fraction: u64, mut digits: usize, least: usize) {
    while digits > least && fraction.is_multiple_of(10) {
        fraction /= 10;
        digits -= 1;
    }
    if digits > 0 {
        out.push('.');
        push_padded(out, fraction, digits);
    }
}

/// Appends a moment of the wall clock as RFC 3339 has it, in UTC and with milliseconds, which are cut rather than
/// rounded so that the text never runs ahead of the clock.
///
/// ```
/// let mut out = String::new();
/// picam_plugin::text::push_date_time(&mut out, 1_764_033_630_123_999);
/// assert_eq!(out, "2025-11-25T01:20:30.123Z");
/// ```
pub fn push_date_time(out: &mut String, unix_micros: u64) {
    let millis = unix_micros / 1_000;
    let (year, month, day) = date(millis / 86_400_000);
    let millis = millis % 86_400_000;
    push_padded(out, year, 4);
    for (mark, number, width) in [
        ('-', month, 2),
        ('-', day, 2),
        ('T', millis / 3_600_000, 2),
        (':', millis / 60_000 % 60, 2),
        (':', millis / 1_000 % 60, 2),
        ('.', millis % 1_000, 3),
    ] {
        out.push(mark);
        push_padded(out, number, width);
    }
    out.push('Z');
}

/// Appends a duration as ISO 8601 has it, in seconds: exact to the microsecond, without needless decimals. DASH knows no
/// other form (ISO/IEC 23009-1: `xs:duration`).
///
/// ```
/// let mut out = String::new();
/// picam_plugin::text::push_duration(&mut out, 7_250_000);
/// assert_eq!(out, "PT7.25S");
/// ```
pub fn push_duration(out: &mut String, micros: u64) {
    out.push_str("PT");
    push_whole(out, micros / 1_000_000);
    push_decimals(out, micros % 1_000_000, 6, 0);
    out.push('S');
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year and every month before it has a fixed
/// offset: 153 days in each run of five months that begins with March or August.
pub(crate) fn date(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    // 1970-01-01 is day 719,468 of the calendar that begins on 1 March of the year 0.
    let days = days_since_1970 + 719_468;
    let (cycle, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    // Take the leap days before this one out, and 365 divides what is left: one in 4 years, none in 100, one in 400.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (cycle * 400 + year + next_year, month, day)
}

/// The pieces, one behind the other: `concat` in a quarter of its size.
///
/// ```
/// assert_eq!(picam_plugin::text::joined(&["a", "", "b"]), "ab");
/// ```
pub fn joined(pieces: &[&str]) -> String {
    let mut out = String::new();
    for piece in pieces {
        out.push_str(piece);
    }
    out
}

/// Reads a whole number in decimal: digits and nothing else, no sign, no space.
///
/// ```
/// use picam_plugin::text::parse_whole;
/// assert_eq!(parse_whole("0273"), Some(273));
/// assert_eq!(parse_whole("+1"), None);
/// ```
pub fn parse_whole(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn whole_numbers_have_no_leading_zeros() {
        for number in [0, 1, 9, 10, 99, 100, 1_000_000, u64::MAX] {
            assert_eq!(written(|out| push_whole(out, number)), number.to_string());
        }
    }

    #[test]
    fn seconds_are_exact_to_the_microsecond_and_have_three_decimals_at_least() {
        for (micros, text) in [
            (0, "0.000"),
            (1, "0.000001"),
            (200_000, "0.200"),
            (333_333, "0.333333"),
            (333_330, "0.33333"),
            (1_000_000, "1.000"),
            (10_050_000, "10.050"),
            (u64::MAX, "18446744073709.551615"),
        ] {
            assert_eq!(written(|out| push_seconds(out, micros)), text);
        }
    }

    #[test]
    fn durations_have_the_decimals_they_need() {
        for (micros, text) in [
            (0, "PT0S"),
            (1, "PT0.000001S"),
            (200_000, "PT0.2S"),
            (30_000_000, "PT30S"),
            (3_600_000_000, "PT3600S"),
        ] {
            assert_eq!(written(|out| push_duration(out, micros)), text);
        }
    }

    #[test]
    fn thousandths_drop_only_the_zeros_they_may() {
        for (number, least, text) in [
            (3_000, 0, "3"),
            (3_000, 1, "3.0"),
            (3_050, 0, "3.05"),
            (30_000, 3, "30.000"),
            (29_970, 3, "29.970"),
            (7, 0, "0.007"),
        ] {
            assert_eq!(written(|out| push_thousandths(out, number, least)), text);
        }
    }

    #[test]
    fn dates_know_leap_years_and_centuries() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(
                written(|out| push_date_time(out, seconds * 1_000_000)),
                text
            );
        }
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let mut expected = (1970, 1, 1);
        for day in 0..292_194 {
            assert_eq!(date(day), expected);
            let (year, month, day) = expected;
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (month, day) if day == length => (year, month + 1, 1),
                (month, day) => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn whole_numbers_are_digits_and_nothing_else() {
        assert_eq!(parse_whole("18446744073709551615"), Some(u64::MAX));
        for text in [
            "",
            " ",
            "1 ",
            "-1",
            "+1",
            "1.0",
            "0x1",
            "١",
            "18446744073709551616",
        ] {
            assert_eq!(parse_whole(text), None, "{text:?}");
        }
    }
}
