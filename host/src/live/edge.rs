use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Chunk, InitSegment};
use crate::time::{MediaTime, Wall};

/// So far behind the newest picture is nobody who keeps up. Whoever is further behind goes on with the latest IDR picture.
pub(super) const LAG: Duration = Duration::from_secs(1);

/// A chunk, with what has to be known of it by those who take the stream picture by picture.
#[derive(Clone, Debug)]
pub struct EdgeChunk {
    /// Its bytes.
    pub chunk: Chunk,
    /// What it needs to be decoded. Another init segment is another allocation, even if it says the same: each presentation
    /// has its own.
    pub init: Arc<InitSegment>,
    /// Its decoding time: what `tfdt` says.
    pub start: MediaTime,
    /// Where the next one starts, unless that is behind a discontinuity.
    pub end: MediaTime,
    /// Decoding can begin here.
    pub idr: bool,
    /// It shows the slate, since the camera is lost: when its last picture was captured.
    pub lost_since: Option<Wall>,
}

/// The newest end of the stream, chunk by chunk, ahead of the parts that it will be cut into: for those to whom even the
/// length of a part is too long to wait.
///
/// Chunks have running numbers, which go on through all presentations of a run. Those that are remembered begin with an IDR
/// picture that is at least [`LAG`] old, so whoever lags less finds what he has not taken yet.
#[derive(Debug, Default)]
pub struct Edge {
    chunks: VecDeque<EdgeChunk>,
    /// Number of the first of them.
    first: u64,
    ended: bool,
}

/// Where somebody who takes every chunk goes on.
#[derive(Debug)]
pub enum Step<'a> {
    /// With this chunk, whose number this is. It isn't the next one for those who have fallen too far behind.
    Chunk(u64, &'a EdgeChunk),
    /// Nowhere yet.
    Wait,
    /// Nowhere: the presentation has ended.
    Ended,
}

impl Edge {
    /// The chunk to begin with, and its number: that of the latest IDR picture. `None` while there is none.
    pub fn entry(&self) -> Option<(u64, &EdgeChunk)> {
        let at = self.chunks.iter().rposition(|chunk| chunk.idr)?;
        (!self.ended).then(|| (self.first + at as u64, &self.chunks[at]))
    }

    /// What comes for somebody who has taken all chunks before number `next`, or has passed over them.
    ///
    /// Whoever is further behind than `LAG` is sent on to the latest IDR picture, if that lies ahead. Where none does,
    /// since it is long ago, there is nothing better than what he has not seen.
    pub fn after(&self, next: u64) -> Step<'_> {
        let at = match next.checked_sub(self.first) {
            Some(at) => usize::try_from(at).unwrap_or(usize::MAX),
            None => return self.latest(),
        };
        match (self.chunks.get(at), self.chunks.back()) {
            (Some(chunk), Some(newest)) => {
                let entry = self.chunks.iter().rposition(|chunk| chunk.idr);
                match newest.end.since(chunk.start) > LAG && entry.is_some_and(|entry| entry > at) {
                    true => self.latest(),
                    false => Step::Chunk(next, chunk),
                }
            }
            _ if self.ended => Step::Ended,
            _ => Step::Wait,
        }
    }

    fn latest(&self) -> Step<'_> {
        match self.entry() {
            Some((number, chunk)) => Step::Chunk(number, chunk),
            None if self.ended => Step::Ended,
            None => Step::Wait,
        }
    }

    /// Adds the newest chunk, and forgets what nobody who keeps up still wants.
    pub(super) fn push(&mut self, chunk: EdgeChunk) {
        let end = chunk.end;
        self.ended = false;
        self.chunks.push_back(chunk);
        let old = |chunk: &EdgeChunk| chunk.idr && end.since(chunk.start) >= LAG;
        if let Some(keep) = self.chunks.iter().rposition(old) {
            self.chunks.drain(..keep);
            self.first += keep as u64;
        }
    }

    /// Nothing will follow in this presentation.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::h264::ParameterSets;

    fn init() -> Arc<InitSegment> {
        Arc::new(InitSegment {
            path: "init.mp4".into(),
            data: Bytes::from_static(b"init"),
            parameter_sets: Arc::new(ParameterSets::example(64)),
        })
    }

    /// Chunks of 40 ms, an IDR picture each `gop`.
    fn edge(chunks: u64, gop: u64) -> Edge {
        let (mut edge, init) = (Edge::default(), init());
        for number in 0..chunks {
            edge.push(EdgeChunk {
                chunk: Chunk {
                    head: Bytes::from_static(b"head"),
                    sample: Bytes::from_static(b"sample"),
                },
                init: init.clone(),
                start: MediaTime(number * 40_000),
                end: MediaTime((number + 1) * 40_000),
                idr: number.is_multiple_of(gop),
                lost_since: None,
            });
        }
        edge
    }

    fn step(edge: &Edge, next: u64) -> Option<u64> {
        match edge.after(next) {
            Step::Chunk(number, chunk) => {
                assert_eq!(chunk.start.0, number * 40_000);
                Some(number)
            }
            Step::Wait | Step::Ended => None,
        }
    }

    #[test]
    fn whoever_comes_begins_with_the_latest_idr_picture() {
        assert!(Edge::default().entry().is_none());
        assert_eq!(edge(1, 25).entry().unwrap().0, 0);
        assert_eq!(edge(25, 25).entry().unwrap().0, 0);
        assert_eq!(edge(26, 25).entry().unwrap().0, 25);
        assert_eq!(edge(40, 1).entry().unwrap().0, 39);
    }

    #[test]
    fn whoever_keeps_up_gets_every_chunk() {
        for gop in [1, 5, 25, 1_000] {
            for chunks in 1..120 {
                let edge = edge(chunks, gop);
                assert!(matches!(edge.after(chunks), Step::Wait));
                // A second is 25 chunks.
                for next in chunks.saturating_sub(25)..chunks {
                    assert_eq!(step(&edge, next), Some(next), "{next} of {chunks}, {gop}");
                }
            }
        }
    }

    #[test]
    fn whoever_lags_goes_on_with_the_latest_idr_picture() {
        assert_eq!(step(&edge(60, 25), 0), Some(50));
        // That one is behind him already, or he is at it: then there is nothing better.
        assert_eq!(step(&edge(75, 50), 49), Some(50));
        assert_eq!(step(&edge(99, 50), 51), Some(51));
        assert_eq!(step(&edge(99, 50), 50), Some(50));
        // Forgotten long ago.
        assert_eq!(step(&edge(10_000, 25), 3), Some(9_975));
    }

    #[test]
    fn what_nobody_wants_is_forgotten() {
        assert!(edge(10_000, 1).chunks.len() <= 26);
        assert!(edge(10_000, 25).chunks.len() <= 50);
        assert_eq!(edge(99, 100).chunks.len(), 99);
    }

    #[test]
    fn an_end_is_told_behind_the_last_chunk_and_lasts_until_the_next() {
        let mut edge = edge(30, 25);
        edge.end();
        assert_eq!(step(&edge, 29), Some(29));
        assert!(matches!(edge.after(30), Step::Ended));
        assert!(edge.entry().is_none(), "nobody begins here");
        let chunk = edge.chunks[0].clone();
        edge.push(EdgeChunk {
            start: MediaTime(9_000_000),
            end: MediaTime(9_040_000),
            ..chunk
        });
        assert!(matches!(edge.after(30), Step::Chunk(30, _)));
    }
}
