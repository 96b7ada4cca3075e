use tokio::sync::oneshot;

use super::{media::NUMBER, numbering::Kind};
use crate::time::Wall;

/// Bytes of a name, its ending included.
const LONGEST: usize = 200;

/// How names of media end. Caches, recorders and some players tell media by the ending (FFmpeg's reader of HLS refuses
/// others), and no document ends like that, so no name can ever take a document's address.
pub const ENDINGS: [&str; 4] = [".m4s", ".mp4", ".m4v", ".cmfv"];

/// Below this lie segments that can be had while they grow, under names that the host makes of templates.
pub(super) const CHUNKED: &str = "chunked/";

/// The template of the built-in numbering.
pub fn numbered_template() -> String {
    Kind::Segment.numbered(NUMBER)
}

/// An object that needs a name. Mostly it doesn't exist yet: players are told of the next part beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nameless {
    /// What it is.
    pub kind: Kind,
    /// Running number among its kind, which begins with the clock and never repeats within a run: the media sequence
    /// number of a segment, a serial of parts and of init segments.
    pub number: u64,
    /// When its first picture was, or is expected to be, captured.
    pub captured: Wall,
}

/// A name that is being worked out. `None`, or the end of the sender: there will be none, and whoever was to give it has
/// told the log why.
pub type Answer = oneshot::Receiver<Option<String>>;

/// Who names objects.
pub trait Naming: Send + Sync {
    /// Begins to work out a name, and returns at once: a publisher never waits for one. Called once per object, some
    /// time before the name is needed. An answer that comes too late is dropped.
    fn name(&self, object: Nameless) -> Answer;

    /// What an object is called that can't have its name, or has none in time. `None`: by its number.
    fn instead(&self) -> Option<String>;

    /// How segments are called, as a template with `$Number$`, where names permit that.
    fn segment_template(&self) -> Option<String>;
}

/// The name as it will be used, with an ending if it had none; or what is wrong with it. Whether it is another object's
/// is not looked at here.
///
/// # Errors
/// One line: what is wrong with it, and what would be right.
pub fn check_name(kind: Kind, name: &str) -> Result<String, String> {
    let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if name.len() > LONGEST {
        return Err(format!(
            "a name of {} bytes, and it may have {LONGEST}",
            name.len()
        ));
    }
    if let Some(other) = name.chars().find(|&c| !unreserved(c)) {
        return Err(format!(
            "{name:?} has {other:?} in it; a name is made of letters, digits, `-`, `.`, `_`, `~` and `/`"
        ));
    }
    if name
        .split('/')
        .any(|element| matches!(element, "" | "." | ".."))
    {
        return Err(format!(
            "`{name}` is no relative path without empty, `.` and `..` elements"
        ));
    }
    if name.starts_with(CHUNKED) {
        return Err(format!(
            "`{name}` lies below `{CHUNKED}`, where segments are while they grow"
        ));
    }
    let complete = complete(kind, name);
    match complete.len() > LONGEST {
        true => Err(format!(
            "`{complete}` has {} bytes with its ending, and may have {LONGEST}",
            complete.len()
        )),
        false => Ok(complete),
    }
}

/// The name, with the ending of its kind unless it has one. Added rather than asked for, so that a plugin can be about
/// dates or secrets alone.
fn complete(kind: Kind, name: &str) -> String {
    let ending = match kind {
        _ if ENDINGS.iter().any(|ending| name.ends_with(ending)) => "",
        Kind::Init => ".mp4",
        Kind::Segment | Kind::Part => ".m4s",
    };
    [name, ending].concat()
}

/// The template of segment names as it will be used, with an ending if it had none: `$Number$` once, and around it what a
/// name is made of.
///
/// # Errors
/// One line: what is wrong with it, and what would be right.
pub fn check_template(template: &str) -> Result<String, String> {
    if template.matches(NUMBER).count() != 1 {
        return Err(format!("{template:?} doesn't have {NUMBER} in it once"));
    }
    check_name(
        Kind::Segment,
        &template.replace(NUMBER, &u64::MAX.to_string()),
    )?;
    Ok(complete(Kind::Segment, template))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_get_the_ending_of_their_kind_unless_they_have_one() {
        for (kind, name, whole) in [
            (Kind::Part, "a", "a.m4s"),
            (
                Kind::Segment,
                "2026/05/01/12-00-00",
                "2026/05/01/12-00-00.m4s",
            ),
            (Kind::Segment, "a.txt", "a.txt.m4s"),
            (Kind::Segment, "a.mp4", "a.mp4"),
            (Kind::Init, "~a_b.C", "~a_b.C.mp4"),
            (Kind::Init, "i.cmfv", "i.cmfv"),
            (Kind::Part, "...", "....m4s"),
            (Kind::Part, "part-7.m4s", "part-7.m4s"),
            (Kind::Part, "part-7", "part-7.m4s"),
        ] {
            assert_eq!(check_name(kind, name).as_deref(), Ok(whole));
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for name in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "./a",
            "a/.",
            "a b",
            "a%2e",
            "a?b",
            "a#b",
            "a:b",
            "a\\b",
            "a\n",
            "\0",
            "ä",
            "a\u{202e}b",
            "http://a/b",
            "chunked/a",
        ] {
            assert!(check_name(Kind::Part, name).is_err(), "{name:?}");
        }
        assert!(check_name(Kind::Part, &"x".repeat(196)).is_ok());
        assert!(check_name(Kind::Part, &"x".repeat(197)).is_err());
        assert!(check_name(Kind::Part, &"x".repeat(1 << 20)).is_err());
    }

    #[test]
    fn a_template_has_the_number_once_and_makes_names() {
        assert_eq!(
            check_template("a/s$Number$").as_deref(),
            Ok("a/s$Number$.m4s")
        );
        assert_eq!(
            check_template("segment-$Number$.m4s").as_deref(),
            Ok("segment-$Number$.m4s")
        );
        for bad in [
            "a",
            "$Number$/$Number$",
            "$Time$",
            "$Number%05d$",
            "../$Number$",
            "",
        ] {
            assert!(check_template(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_is_one_plain_relative_address(name in "[a-c0-1./~_%:? -]{0,12}") {
            let Ok(whole) = check_name(Kind::Segment, &name) else { return Ok(()) };
            prop_assert!(whole.starts_with(&name));
            prop_assert!(ENDINGS.iter().any(|ending| whole.ends_with(ending)));
            let uri: hyper::Uri = format!("/cam/x/{whole}").parse().unwrap();
            prop_assert_eq!(uri.path(), format!("/cam/x/{whole}"));
            prop_assert!(uri.query().is_none());
            prop_assert!(whole.split('/').all(|element| !matches!(element, "" | "." | "..")));
        }
    }
}
