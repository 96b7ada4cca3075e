//! Rules of media: chunks, and how they are sent.

use anyhow::{Context, Result, ensure};
use picam_tests::{
    dash::{Grown, WatchedMpd},
    media::{self, Fragment},
};

use crate::{Rule, Scene};

pub const RULES: &[Rule] = &[
    ("23000-19, 7.3.2.3: a chunk is prft, moof and mdat", chunks),
    ("a segment begins with an IDR picture", access_points),
    ("decoding times join up within a period", joints),
    (
        "prft says when a picture was captured, by the clock of the MPD",
        reference_times,
    ),
    ("segments are where the MPD says", places),
    ("chunks are sent as they come into being", growing),
    ("every period that is over ends with an empty segment", ends),
];

/// Every segment that came.
fn each(
    watched: &WatchedMpd,
    mut holds: impl FnMut(&str, u64, &Grown, Vec<Fragment>) -> Result<()>,
) -> Result<()> {
    for ((period, number), grown) in &watched.segments {
        if grown.status != 200 || grown.is_none()? {
            continue;
        }
        let context = || format!("segment {number} of period {period}");
        let fragments = media::fragments(&grown.body).with_context(context)?;
        holds(period, *number, grown, fragments).with_context(context)?;
    }
    Ok(())
}

fn chunks(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    let mut pictures = 0;
    each(watched, |_, _, grown, fragments| {
        let boxes = media::boxes(grown.body.clone())?;
        let kinds: Vec<_> = boxes.iter().map(|found| &*found.kind).collect();
        for chunk in kinds.chunks(3) {
            ensure!(chunk == ["prft", "moof", "mdat"], "{chunk:?}");
        }
        for fragment in &fragments {
            ensure!(fragment.samples.len() == 1, "one picture a chunk");
        }
        pictures += fragments.len();
        ensure!(fragments.len() > 1, "more than one chunk a segment");
        Ok(())
    })?;
    ensure!(pictures > 100, "{pictures} pictures");
    Ok(())
}

fn access_points(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each(watched, |_, _, _, fragments| {
        let first = &fragments.first().context("no chunk")?.samples[0];
        let idr = |nal: &bytes::Bytes| nal.first().is_some_and(|head| head & 0x1f == 5);
        ensure!(
            !first.dependent && first.nals.iter().any(idr),
            "no IDR picture"
        );
        Ok(())
    })
}

fn joints(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    let mut last: Option<(String, u64, u64)> = None;
    each(watched, |period, number, _, fragments| {
        for fragment in &fragments {
            if let Some((of, before, end)) = &last
                && of == period
                && *before + 1 >= number
            {
                ensure!(
                    *end == fragment.decode_time,
                    "one ends at {end}, and the next starts at {}",
                    fragment.decode_time
                );
            }
            let length = u64::from(fragment.samples[0].duration);
            last = Some((period.to_owned(), number, fragment.decode_time + length));
        }
        Ok(())
    })
}

/// Seconds from 1900 to 1970.
const NTP_EPOCH: f64 = 2_208_988_800.0;

fn reference_times(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    let start = watched.last().read.availabilityStartTime;
    let start = start.context("@availabilityStartTime")?;
    let start = start.timestamp_micros() as f64 / 1e6;
    let mut off = Vec::new();
    each(watched, |_, _, _, fragments| {
        for fragment in &fragments {
            let prft = fragment.prft.as_ref().context("no prft")?;
            let wall = prft.ntp_timestamp as f64 / 2f64.powi(32) - NTP_EPOCH;
            off.push((wall - start - prft.media_time as f64 / 1e6).abs());
        }
        Ok(())
    })?;
    // Presentation time follows capture time, smoothly: after a hiccup it needs a moment.
    off.sort_by(f64::total_cmp);
    let median = *off.get(off.len() / 2).context("no prft at all")?;
    let frame = scene.frame.as_secs_f64();
    ensure!(median < frame, "off by {median} s at the median");
    if scene.steady {
        let most = off[off.len() * 9 / 10];
        ensure!(most < 1.5 * frame, "off by {most} s");
    }
    Ok(())
}

fn places(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each(watched, |period, number, _, fragments| {
        let start = fragments.first().context("no chunk")?.decode_time;
        for revision in &watched.revisions {
            let periods = revision.mpd.periods()?;
            let Some(parts) = periods.iter().find(|parts| parts.id() == period) else {
                continue;
            };
            match parts.template.duration {
                Some(length) => {
                    let first = parts.template.startNumber.unwrap_or(1);
                    let offset = parts.template.presentationTimeOffset.unwrap_or(0);
                    let nominal = offset as f64 + (number - first) as f64 * length;
                    let off = (start as f64 - nominal).abs();
                    ensure!(off <= length / 2.0, "9.X.4.5: it is {off} us off its place");
                }
                None => {
                    let listed = parts.timeline().unwrap_or_default();
                    // Where one begins is known from the moment when it grows; those after it are expected, and a camera
                    // that goes to another rate has them come elsewhere.
                    let growing = listed.iter().position(|listed| listed.open);
                    let mut known = listed
                        .iter()
                        .take(growing.map_or(listed.len(), |at| at + 1));
                    if let Some(listed) = known.find(|listed| listed.number == number) {
                        ensure!(
                            listed.start == start,
                            "{listed:?}, and it starts at {start}"
                        );
                    }
                }
            }
        }
        Ok(())
    })
}

/// Exact about order, patient about time: on a busy machine, chunks may come late, but not all at the end.
fn growing(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    let (mut early, mut all) = (0, 0);
    each(watched, |_, _, grown, fragments| {
        if grown.complete || fragments.len() < 4 {
            return Ok(());
        }
        let prft = fragments[fragments.len() - 1]
            .prft
            .as_ref()
            .context("no prft")?;
        let captured = prft.ntp_timestamp as f64 / 2f64.powi(32) - NTP_EPOCH;
        let (_, first) = grown.arrivals.first().context("nothing came")?;
        all += 1;
        early += usize::from(first.as_secs_f64() < captured);
        Ok(())
    })?;
    ensure!(all > 3, "{all} segments were seen to grow");
    ensure!(
        2 * early > all,
        "of {all} segments, {early} began to be sent before their last picture was captured ({})",
        scene.name
    );
    Ok(())
}

fn ends(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    let open = watched.last().last()?.id().to_owned();
    let mut ends = 0;
    for ((period, number), grown) in &watched.segments {
        ensure!(
            grown.status == 200,
            "segment {number} of {period}: {}",
            grown.status
        );
        if grown.is_none()? {
            ensure!(
                *period != open,
                "segment {number} of the period that goes on is empty"
            );
            ends += 1;
        }
    }
    ensure!(scene.steady || ends >= 3, "{ends} periods ended");
    Ok(())
}
