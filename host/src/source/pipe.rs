use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Instant,
};

use super::{
    ending::Ending,
    outlet::{Gone, Outlet},
};
use crate::{
    h264::{Loss, Reader},
    time::Monotonic,
};

/// Read at once at most. A pipe holds 64 KiB unless it was made larger.
const CHUNK: usize = 256 << 10;

/// Without a picture in so many bytes, somebody should be told.
const PATIENCE: u64 = 4 << 20;

/// How a stream ended.
#[derive(Debug)]
pub(super) enum Stop {
    /// The writer closed it.
    End,
    /// It can't be read.
    Failed(io::Error),
    /// Nobody wants pictures any more.
    Gone,
}

/// Reads an H.264 byte stream from a pipe to its end, and sends its pictures.
///
/// `name` is for the log: `the command "…"`.
pub(super) async fn pump(
    mut input: impl AsyncRead + Unpin,
    outlet: &mut Outlet,
    name: &str,
) -> Stop {
    let mut pump = Pump {
        reader: Reader::new(),
        ending: Ending::default(),
        loss: Loss::default(),
        name,
        told: false,
        last: 0,
    };
    let stop = match pump.run(&mut input, outlet).await {
        Ok(stop) => stop,
        Err(Gone) => Stop::Gone,
    };
    outlet.reader_is_done(pump.reader.loss());
    stop
}

/// When bytes came, by two clocks: one that pictures are stamped with, and one that tests can wind.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    captured: Monotonic,
    at: Instant,
}

struct Pump<'a> {
    reader: Reader<Arrival>,
    ending: Ending,
    /// What the reader had lost when last looked at.
    loss: Loss,
    name: &'a str,
    told: bool,
    /// The byte before the one that comes next.
    last: u8,
}

impl Pump<'_> {
    async fn run(
        &mut self,
        input: &mut (impl AsyncRead + Unpin),
        outlet: &mut Outlet,
    ) -> Result<Stop, Gone> {
        let mut buffer = vec![0; CHUNK];
        let mut dry_since = Instant::now();
        loop {
            let settle = self
                .reader
                .may_end_here()
                .and_then(|len| self.ending.settle(len, self.reader.offset(), self.last));
            let read = tokio::select! {
                biased;
                read = input.read(&mut buffer) => read,
                () = outlet.closed() => return Err(Gone),
                () = tokio::time::sleep_until(dry_since + settle.unwrap_or_default()), if settle.is_some() => {
                    self.reader.flush();
                    self.send(outlet).await?;
                    continue;
                }
            };
            match read {
                Ok(0) => {
                    self.reader.flush();
                    self.send(outlet).await?;
                    return Ok(Stop::End);
                }
                Ok(len) => self.push(&buffer[..len], dry_since.elapsed()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Stop::Failed(error)),
            }
            self.send(outlet).await?;
            dry_since = Instant::now();
        }
    }

    fn push(&mut self, bytes: &[u8], wait: Duration) {
        self.ending.waited(self.reader.offset(), wait);
        let arrival = Arrival {
            captured: Monotonic::now(),
            at: Instant::now(),
        };
        self.reader.push(bytes, arrival);
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    /// Sends what became complete.
    async fn send(&mut self, outlet: &mut Outlet) -> Result<(), Gone> {
        let loss = self.reader.loss();
        if loss != self.loss {
            outlet.loss(loss);
            if loss.false_ends != self.loss.false_ends && self.ending.wrong() {
                tracing::warn!(
                    "{} wrote an access unit in pieces, with an unusual pause between them: a picture was broken, and from \
                     now on each waits for the next one, which adds a frame of delay",
                    self.name
                );
            }
        }
        while let Some(found) = self.reader.take() {
            let (unit, mark) = (found.unit, found.mark);
            self.ending
                .unit(found.end, unit.idr, unit.data.len(), mark.at);
            outlet.picture(unit, mark.captured).await?;
        }
        if loss.dropped_units != self.loss.dropped_units {
            self.ending.disturbed(self.reader.offset());
        }
        self.loss = loss;
        if outlet.pictures == 0 && self.reader.offset() > PATIENCE && !self.told {
            self.told = true;
            tracing::warn!(
                "{} wrote {} bytes without an H.264 key frame that can be used ({} NAL units were bad): it has to write an \
                 H.264 byte stream (Annex B) with SPS, PPS and IDR pictures",
                self.name,
                self.reader.offset(),
                loss.bad_nals,
            );
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::source::{Damage, Event, Nominal, Source};

    const STREAM: &[u8] = include_bytes!("../../tests/data/h264/baseline.h264");
    const FRAME: Duration = Duration::from_millis(40);
    /// Access units of three groups.
    const UNITS: usize = 24;

    /// Five times the stream in access units, with key frames of 150 KB: `cabac_zero_word`s, as an encoder appends that
    /// has to keep its bit rate, make up for the smallness of ours.
    pub(in crate::source) fn units() -> Vec<Vec<u8>> {
        let mut starts: Vec<usize> = Vec::new();
        let mut headers = None;
        for at in memchr::memmem::find_iter(STREAM, &[0, 0, 1]) {
            // The start code's fourth byte, if it has one.
            let start = at - usize::from(at > 0 && STREAM[at - 1] == 0);
            match STREAM[at + 3] & 0x1f {
                1 | 5 => starts.push(headers.take().unwrap_or(start)),
                _ => headers = headers.or(Some(start)),
            }
        }
        starts.push(STREAM.len());
        assert_eq!(starts.len(), UNITS + 1);
        let mut units = Vec::new();
        for (number, bounds) in starts.windows(2).enumerate() {
            let mut unit = STREAM[bounds[0]..bounds[1]].to_vec();
            if number % 8 == 0 {
                unit.extend([0, 0, 3].repeat(50_000));
            }
            units.push(unit);
        }
        std::iter::repeat_n(units, 5).flatten().collect()
    }

    /// What came out of a writer: for each picture, how long after its first byte was written; and the damage.
    async fn run<W: Future<Output = ()>>(
        write: impl FnOnce(DuplexStream, &'static Mutex<Vec<Instant>>) -> W,
    ) -> (Vec<Duration>, Damage) {
        let (writer, reader) = tokio::io::duplex(1 << 20);
        // When each access unit began to be written.
        let written: &Mutex<Vec<Instant>> = Box::leak(Box::default());
        let (mut outlet, source) = Outlet::new("test", "test", Nominal::default());
        let Source {
            mut events, damage, ..
        } = source;
        let read = async {
            let stop = pump(reader, &mut outlet, "the test").await;
            assert!(matches!(stop, Stop::End), "{stop:?}");
            drop(outlet);
        };
        let receive = async {
            let mut delays = Vec::new();
            while let Some(event) = events.recv().await {
                let Event::Picture(_) = event else {
                    panic!("{event:?}");
                };
                let began = written.lock().unwrap().get(delays.len()).copied();
                delays.push(began.map_or(Duration::ZERO, |began| began.elapsed()));
            }
            delays
        };
        let (_, _, delays) = tokio::join!(write(writer, written), read, receive);
        (delays, *damage.borrow())
    }

    /// Writes each access unit in pieces with pauses between them, and the next a frame after the one before began.
    async fn paced(
        mut writer: DuplexStream,
        written: &Mutex<Vec<Instant>>,
        piece: usize,
        pause: impl Fn(usize) -> Duration,
    ) {
        for (number, unit) in units().iter().enumerate() {
            let began = Instant::now();
            written.lock().unwrap().push(began);
            for (index, piece) in unit.chunks(piece).enumerate() {
                if index > 0 {
                    tokio::time::sleep(pause(number)).await;
                }
                writer.write_all(piece).await.unwrap();
            }
            tokio::time::sleep_until(began + FRAME).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn access_units_written_whole_cost_no_frame_once_a_group_was_seen() {
        let (delays, damage) =
            run(|writer, written| paced(writer, written, usize::MAX, |_| Duration::ZERO)).await;
        assert_eq!((delays.len(), damage), (5 * UNITS, Damage::default()));
        assert!(delays[..8].iter().all(|&delay| delay >= FRAME));
        let late = delays[9..].iter().max().unwrap();
        assert!(*late <= Duration::from_millis(4), "{delays:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn key_frames_written_in_pieces_with_pauses_stay_whole() {
        let (delays, damage) =
            run(|writer, written| paced(writer, written, 32 << 10, |_| Duration::from_millis(4)))
                .await;
        assert_eq!((delays.len(), damage), (5 * UNITS, Damage::default()));
        // The pauses, and twice the longest of them: still less than a frame.
        let small: Vec<_> = (24..5 * UNITS).filter(|number| number % 8 != 0).collect();
        assert!(
            small
                .iter()
                .all(|&number| delays[number] <= Duration::from_millis(10))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribbled_stream_comes_out_whole() {
        let (delays, damage) = run(|mut writer, _| async move {
            for byte in STREAM.repeat(2) {
                writer.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(Duration::from_micros(1500)).await;
            }
        })
        .await;
        assert_eq!((delays.len(), damage), (2 * UNITS, Damage::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_buffers_is_never_ended_early() {
        // What stdio does to a pipe: nothing leaves before there are 4096 bytes of it.
        let (delays, damage) = run(|mut writer, _| async move {
            let mut buffered = Vec::new();
            for unit in units() {
                buffered.extend(unit);
                let whole = buffered.len() / 4096 * 4096;
                let out: Vec<_> = buffered.drain(..whole).collect();
                writer.write_all(&out).await.unwrap();
                tokio::time::sleep(FRAME).await;
            }
            writer.write_all(&buffered).await.unwrap();
        })
        .await;
        assert_eq!((delays.len(), damage), (5 * UNITS, Damage::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_nobody_could_expect_costs_one_group_and_all_trust() {
        const PIECE: usize = 100_001;
        assert_ne!(units()[48][PIECE - 1], 0, "a slice can't end in a zero");
        let (delays, damage) = run(|writer, written| {
            paced(writer, written, PIECE, |number| {
                Duration::from_millis(if number == 48 { 35 } else { 1 })
            })
        })
        .await;
        assert_eq!(damage.dropped_units, 7, "{damage:?}");
        assert_eq!(delays.len(), 5 * UNITS - 7);
        let small: Vec<_> = (10..48).filter(|number| number % 8 != 0).collect();
        assert!(small.iter().all(|&number| delays[number] < FRAME / 2));
        // Pictures are fewer than access units now, so the delays are of other ones. What can be told is that the last
        // came out with the end of the stream.
        assert_eq!(damage.bad_nals, 1);
    }
}
