//! Rules about the bytes, and about how they agree with the playlist.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use picam_tests::{
    Part, Segment, Watched,
    media::{self, Fragment},
};

use crate::{
    Scene,
    playlist_rules::{Rule, date, rules},
};

pub const RULES: &[Rule] = rules![
    everything_that_is_listed_can_be_had,
    a_segment_is_its_parts_byte_for_byte,
    durations_are_those_of_the_samples,
    independent_is_said_where_an_idr_picture_is,
    every_segment_begins_with_an_idr_picture,
    time_joins_up_except_at_a_discontinuity,
    every_moof_has_a_prft_with_the_captures_clock,
    a_hinted_part_comes_whole_once_its_last_picture_is_captured,
    an_init_segment_describes_one_h264_track,
    discontinuities_are_what_happened,
];

/// All parts with their segments, fetched and read.
fn parts(watched: &Watched) -> Result<Vec<(Segment, Part, Vec<Fragment>)>> {
    let mut read = Vec::new();
    for segment in watched.segments() {
        for part in &segment.parts {
            let fetched = watched
                .media
                .get(&part.uri)
                .with_context(|| format!("{} was not fetched", part.uri))?;
            let fragments = media::fragments(&fetched.body).with_context(|| {
                format!("reading {}, which answered {}", part.uri, fetched.status)
            })?;
            read.push((segment.clone(), part.clone(), fragments));
        }
    }
    Ok(read)
}

fn timescale(watched: &Watched, segment: &Segment) -> Result<u32> {
    let uri = segment.map.as_ref().context("no map")?;
    let init = watched.media.get(uri).context("the map was not fetched")?;
    Ok(media::init(&init.body)?.trak[0].mdia.mdhd.timescale)
}

fn is_idr(fragment: &Fragment) -> bool {
    let mut nals = fragment.samples.iter().flat_map(|sample| &sample.nals);
    nals.any(|nal| nal.first().is_some_and(|head| head & 0x1f == 5))
}

/// 6.2.1: at the time when it is added to the playlist; 6.2.6: what is hinted, too.
fn everything_that_is_listed_can_be_had(watched: &Watched, _: &Scene) -> Result<()> {
    let listed = watched.segments();
    let part = |uri: &str| {
        let mut parts = listed.iter().flat_map(|segment| &segment.parts);
        parts.any(|part| part.uri == uri)
    };
    for (uri, fetched) in &watched.media {
        // What is hinted last may come after watching ended, or never, at the end of the stream.
        ensure!(
            fetched.status == 200 || (fetched.hinted && !part(uri)),
            "{uri} answers {}: {}",
            fetched.status,
            String::from_utf8_lossy(&fetched.body)
        );
    }
    Ok(())
}

/// One set of bytes.
fn a_segment_is_its_parts_byte_for_byte(watched: &Watched, _: &Scene) -> Result<()> {
    let mut compared = 0;
    for segment in watched.segments() {
        let Some(whole) = segment.uri.as_ref().and_then(|uri| watched.media.get(uri)) else {
            continue;
        };
        if segment.parts.is_empty() {
            continue;
        }
        let bodies = segment
            .parts
            .iter()
            .filter_map(|part| watched.media.get(&part.uri));
        let joined: Vec<u8> = bodies.flat_map(|part| part.body.iter().copied()).collect();
        ensure!(
            joined == whole.body,
            "segment {} is not its parts",
            segment.sequence
        );
        compared += 1;
    }
    ensure!(
        compared > 0 || watched.segments().len() < 2,
        "no segment could be compared"
    );
    Ok(())
}

/// Exact: Chromium's buffer shows every microsecond.
fn durations_are_those_of_the_samples(watched: &Watched, _: &Scene) -> Result<()> {
    for (segment, part, fragments) in parts(watched)? {
        let ticks: u64 = fragments
            .iter()
            .flat_map(|fragment| &fragment.samples)
            .map(|sample| u64::from(sample.duration))
            .sum();
        let samples = media::duration(ticks, timescale(watched, &segment)?);
        ensure!(
            samples == part.duration,
            "{} is said to last {:?}; its samples last {samples:?}",
            part.uri,
            part.duration
        );
    }
    Ok(())
}

/// 4.4.4.9.
fn independent_is_said_where_an_idr_picture_is(watched: &Watched, _: &Scene) -> Result<()> {
    for (_, part, fragments) in parts(watched)? {
        let idr = fragments.iter().any(is_idr);
        ensure!(
            idr == part.independent,
            "{part:?} holds an IDR picture: {idr}"
        );
        for fragment in &fragments {
            for sample in &fragment.samples {
                ensure!(
                    sample.dependent != is_idr(fragment),
                    "{}: a sample's flags contradict its NAL units",
                    part.uri
                );
            }
        }
    }
    Ok(())
}

/// EXT-X-INDEPENDENT-SEGMENTS.
fn every_segment_begins_with_an_idr_picture(watched: &Watched, _: &Scene) -> Result<()> {
    for segment in watched.segments() {
        let Some(whole) = segment.uri.as_ref().and_then(|uri| watched.media.get(uri)) else {
            continue;
        };
        let fragments = media::fragments(&whole.body)?;
        ensure!(
            fragments.first().is_some_and(is_idr),
            "segment {} begins with something else",
            segment.sequence
        );
    }
    Ok(())
}

/// And time never goes back.
fn time_joins_up_except_at_a_discontinuity(watched: &Watched, _: &Scene) -> Result<()> {
    let mut end: Option<u64> = None;
    let mut number: Option<u32> = None;
    for (segment, part, fragments) in parts(watched)? {
        let opens = segment.parts.first() == Some(&part);
        for (at, fragment) in fragments.iter().enumerate() {
            let start = fragment.decode_time;
            if let Some(end) = end {
                let free = opens && at == 0 && segment.discontinuity;
                ensure!(
                    start == end || (free && start > end),
                    "{} starts at {start}, what is before it ends at {end} (discontinuity: {})",
                    part.uri,
                    segment.discontinuity
                );
            }
            ensure!(
                number.is_none_or(|number| fragment.sequence == number.wrapping_add(1)),
                "{}: moof {} follows {number:?}",
                part.uri,
                fragment.sequence
            );
            number = Some(fragment.sequence);
            let ticks = fragment
                .samples
                .iter()
                .map(|sample| u64::from(sample.duration));
            end = Some(start + ticks.sum::<u64>());
        }
    }
    Ok(())
}

/// Seconds from 1900 to 1970: NTP's epoch to Unix's.
const NTP: u64 = 2_208_988_800;

fn captured(fragment: &Fragment) -> Result<Duration> {
    let prft = fragment.prft.as_ref().context("there is no prft")?;
    let fraction = (u128::from(prft.ntp_timestamp & 0xffff_ffff) * 1_000_000_000) >> 32;
    let seconds = (prft.ntp_timestamp >> 32)
        .checked_sub(NTP)
        .context("before 1970")?;
    Ok(Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(fraction)?))
}

/// And EXT-X-PROGRAM-DATE-TIME is that of the segment's first picture.
fn every_moof_has_a_prft_with_the_captures_clock(watched: &Watched, scene: &Scene) -> Result<()> {
    for (segment, part, fragments) in parts(watched)? {
        for (at, fragment) in fragments.iter().enumerate() {
            let captured = captured(fragment).with_context(|| part.uri.clone())?;
            let media_time = fragment.prft.as_ref().map(|prft| prft.media_time);
            ensure!(
                media_time == Some(fragment.decode_time),
                "{}: prft is about {media_time:?}, the moof about {}",
                part.uri,
                fragment.decode_time
            );
            if at == 0 && segment.parts.first() == Some(&part) {
                let off = date(&segment)?.abs_diff(captured);
                ensure!(
                    off <= scene.longest_frame(),
                    "the date of segment {} is {off:?} off",
                    segment.sequence
                );
            }
        }
    }
    Ok(())
}

/// 6.2.6: no byte before the whole can go at line speed.
fn a_hinted_part_comes_whole_once_its_last_picture_is_captured(
    watched: &Watched,
    _: &Scene,
) -> Result<()> {
    // A date may be that much behind the clock (it is corrected only when it is worth it).
    const LABEL: Duration = Duration::from_millis(15);
    let mut hinted = 0;
    for (_, part, fragments) in parts(watched)? {
        let fetched = &watched.media[&part.uri];
        if !fetched.hinted {
            continue;
        }
        hinted += 1;
        let last = captured(fragments.last().context("an empty part")?)?;
        ensure!(
            fetched.answered + LABEL >= last,
            "{} was answered {:?} before its last picture",
            part.uri,
            last - fetched.answered
        );
    }
    ensure!(
        hinted > 0 || watched.revisions.len() < 10,
        "no hinted part was ever asked for"
    );
    Ok(())
}

fn an_init_segment_describes_one_h264_track(watched: &Watched, _: &Scene) -> Result<()> {
    for segment in watched.segments() {
        let uri = segment.map.as_ref().context("no map")?;
        let init = watched.media.get(uri).context("the map was not fetched")?;
        let moov = media::init(&init.body).with_context(|| uri.clone())?;
        ensure!(moov.trak.len() == 1, "{uri} has {} tracks", moov.trak.len());
        ensure!(
            moov.mvex.is_some(),
            "{uri} has no mvex, which fragments need"
        );
    }
    Ok(())
}

/// 4.4.4.3: where the map changes, and not where nothing happened.
fn discontinuities_are_what_happened(watched: &Watched, scene: &Scene) -> Result<()> {
    let all = watched.segments();
    for pair in all.windows(2) {
        ensure!(
            pair[0].map == pair[1].map || pair[1].discontinuity,
            "the map changes at segment {} without a discontinuity",
            pair[1].sequence
        );
    }
    let count = all
        .iter()
        .skip(1)
        .filter(|segment| segment.discontinuity)
        .count();
    ensure!(
        scene.discontinuities || count == 0,
        "{count} discontinuities where nothing happened"
    );
    Ok(())
}
