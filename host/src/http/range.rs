/// What a `Range` field asks for (RFC 9110, 14.1.2), as far as we serve it: one range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// From the first of these to the second, both included, or to the end.
    From(u64, Option<u64>),
    /// The last so many bytes.
    Last(u64),
}

impl Range {
    /// `None` for what is to be ignored, so that the whole is sent: another unit, several ranges, bad syntax.
    pub(super) fn parse(field: &str) -> Option<Self> {
        let (unit, ranges) = field.trim().split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = ranges.trim().split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (true, _) => Some(Self::Last(number(last)?)),
            (false, true) => Some(Self::From(number(first)?, None)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// The bytes of something `len` bytes long, from the first to before the second; `None` if there are none.
    pub(super) fn within(self, len: u64) -> Option<(u64, u64)> {
        let (start, end) = match self {
            Self::From(first, None) => (first, len),
            Self::From(first, Some(last)) => (first, last.saturating_add(1).min(len)),
            Self::Last(count) => (len.saturating_sub(count), len),
        };
        (start < end).then_some((start, end))
    }
}

/// Digits and nothing else; what is too large for any object stays too large.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(field: &str) -> Option<Option<(u64, u64)>> {
        Range::parse(field).map(|range| range.within(10))
    }

    #[test]
    fn single_ranges_are_served() {
        for (field, expected) in [
            ("bytes=0-0", (0, 1)),
            ("bytes=0-9", (0, 10)),
            ("bytes=3-5", (3, 6)),
            ("bytes=3-", (3, 10)),
            ("bytes=3-99", (3, 10)),
            ("bytes=-3", (7, 10)),
            ("bytes=-99", (0, 10)),
            ("BYTES=9-", (9, 10)),
            ("bytes=5-99999999999999999999999", (5, 10)),
        ] {
            assert_eq!(bytes(field), Some(Some(expected)), "{field}");
        }
    }

    #[test]
    fn ranges_beyond_the_end_have_no_bytes() {
        for field in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(bytes(field), Some(None), "{field}");
        }
    }

    #[test]
    fn everything_else_is_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=0-1,3-4",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes= 1 - 2",
            "lines=1-2",
        ] {
            assert_eq!(bytes(field), None, "{field}");
        }
    }
}
