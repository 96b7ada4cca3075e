use std::{
    fs::File,
    io::{BufReader, Seek, SeekFrom},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use mp4_atom::{
    Avcc, Codec, FourCC, Header, Moof, Moov, ReadAtom, ReadFrom, Stbl, StszSamples, Trak,
};

/// No `moov` or `moof` of a real file is larger; some 30 hours of video have 100 MB of tables.
const MAX_BOX: usize = 256 << 20;

/// Where a picture lies in the file, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) offset: u64,
    pub(super) size: u32,
    /// Decoding time, in units of the timescale.
    time: u64,
}

/// The H.264 track of an MP4 file: its samples in decoding order.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) samples: Vec<Sample>,
    pub(super) length_size: u8,
    /// SPS, then PPS.
    pub(super) parameter_sets: Vec<Vec<u8>>,
    /// Numbers of samples where decoding can begin, counted from 0; empty if that isn't said.
    pub(super) sync_samples: Vec<u32>,
    timescale: u32,
    /// Decoding time after the last sample.
    end: u64,
    /// Bytes of the file, and those that samples take.
    length: u64,
    taken: u64,
    /// How many samples are listed that a file that was cut off hasn't.
    missing: usize,
}

impl Track {
    /// When a sample is due, from the first on.
    pub(super) fn time(&self, sample: &Sample) -> Duration {
        let first = self.samples.first().map_or(0, |first| first.time);
        self.duration_of(sample.time.saturating_sub(first))
    }

    /// How long the track lasts.
    pub(super) fn duration(&self) -> Duration {
        let first = self.samples.first().map_or(0, |first| first.time);
        self.duration_of(self.end.saturating_sub(first))
    }

    fn duration_of(&self, ticks: u64) -> Duration {
        let timescale = u64::from(self.timescale.max(1));
        let rest = (ticks % timescale) * 1_000_000_000 / timescale;
        Duration::from_secs(ticks / timescale) + Duration::from_nanos(rest)
    }

    /// Reads where everything lies: `moov` before or after the media, and fragments.
    pub(super) fn read(file: &File) -> anyhow::Result<Self> {
        let length = file.metadata()?.len();
        let mut reader = BufReader::new(file);
        let mut movie: Option<(Self, Fragments)> = None;
        let mut at = 0;
        while at < length {
            reader.seek(SeekFrom::Start(at))?;
            let header = Header::read_from(&mut reader)
                .with_context(|| format!("the box at byte {at} can't be read"))?;
            let body = reader.stream_position()?;
            let end = match header.size {
                Some(size) => body.saturating_add(size as u64),
                None => length,
            };
            let known = [FourCC::new(b"moov"), FourCC::new(b"moof")].contains(&header.kind);
            if end > length {
                // The recording was cut off. What is there can be played.
                ensure!(
                    header.kind != FourCC::new(b"moov"),
                    "the file is cut off in the middle of its `moov`: it is damaged, or still being copied"
                );
                tracing::warn!("the file is cut off within its last box, {}", header.kind);
                if known {
                    break;
                }
            }
            if known && end - body > MAX_BOX as u64 {
                bail!("a box {} of {} bytes is damage", header.kind, end - body);
            }
            match &mut movie {
                None if header.kind == FourCC::new(b"moov") => {
                    let moov = Moov::read_atom(&header, &mut reader)
                        .context("its `moov` can't be parsed")?;
                    movie = Some(Self::of(&moov, length)?);
                }
                Some((track, fragments)) if header.kind == FourCC::new(b"moof") => {
                    let moof = Moof::read_atom(&header, &mut reader)
                        .with_context(|| format!("the `moof` at byte {at} can't be parsed"))?;
                    track.add_fragment(&moof, at, fragments)?;
                }
                _ => {}
            }
            at = end;
        }
        let Some((track, _)) = movie else {
            bail!("it has no `moov`: the recording was not finished, or is still going on");
        };
        if track.missing > 0 {
            tracing::warn!(
                "{} of {} pictures are missing at the end of the file",
                track.missing,
                track.missing + track.samples.len()
            );
        }
        ensure!(!track.samples.is_empty(), "its H.264 track has no pictures");
        Ok(track)
    }

    fn of(moov: &Moov, length: u64) -> anyhow::Result<(Self, Fragments)> {
        let (trak, avcc) = moov
            .trak
            .iter()
            .find_map(|trak| Some((trak, avcc(trak)?)))
            .context(
                "it has no H.264 track; `ffmpeg -i IN -an -c:v libx264 OUT.mp4` makes one of anything",
            )?;
        let stbl = &trak.mdia.minf.stbl;
        let mut track = Self {
            length_size: avcc.length_size,
            parameter_sets: [&avcc.sequence_parameter_sets, &avcc.picture_parameter_sets]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            timescale: trak.mdia.mdhd.timescale,
            length,
            ..Self::default()
        };
        ensure!(track.timescale > 0, "the timescale of its H.264 track is 0");
        track.add_table(stbl)?;
        track.sync_samples = stbl
            .stss
            .iter()
            .flat_map(|stss| &stss.entries)
            .map(|number| number.saturating_sub(1))
            .collect();
        let id = trak.tkhd.track_id;
        let trex = moov
            .mvex
            .iter()
            .flat_map(|mvex| &mvex.trex)
            .find(|trex| trex.track_id == id);
        let fragments = Fragments {
            track_id: id,
            duration: trex.map_or(0, |trex| trex.default_sample_duration),
            size: trex.map_or(0, |trex| trex.default_sample_size),
        };
        Ok((track, fragments))
    }

    /// The sample table (ISO/IEC 14496-12, 8.5 to 8.7).
    fn add_table(&mut self, stbl: &Stbl) -> anyhow::Result<()> {
        let chunks: Vec<u64> = match (&stbl.co64, &stbl.stco) {
            (Some(co64), _) => co64.entries.clone(),
            (None, Some(stco)) => stco.entries.iter().map(|&at| at.into()).collect(),
            (None, None) => Vec::new(),
        };
        let (count, size_of): (usize, Box<dyn Fn(usize) -> Option<u32>>) = match &stbl.stsz.samples
        {
            StszSamples::Identical { count, size } => (*count as usize, Box::new(|_| Some(*size))),
            StszSamples::Different { sizes } => {
                (sizes.len(), Box::new(|number| sizes.get(number).copied()))
            }
        };
        let mut durations =
            stbl.stts.entries.iter().flat_map(|entry| {
                std::iter::repeat_n(entry.sample_delta, entry.sample_count as usize)
            });
        let runs = &stbl.stsc.entries;
        // Going back and forth, a small table could have us walk through the chunks for ever.
        ensure!(
            runs.is_sorted_by_key(|run| run.first_chunk),
            "its table of chunks is not in order"
        );
        let mut number = 0;
        for (index, run) in runs.iter().enumerate() {
            let first = (run.first_chunk as usize).saturating_sub(1);
            let end = runs.get(index + 1).map_or(chunks.len(), |next| {
                (next.first_chunk as usize).saturating_sub(1)
            });
            for &chunk in chunks.get(first..end.min(chunks.len())).unwrap_or(&[]) {
                let mut offset = chunk;
                for _ in 0..run.samples_per_chunk {
                    if number == count {
                        return Ok(());
                    }
                    let size = size_of(number).context("its table of sample sizes is too short")?;
                    let duration = durations
                        .next()
                        .context("its table of sample times is too short")?;
                    if !self.add(offset, size, duration)? {
                        self.missing = count - number;
                        return Ok(());
                    }
                    offset = offset.saturating_add(size.into());
                    number += 1;
                }
            }
        }
        ensure!(
            number == count,
            "its tables place {number} of {count} samples: the file is damaged"
        );
        Ok(())
    }

    /// A movie fragment (ISO/IEC 14496-12, 8.8), which begins at byte `start`.
    fn add_fragment(
        &mut self,
        moof: &Moof,
        start: u64,
        defaults: &Fragments,
    ) -> anyhow::Result<()> {
        for traf in moof
            .traf
            .iter()
            .filter(|traf| traf.tfhd.track_id == defaults.track_id)
        {
            let base = traf.tfhd.base_data_offset.unwrap_or(start);
            if let Some(tfdt) = &traf.tfdt
                && self.missing == 0
            {
                // Never back: time goes on, and so do we.
                self.end = self.end.max(tfdt.base_media_decode_time);
            }
            let mut offset = base;
            for trun in &traf.trun {
                if let Some(from) = trun.data_offset {
                    offset = base
                        .checked_add_signed(from.into())
                        .context("a fragment lies before the file's beginning")?;
                }
                for (index, sample) in trun.samples.iter().enumerate() {
                    let size = sample
                        .size
                        .or(traf.tfhd.default_sample_size)
                        .unwrap_or(defaults.size);
                    let duration = sample
                        .duration
                        .or(traf.tfhd.default_sample_duration)
                        .unwrap_or(defaults.duration);
                    // A table that gives no sizes could list four billion samples of nothing.
                    ensure!(size > 0, "a fragment has samples of no size");
                    if !self.add(offset, size, duration)? {
                        self.missing += trun.samples.len() - index;
                        break;
                    }
                    offset = offset.saturating_add(size.into());
                }
            }
        }
        Ok(())
    }

    /// Takes in a sample, if the file has it, and all before it.
    fn add(&mut self, offset: u64, size: u32, duration: u32) -> anyhow::Result<bool> {
        let end = offset.checked_add(size.into());
        if self.missing > 0 || end.is_none_or(|end| end > self.length) {
            return Ok(false);
        }
        // Samples share no bytes, so that a file has no more of them than bytes, whatever its tables say.
        self.taken += u64::from(size);
        ensure!(self.taken <= self.length, "its samples overlap");
        self.samples.push(Sample {
            offset,
            size,
            time: self.end,
        });
        self.end = self
            .end
            .checked_add(duration.into())
            .context("its times are too large")?;
        Ok(true)
    }
}

/// What holds for the samples of fragments that don't say otherwise.
#[derive(Debug)]
struct Fragments {
    track_id: u32,
    duration: u32,
    size: u32,
}

fn avcc(trak: &Trak) -> Option<&Avcc> {
    trak.mdia
        .minf
        .stbl
        .stsd
        .codecs
        .iter()
        .find_map(|codec| match codec {
            Codec::Avc1(entry) => Some(&entry.avcc),
            Codec::Avc3(entry) => Some(&entry.avcc),
            _ => None,
        })
}
