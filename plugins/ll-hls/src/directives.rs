//! Delivery directives (6.2.5): what a request for a media playlist asks, and whether it can be answered yet.

use picam_plugin::{
    KeyValue, Position,
    playlist::{AS_FILE, Rendition},
    text,
};

use crate::Limits;

const MSN: &str = "_HLS_msn";
const PART: &str = "_HLS_part";
const SKIP: &str = "_HLS_skip";

/// The query parameters that change a media playlist.
pub const PARAMETERS: [&str; 4] = [MSN, PART, SKIP, AS_FILE];

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: the segment that must be there.
    pub sequence: Option<u64>,
    /// `_HLS_part`: the part of it that must be there.
    pub part: Option<u64>,
    /// `_HLS_skip`: whether a delta update is welcome.
    pub skip: Option<bool>,
    /// It is for a file. All of the above means nothing then.
    pub as_file: bool,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What was asked for is there.
    Ready,
    /// It will be, at this position.
    Wait(Position),
    /// It won't, or not soon enough: 400, and why.
    Refuse(String),
}

impl Directives {
    /// Reads them in whatever order they come.
    ///
    /// # Errors
    /// The reason for a 400.
    pub fn read(query: &[KeyValue]) -> Result<Self, String> {
        let mut directives = Self::default();
        if query.iter().any(|pair| pair.key == AS_FILE) {
            return Ok(Self {
                as_file: true,
                ..Self::default()
            });
        }
        for KeyValue { key, value } in query {
            let first = match key.as_str() {
                MSN => directives.sequence.replace(number(key, value)?).is_none(),
                PART => directives.part.replace(number(key, value)?).is_none(),
                SKIP => directives.skip.replace(skip(value)?).is_none(),
                _ => true,
            };
            if !first {
                return Err(text::joined(&[key, " is given twice: once is enough"]));
            }
        }
        if directives.part.is_some() && directives.sequence.is_none() {
            return Err("_HLS_part counts within a segment: name that with _HLS_msn".into());
        }
        Ok(directives)
    }

    /// Whether the rendition has what is asked for (6.2.5.2).
    pub fn judge(&self, rendition: &Rendition, limits: &Limits) -> Verdict {
        let Some(sequence) = self.sequence else {
            return Verdict::Ready;
        };
        let now = rendition.position;
        // The last media segment in the playlist is the one before the growing one, which has parts only.
        if sequence > now.sequence.saturating_add(1) {
            return Verdict::Refuse(too_far(
                "_HLS_msn is more than two past the last segment: ask for ",
                now.sequence.saturating_add(1),
            ));
        }
        let Some(part) = self.part else {
            return until(now, sequence.saturating_add(1), 0);
        };
        // How many parts it is past the newest one, counted from the newest of its own segment where that is known.
        let published = match sequence.cmp(&now.sequence) {
            std::cmp::Ordering::Greater => 0,
            std::cmp::Ordering::Equal => u64::from(now.parts),
            std::cmp::Ordering::Less => match rendition.segment(sequence) {
                Some(segment) if !segment.parts.is_empty() => segment.parts.len() as u64,
                // Too old to know, and old enough not to matter.
                _ => return Verdict::Ready,
            },
        };
        let limit = advance_limit(limits.part_target);
        if part >= published.saturating_add(limit) {
            return Verdict::Refuse(too_far(
                "_HLS_part is too far past the last part: ask for ",
                published + limit - 1,
            ));
        }
        if sequence < now.sequence {
            if part < published {
                return Verdict::Ready;
            }
            // Past the last part of a complete segment lies the first one of the next.
            return until(now, sequence + 1, 1);
        }
        until(now, sequence, u32::try_from(part + 1).unwrap_or(u32::MAX))
    }
}

/// The Advance Part Limit.
fn advance_limit(part_target: u64) -> u64 {
    if part_target < 1_000_000 {
        3_000_000 / part_target.max(1)
    } else {
        3
    }
}

fn until(now: Position, sequence: u64, parts: u32) -> Verdict {
    if (now.sequence, now.parts) >= (sequence, parts) {
        Verdict::Ready
    } else {
        Verdict::Wait(Position { sequence, parts })
    }
}

fn number(key: &str, value: &str) -> Result<u64, String> {
    const WRONG: &str = " is not a number: expected digits, as in ";
    text::parse_whole(value).ok_or_else(|| text::joined(&[key, "=", value, WRONG, key, "=273"]))
}

/// A delta update without date ranges (`v2`) would have to name those that were removed lately (4.4.5.2), which nothing
/// here knows. CAN-SKIP-DATERANGES isn't offered, so who asks for it all the same gets a whole playlist.
fn skip(value: &str) -> Result<bool, String> {
    match value {
        "YES" => Ok(true),
        "v2" => Ok(false),
        _ => Err(text::joined(&[SKIP, "=", value, ": expected YES or v2"])),
    }
}

fn too_far(what: &str, most: u64) -> String {
    let mut reason = String::from(what);
    text::push_whole(&mut reason, most);
    reason.push_str(" at most");
    reason
}
