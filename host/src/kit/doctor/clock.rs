use std::time::SystemTime;

use super::Finding;
use crate::time::BUILT;

const SET: &str = "`sudo systemctl enable --now systemd-timesyncd` lets the network set it; the stream runs meanwhile, and \
     takes up the right time by itself";

/// The wall clock: whether it is set, and whether something keeps it right.
pub(super) fn look() -> Vec<Finding> {
    vec![judge(SystemTime::now(), synchronised())]
}

fn judge(now: SystemTime, synchronised: Option<bool>) -> Finding {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let date = i64::try_from(since.as_secs())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || "a time beyond all dates".to_owned(),
            |date| date.to_string(),
        );
    if since < BUILT {
        return Finding::wrong(
            "clock",
            format!(
                "it says {date}: names and playlists would carry that date, and permissions that run out be wrong"
            ),
        )
        .mend(SET);
    }
    match synchronised {
        Some(true) => Finding::ok("clock", format!("it is synchronised, and says {date}")),
        Some(false) => Finding::warn(
            "clock",
            format!("nothing keeps it right; it says {date}"),
            SET,
        ),
        None => Finding::ok(
            "clock",
            format!("it says {date}; the kernel doesn't tell whether something keeps it right"),
        ),
    }
}

/// What the kernel has been told by whoever sets the clock.
fn synchronised() -> Option<bool> {
    // SAFETY: All zeroes is a value of this plain struct, and asks for nothing to be changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: It is written to during the call only.
    match unsafe { libc::adjtimex(&mut state) } {
        -1 => None,
        _ => Some(state.status & libc::STA_UNSYNC == 0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::report::Level, *};

    fn at(seconds: u64, synchronised: Option<bool>) -> Finding {
        judge(
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            synchronised,
        )
    }

    #[test]
    fn a_board_that_has_just_booted_in_1970_is_told_how_to_learn_the_date() {
        let finding = at(42, Some(false));
        assert_eq!(finding.level, Level::Wrong);
        assert!(finding.text.contains("1970-01-01"), "{}", finding.text);
        assert!(finding.mend.unwrap().contains("timesyncd"));
    }

    #[test]
    fn a_clock_that_nothing_keeps_right_is_a_warning() {
        let now = BUILT.as_secs() + 1;
        assert_eq!(at(now, Some(false)).level, Level::Warn);
        assert_eq!(at(now, Some(true)).level, Level::Ok);
        assert_eq!(at(now, None).level, Level::Ok);
    }

    #[test]
    fn this_machines_clock_can_be_read() {
        let finding = &look()[0];
        assert!(finding.text.contains("it says") || finding.text.contains("and says"));
    }
}
