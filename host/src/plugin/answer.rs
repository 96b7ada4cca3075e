use bytes::Bytes;

use super::{Answer, bindings::exports::picam::plugin::playlist};
use crate::live::{Position, Snapshot};

/// A year: no cache needs to keep a document longer.
const MAX_AGE_MOST: u32 = 365 * 24 * 60 * 60;
/// Bytes of a refusal's reason.
const REASON_MOST: usize = 1_000;

/// Turns a plugin's answer into ours, or says what is wrong with it.
pub(super) fn check(
    answer: playlist::Answer,
    snapshot: &Snapshot,
    output_most: usize,
) -> Result<Answer, String> {
    match answer {
        playlist::Answer::Document(text) => {
            if text.body.len() > output_most {
                return Err(format!(
                    "the document has {} bytes; its limit is {output_most}; if it needs that much, raise `output` in \
                     its [[plugin]] table",
                    text.body.len()
                ));
            }
            if text.max_age > MAX_AGE_MOST {
                return Err(format!(
                    "`max-age` is {} seconds; at most {MAX_AGE_MOST} (a year) make sense",
                    text.max_age
                ));
            }
            Ok(Answer::Document {
                body: Bytes::from(text.body),
                max_age: text.max_age,
            })
        }
        playlist::Answer::Wait(wanted) => {
            let wanted = Position {
                sequence: wanted.sequence,
                parts: wanted.parts,
            };
            let here = snapshot.position;
            // Else the host would ask again at once, for ever.
            if snapshot.ended {
                Err("it wants to wait, but the presentation has ended".to_owned())
            } else if wanted <= here {
                Err(format!(
                    "it wants to wait for segment {} part {}, but the stream is at segment {} part {} already",
                    wanted.sequence, wanted.parts, here.sequence, here.parts
                ))
            } else {
                Ok(Answer::Wait(wanted))
            }
        }
        playlist::Answer::Refuse(refusal) => {
            if !(400..=599).contains(&refusal.status) {
                return Err(format!(
                    "it refuses with status {}; a refusal's status is 400 to 599",
                    refusal.status
                ));
            }
            if refusal.reason.chars().any(char::is_control) || refusal.reason.len() > REASON_MOST {
                return Err(format!(
                    "the reason of its refusal must be one line of at most {REASON_MOST} bytes"
                ));
            }
            Ok(Answer::Refuse {
                status: refusal.status,
                reason: refusal.reason,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial, *};

    fn wait(sequence: u64, parts: u32) -> playlist::Answer {
        playlist::Answer::Wait(playlist::Position { sequence, parts })
    }

    #[test]
    fn only_a_position_ahead_can_be_waited_for() {
        let snapshot = trial::running();
        let Position { sequence, parts } = snapshot.position;
        assert_eq!(
            check(wait(sequence, parts + 1), &snapshot, 10),
            Ok(Answer::Wait(Position {
                sequence,
                parts: parts + 1
            }))
        );
        assert!(check(wait(sequence + 1, 0), &snapshot, 10).is_ok());
        let error = check(wait(sequence, parts), &snapshot, 10).unwrap_err();
        assert!(error.contains("already"), "{error}");
        assert!(check(wait(sequence - 1, 99), &snapshot, 10).is_err());
        let error = check(wait(sequence + 1, 0), &trial::ended(), 10).unwrap_err();
        assert!(error.contains("ended"), "{error}");
    }

    #[test]
    fn a_refusal_is_an_error_status_and_one_line() {
        let refuse = |status, reason: &str| {
            let reason = reason.to_owned();
            let answer = playlist::Answer::Refuse(playlist::Refusal { status, reason });
            check(answer, &trial::running(), 10)
        };
        assert!(refuse(400, "part without segment").is_ok());
        assert!(refuse(599, "").is_ok());
        for status in [0, 200, 302, 399, 600] {
            assert!(
                refuse(status, "x")
                    .unwrap_err()
                    .contains(&status.to_string())
            );
        }
        assert!(refuse(400, "two\nlines").unwrap_err().contains("one line"));
        assert!(refuse(400, &"x".repeat(1_001)).is_err());
    }

    #[test]
    fn a_document_is_bounded_and_so_is_its_life() {
        let document = |body: &str, max_age| {
            let body = body.to_owned();
            let answer = playlist::Answer::Document(playlist::Text { body, max_age });
            check(answer, &trial::running(), 10)
        };
        let body = Bytes::from_static(b"0123456789");
        assert_eq!(
            document("0123456789", 1),
            Ok(Answer::Document { body, max_age: 1 })
        );
        assert!(document("0123456789x", 1).unwrap_err().contains("`output`"));
        assert!(document("", u32::MAX).unwrap_err().contains("max-age"));
    }
}
