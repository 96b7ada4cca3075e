use std::time::Duration;

use super::{TimingRequest, bindings::exports::picam::plugin::playlist};

/// Bounds of what can be asked for. Beyond them a player can't follow, or a Pi's memory doesn't suffice.
const PART: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));
const SEGMENT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
const WINDOW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));

/// Turns what a plugin asks for into our own type, or says what is wrong with it.
pub(super) fn check(request: playlist::TimingRequest) -> Result<TimingRequest, String> {
    let bounded = |name: &str, micros: Option<u64>, (least, most): (Duration, Duration)| {
        let length = micros.map(Duration::from_micros);
        match length {
            Some(length) if !(least..=most).contains(&length) => Err(format!(
                "it asks for a {name} of {length:?}; from {least:?} to {most:?} are possible"
            )),
            length => Ok(length),
        }
    };
    let request = TimingRequest {
        segment: bounded("segment", request.segment, SEGMENT)?,
        part: bounded("part", request.part, PART)?,
        window: bounded("window", request.window, WINDOW)?,
    };
    if let (Some(part), Some(segment)) = (request.part, request.segment)
        && part > segment
    {
        return Err(format!(
            "it asks for parts of {part:?} in segments of {segment:?}; a part is never longer than its segment"
        ));
    }
    Ok(request)
}

/// What plugins ask for together: the longest window, and of everything else the one value that there is. Two values are
/// an error that names both plugins.
pub(super) fn merge<'a>(
    requests: impl IntoIterator<Item = (&'a str, TimingRequest)>,
) -> Result<TimingRequest, String> {
    let mut merged = TimingRequest::default();
    let mut asked_segment = "";
    let mut asked_part = "";
    for (plugin, request) in requests {
        agree(
            "segment",
            &mut merged.segment,
            &mut asked_segment,
            plugin,
            request.segment,
        )?;
        agree(
            "part",
            &mut merged.part,
            &mut asked_part,
            plugin,
            request.part,
        )?;
        merged.window = merged.window.max(request.window);
    }
    if let (Some(part), Some(segment)) = (merged.part, merged.segment)
        && part > segment
    {
        return Err(format!(
            "plugin {asked_part} asks for parts of {part:?} and plugin {asked_segment} for segments of {segment:?}; a \
             part is never longer than its segment: configure one of them otherwise"
        ));
    }
    Ok(merged)
}

fn agree<'a>(
    name: &str,
    value: &mut Option<Duration>,
    asked: &mut &'a str,
    plugin: &'a str,
    new: Option<Duration>,
) -> Result<(), String> {
    match (*value, new) {
        (Some(old), Some(new)) if old != new => Err(format!(
            "plugin {asked} asks for a {name} of {old:?} and plugin {plugin} for one of {new:?}; all documents of a \
             stream share their timing: give both the same value, or leave it out in one"
        )),
        (None, Some(new)) => {
            *value = Some(new);
            *asked = plugin;
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(segment: u64, part: u64, window: u64) -> TimingRequest {
        let millis = |value: u64| (value > 0).then(|| Duration::from_millis(value));
        TimingRequest {
            segment: millis(segment),
            part: millis(part),
            window: millis(window),
        }
    }

    #[test]
    fn the_longest_window_wins_and_silence_agrees_with_everybody() {
        let merged = merge([
            ("a", request(1_000, 0, 30_000)),
            ("b", request(0, 200, 60_000)),
            ("c", request(1_000, 200, 0)),
        ]);
        assert_eq!(merged, Ok(request(1_000, 200, 60_000)));
        assert_eq!(merge([]), Ok(TimingRequest::default()));
    }

    #[test]
    fn two_different_values_name_both_plugins_and_both_values() {
        let error = merge([
            ("quiet", request(0, 0, 0)),
            ("ll-hls", request(0, 200, 0)),
            ("dash", request(0, 100, 0)),
        ])
        .unwrap_err();
        for word in ["plugin ll-hls", "200ms", "plugin dash", "100ms", "part"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(!error.contains("quiet"), "{error}");
    }

    #[test]
    fn parts_longer_than_segments_are_refused_within_a_plugin_and_between_two() {
        let error = merge([("a", request(500, 0, 0)), ("b", request(0, 600, 0))]).unwrap_err();
        assert!(
            error.contains("plugin b") && error.contains("plugin a"),
            "{error}"
        );
        let wire = |segment, part| playlist::TimingRequest {
            segment,
            part,
            window: None,
        };
        assert!(check(wire(Some(500_000), Some(600_000))).is_err());
        assert_eq!(
            check(wire(Some(500_000), Some(500_000))),
            Ok(request(500, 500, 0))
        );
    }

    #[test]
    fn values_that_no_stream_can_have_are_refused_with_the_range() {
        let error = check(playlist::TimingRequest {
            segment: None,
            part: Some(0),
            window: None,
        })
        .unwrap_err();
        assert!(error.contains("from 1ms to 10s"), "{error}");
    }
}
