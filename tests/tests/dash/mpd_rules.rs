//! Rules of the MPD.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use picam_tests::{
    dash::{Mpd, Parts, WatchedMpd},
    media,
};

use crate::{Rule, Scene};

pub const RULES: &[Rule] = &[
    ("5.3.1.2: the attributes of a live MPD", attributes),
    ("9.X.4.1: the profiles", profiles),
    ("elements in the order of the schema", order),
    ("dash-mpd-core finds nothing to complain of", conformity),
    ("9.X.4.2: ServiceDescription", service_description),
    ("5.8.4.11: UTCTiming by the host", utc_timing),
    ("9.X.4.3: ProducerReferenceTime", producer_reference_time),
    (
        "availabilityStartTime and what was said once stay",
        constant,
    ),
    ("9.X.4.5: chunks are announced", low_latency),
    ("5.3.12: Resync", resync),
    ("5.3.7: the representation", representation),
    (
        "segments are counted where they keep their place, and listed elsewhere",
        addressing,
    ),
    ("5.3.9.6: a SegmentTimeline joins up", timeline),
    (
        "5.3.2: periods follow each other, and each but the last is closed",
        periods,
    ),
    ("an MPD says as much as the window holds", depth),
];

/// Every MPD that was seen.
fn each(watched: &WatchedMpd, holds: impl Fn(&Mpd) -> Result<()>) -> Result<()> {
    for revision in &watched.revisions {
        holds(&revision.mpd).with_context(|| revision.mpd.text.clone())?;
    }
    Ok(())
}

/// Every period of every MPD.
fn each_period(watched: &WatchedMpd, holds: impl Fn(&Mpd, Parts<'_>) -> Result<()>) -> Result<()> {
    each(watched, |mpd| {
        mpd.periods()?
            .into_iter()
            .try_for_each(|parts| holds(mpd, parts))
    })
}

fn attributes(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    each(watched, |mpd| {
        let read = &mpd.read;
        ensure!(read.mpdtype.as_deref() == Some("dynamic"), "@type");
        let start = read
            .availabilityStartTime
            .context("@availabilityStartTime")?;
        let published = read.publishTime.context("@publishTime")?;
        ensure!(published >= start, "published before it began");
        let update = read.minimumUpdatePeriod.context("@minimumUpdatePeriod")?;
        // What was asked of players: an MPD is not older than that when a period is closed.
        ensure!(
            (Duration::from_secs(1)..=Duration::from_secs(2)).contains(&update),
            "@minimumUpdatePeriod {update:?}"
        );
        let target = Duration::from_millis(scene.target_ms);
        ensure!(read.minBufferTime == Some(target), "@minBufferTime");
        ensure!(
            read.suggestedPresentationDelay == Some(target),
            "@suggestedPresentationDelay"
        );
        let depth = read.timeShiftBufferDepth.context("@timeShiftBufferDepth")?;
        ensure!(
            depth.as_secs() >= scene.window_s,
            "@timeShiftBufferDepth {depth:?}"
        );
        let longest = read.maxSegmentDuration.context("@maxSegmentDuration")?;
        for parts in mpd.periods()? {
            for listed in parts.timeline().unwrap_or_default() {
                let length = Duration::from_micros(listed.duration);
                ensure!(
                    length <= longest,
                    "a segment of {length:?}, beyond {longest:?}"
                );
            }
        }
        Ok(())
    })
}

fn profiles(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each(watched, |mpd| {
        let profiles = mpd.read.profiles.as_deref().unwrap_or_default();
        for profile in [
            "urn:mpeg:dash:profile:isoff-live:2011",
            "http://www.dashif.org/guidelines/low-latency-live-v5",
        ] {
            ensure!(profiles.split(',').any(|one| one == profile), "{profiles}");
        }
        Ok(())
    })
}

/// The schema has sequences, which readers don't check.
fn order(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    const ORDER: [(&str, &[&str]); 6] = [
        ("MPD", &["ServiceDescription", "Period", "UTCTiming"]),
        ("ServiceDescription", &["Latency", "PlaybackRate"]),
        ("Period", &["AdaptationSet"]),
        (
            "AdaptationSet",
            &[
                "ProducerReferenceTime",
                "Resync",
                "SegmentTemplate",
                "Representation",
            ],
        ),
        ("ProducerReferenceTime", &["UTCTiming"]),
        ("SegmentTemplate", &["SegmentTimeline"]),
    ];
    each(watched, |mpd| {
        let mut open: Vec<(&str, usize)> = Vec::new();
        for tag in mpd.text.split('<').skip(2) {
            let tag = tag.split('>').next().unwrap_or_default();
            if tag.starts_with('/') {
                open.pop();
                continue;
            }
            let name = tag.split([' ', '/']).next().unwrap_or_default();
            if let Some((parent, last)) = open.last_mut() {
                let allowed = ORDER.iter().find(|(element, _)| element == parent);
                let allowed = allowed.map_or(&["S"][..], |(_, children)| children);
                let at = allowed.iter().position(|child| child == &name);
                let at = at.with_context(|| format!("<{name}> in <{parent}>"))?;
                ensure!(at >= *last, "<{name}> comes too late in <{parent}>");
                *last = at;
            }
            if !tag.ends_with('/') {
                open.push((name, 0));
            }
        }
        ensure!(open.is_empty(), "not closed: {open:?}");
        Ok(())
    })
}

fn conformity(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each(watched, |mpd| {
        let complaints = dash_mpd_core::check_conformity(&mpd.read);
        ensure!(complaints.is_empty(), "{complaints:?}");
        Ok(())
    })
}

fn service_description(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    each(watched, |mpd| {
        let [service] = &mpd.read.ServiceDescription[..] else {
            anyhow::bail!("one ServiceDescription");
        };
        let ([latency], [rate]) = (&service.Latency[..], &service.PlaybackRate[..]) else {
            anyhow::bail!("one Latency and one PlaybackRate");
        };
        ensure!(
            latency.target == Some(scene.target_ms as f64),
            "@target {latency:?}"
        );
        ensure!(
            latency.min < latency.target && latency.target < latency.max,
            "{latency:?}"
        );
        ensure!(
            latency.min.is_some() && latency.max.is_some(),
            "{latency:?}"
        );
        ensure!((rate.min, rate.max) == (Some(0.8), Some(1.2)), "{rate:?}");
        for parts in mpd.periods()? {
            let reference = &parts.set.ProducerReferenceTime[0];
            ensure!(
                latency.referenceId == reference.id,
                "@referenceId leads nowhere"
            );
        }
        Ok(())
    })
}

const HTTP_ISO: &str = "urn:mpeg:dash:utc:http-iso:2014";

fn utc_timing(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each(watched, |mpd| {
        let [timing] = &mpd.read.UTCTiming[..] else {
            anyhow::bail!("one UTCTiming");
        };
        ensure!(timing.schemeIdUri == HTTP_ISO, "{timing:?}");
        // Relative, so that it holds below a token and behind a proxy.
        ensure!(timing.value.as_deref() == Some("time"), "{timing:?}");
        Ok(())
    })
}

fn producer_reference_time(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each_period(watched, |mpd, parts| {
        let [reference] = &parts.set.ProducerReferenceTime[..] else {
            anyhow::bail!("one ProducerReferenceTime");
        };
        ensure!(reference.id.is_some(), "@id");
        ensure!(reference.prtType.as_deref() == Some("captured"), "@type");
        let timing = reference.UTCTiming.as_ref().context("its own UTCTiming")?;
        ensure!(timing.schemeIdUri == HTTP_ISO, "{timing:?}");
        // Presentation time 0 is captured at availabilityStartTime, so any time is captured that much later.
        let wall = reference.wallClockTime.context("@wallClockTime")?;
        let start = mpd
            .read
            .availabilityStartTime
            .context("@availabilityStartTime")?;
        let time = reference.presentationTime.context("@presentationTime")?;
        let into = (wall - start).num_microseconds().context("no such time")?;
        ensure!(
            into == i64::try_from(time)?,
            "{into} us into the stream, and {time}"
        );
        Ok(())
    })
}

fn constant(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    let first = &watched.revisions[0].mpd.read;
    let mut said = BTreeMap::new();
    each(watched, |mpd| {
        ensure!(
            mpd.read.availabilityStartTime == first.availabilityStartTime,
            "@availabilityStartTime moved"
        );
        Ok(())
    })?;
    for revision in &watched.revisions {
        for parts in revision.mpd.periods()? {
            let facts = (
                parts.period.start,
                parts.media()?,
                parts.init()?,
                parts.template.presentationTimeOffset,
                parts.representation.codecs.clone(),
            );
            let before = said.entry(parts.id().to_owned()).or_insert(facts.clone());
            ensure!(
                *before == facts,
                "period {}: {before:?}, then {facts:?}",
                parts.id()
            );
            for listed in parts.timeline().unwrap_or_default() {
                if listed.open {
                    continue;
                }
                let key = format!("{}/{}", parts.id(), listed.number);
                let facts = (
                    None,
                    listed.start.to_string(),
                    listed.duration.to_string(),
                    None,
                    None,
                );
                let before = said.entry(key.clone()).or_insert(facts.clone());
                ensure!(
                    *before == facts,
                    "segment {key}: {before:?}, then {facts:?}"
                );
            }
        }
    }
    let published: Vec<_> = watched
        .revisions
        .iter()
        .map(|revision| revision.mpd.read.publishTime)
        .collect();
    ensure!(published.is_sorted(), "@publishTime falls: {published:?}");
    Ok(())
}

fn low_latency(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    each_period(watched, |_, parts| {
        ensure!(
            parts.template.availabilityTimeComplete == Some(false),
            "@availabilityTimeComplete"
        );
        let offset = parts.template.availabilityTimeOffset;
        let offset = offset.context("@availabilityTimeOffset")?;
        // Of what is closed, nothing can be early any more.
        let open = || parts.timeline()?.pop().filter(|last| last.open);
        let length = parts.template.duration;
        let Some(ticks) = length.or_else(|| open().map(|open| open.duration as f64)) else {
            return Ok(());
        };
        let segment = ticks / 1e6;
        let chunk = segment - offset;
        let slate = parts.representation.frameRate.is_none();
        // The rate is measured where the source tells none, over one GOP, whose ends may each come late.
        ensure!(
            slate || chunk >= scene.frame.as_secs_f64() * 0.95,
            "chunks of {chunk} s in segments of {segment} s"
        );
        ensure!(
            chunk * 2.0 <= segment,
            "9.X.4.4: more than one chunk a segment"
        );
        Ok(())
    })
}

fn resync(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    each_period(watched, |_, parts| {
        let [resync] = &parts.set.Resync[..] else {
            anyhow::bail!("one Resync");
        };
        ensure!(resync.rtype.is_some(), "@type");
        ensure!(resync.marker == Some(true), "@marker");
        let apart = Duration::from_micros(resync.dT.context("@dT")?);
        let half = Duration::from_millis(scene.target_ms) / 2;
        ensure!(apart <= half, "@dT {apart:?}, of {half:?}");
        Ok(())
    })
}

fn representation(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each_period(watched, |mpd, parts| {
        let it = parts.representation;
        let set = parts.set;
        ensure!(set.mimeType.as_deref() == Some("video/mp4"), "@mimeType");
        ensure!(
            mpd.text.contains(r#"containerProfiles="cmfc""#),
            "@containerProfiles"
        );
        ensure!(set.segmentAlignment == Some(true), "@segmentAlignment");
        ensure!(set.startWithSAP == Some(1), "@startWithSAP");
        ensure!(
            it.id.is_some() && it.bandwidth.is_some_and(|bits| bits > 1_000),
            "{it:?}"
        );
        ensure!(it.sar.as_deref() == Some("1:1"), "@sar {:?}", it.sar);
        let init = watched.inits.get(&parts.init()?);
        let moov = picam_tests::media::init(init.context("no such init segment")?)?;
        let track = &moov.trak[0];
        ensure!(
            parts.template.timescale == Some(track.mdia.mdhd.timescale.into()),
            "@timescale is not the track's"
        );
        let mp4_atom::Codec::Avc1(entry) = &track.mdia.minf.stbl.stsd.codecs[0] else {
            anyhow::bail!("no avc1");
        };
        let codecs = format!(
            "avc1.{:02x}{:02x}{:02x}",
            entry.avcc.avc_profile_indication,
            entry.avcc.profile_compatibility,
            entry.avcc.avc_level_indication
        );
        ensure!(
            it.codecs.as_deref() == Some(&codecs),
            "@codecs {:?}, not {codecs}",
            it.codecs
        );
        let size = (
            Some(entry.visual.width.into()),
            Some(entry.visual.height.into()),
        );
        ensure!(
            (it.width, it.height) == size,
            "{:?}x{:?}",
            it.width,
            it.height
        );
        Ok(())
    })
}

fn addressing(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    each_period(watched, |_, parts| {
        let counted = parts.template.duration.is_some();
        ensure!(
            counted != parts.template.SegmentTimeline.is_some(),
            "either @duration or a SegmentTimeline"
        );
        Ok(())
    })?;
    let last = watched.last().periods()?;
    let counted = last.iter().any(|parts| parts.template.duration.is_some());
    ensure!(counted, "segments of a steady source are counted");
    let listed = last
        .iter()
        .any(|parts| parts.template.SegmentTimeline.is_some());
    // A test pattern that a busy machine holds up has none, either.
    ensure!(
        listed || scene.steady,
        "segments of a source without a pace are listed"
    );
    Ok(())
}

fn timeline(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each(watched, |mpd| {
        let periods = mpd.periods()?;
        for (at, parts) in periods.iter().enumerate() {
            let Some(listed) = parts.timeline() else {
                continue;
            };
            ensure!(!listed.is_empty(), "an empty SegmentTimeline");
            for pair in listed.windows(2) {
                ensure!(
                    pair[0].start + pair[0].duration == pair[1].start,
                    "{:?} and {:?}",
                    pair[0],
                    pair[1]
                );
                ensure!(
                    pair[1].open || !pair[0].open,
                    "only the last ones are growing"
                );
            }
            let growing = at + 1 == periods.len();
            ensure!(
                listed.last().is_some_and(|last| last.open) == growing,
                "{listed:?}"
            );
            let offset = parts.template.presentationTimeOffset.unwrap_or(0);
            ensure!(listed[0].start >= offset, "a segment before its period");
        }
        Ok(())
    })
}

fn periods(watched: &WatchedMpd, _: &Scene) -> Result<()> {
    each(watched, |mpd| {
        let periods = mpd.periods()?;
        let mut ids: Vec<_> = periods.iter().map(Parts::id).collect();
        ids.sort_unstable();
        ids.dedup();
        ensure!(ids.len() == periods.len(), "ids repeat");
        for parts in &periods {
            let start = parts.period.start.context("Period@start")?;
            // So that media time is presentation time.
            let offset = parts.template.presentationTimeOffset;
            let offset = offset.context("@presentationTimeOffset")?;
            let apart = start.abs_diff(Duration::from_micros(offset));
            ensure!(apart < Duration::from_millis(1), "{start:?}, and {offset}");
        }
        for pair in periods.windows(2) {
            let start = pair[1].period.start.unwrap_or_default();
            let end = match pair[0].period.duration {
                Some(duration) => pair[0].period.start.unwrap_or_default() + duration,
                // Where none is stated, it ends where the next one starts.
                None => match seen_end(watched, pair[0].id())? {
                    Some(end) => {
                        ensure!(
                            start <= end + Duration::from_millis(1),
                            "nothing comes from {end:?} to {start:?}"
                        );
                        end
                    }
                    None => start,
                },
            };
            ensure!(
                start + Duration::from_millis(1) >= end,
                "one ends at {end:?}, and the next starts at {start:?}"
            );
        }
        let last = periods.last().context("no period")?;
        ensure!(last.period.duration.is_none(), "the last one goes on");
        Ok(())
    })
}

/// Where the last picture of a period ends that is over, if all of it was seen.
fn seen_end(watched: &WatchedMpd, id: &str) -> Result<Option<Duration>> {
    let segments = watched.segments.iter();
    let mut of = segments.filter(|((period, _), _)| period == id);
    let over = of.clone().next_back();
    if !over.map_or(Ok(false), |(_, grown)| grown.is_none())? {
        return Ok(None);
    }
    let Some((_, last)) = of.nth_back(1) else {
        return Ok(None);
    };
    let fragments = media::fragments(&last.body)?;
    let last = fragments.last().context("a segment without a picture")?;
    let end = last.decode_time + u64::from(last.samples[0].duration);
    Ok(Some(Duration::from_micros(end)))
}

fn depth(watched: &WatchedMpd, scene: &Scene) -> Result<()> {
    let last = watched.last();
    let listed: u64 = last
        .periods()?
        .iter()
        .filter_map(Parts::timeline)
        .flatten()
        .map(|listed| listed.duration)
        .sum();
    // Where they are counted, nothing is listed, and a player goes back by `timeShiftBufferDepth`.
    ensure!(scene.steady || listed > 0, "{listed} us are listed");
    Ok(())
}
