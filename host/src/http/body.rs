use std::{
    convert::Infallible,
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

use super::activity::InFlight;
use crate::live::{Media, Part, Segment};

/// The body of a response: at most one frame, since all of it is in memory when the response begins.
pub(crate) struct Body {
    data: Option<Data>,
    /// Of a response without content. Otherwise the data has it, which outlives this body.
    _in_flight: Option<InFlight>,
}

/// Bytes on their way to a viewer, as a cursor over pieces that others share.
///
/// One buffer of many pieces, rather than a frame for each: hyper hands up to 64 pieces to one `writev`, and an HTTP/2
/// frame may span several. Dropped once the last byte has gone to the socket, or the connection with it.
pub(crate) struct Data {
    source: Source,
    /// Index of the piece that comes next, and how much of it is gone.
    piece: usize,
    offset: usize,
    remaining: usize,
    in_flight: Option<InFlight>,
}

/// Who owns the pieces. The owner is kept, instead of a list of the pieces made for every request.
enum Source {
    Bytes(Bytes),
    Part(Arc<Part>),
    Segment(Arc<Segment>),
    Slice(Media),
}

impl Source {
    fn pieces(&self) -> &[Bytes] {
        match self {
            Self::Bytes(bytes) => std::slice::from_ref(bytes),
            Self::Part(part) => &part.media.pieces,
            Self::Segment(segment) => &segment.media.pieces,
            Self::Slice(media) => &media.pieces,
        }
    }
}

impl Body {
    pub(super) fn empty() -> Self {
        Self {
            data: None,
            _in_flight: None,
        }
    }

    fn new(source: Source) -> Self {
        let remaining = source.pieces().iter().map(Bytes::len).sum();
        let data = (remaining > 0).then_some(Data {
            source,
            piece: 0,
            offset: 0,
            remaining,
            in_flight: None,
        });
        Self {
            data,
            _in_flight: None,
        }
    }

    /// Ties the request's place in its connection's activity to the last byte of the response.
    pub(super) fn of_request(mut self, mut in_flight: InFlight) -> Self {
        match &mut self.data {
            Some(data) => {
                in_flight.sending();
                data.in_flight = Some(in_flight);
            }
            None => self._in_flight = Some(in_flight),
        }
        self
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(Source::Bytes(bytes))
    }
}

impl From<Arc<Part>> for Body {
    fn from(part: Arc<Part>) -> Self {
        Self::new(Source::Part(part))
    }
}

impl From<Arc<Segment>> for Body {
    fn from(segment: Arc<Segment>) -> Self {
        Self::new(Source::Segment(segment))
    }
}

impl From<Media> for Body {
    fn from(media: Media) -> Self {
        Self::new(Source::Slice(media))
    }
}

impl http_body::Body for Body {
    type Data = Data;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Infallible>>> {
        Poll::Ready(self.data.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.remaining as u64))
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        match self.source.pieces().get(self.piece) {
            Some(piece) => &piece[self.offset..],
            None => &[],
        }
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.source.pieces().get(self.piece..).unwrap_or_default();
        let mut skip = self.offset;
        let mut filled = 0;
        for (slot, piece) in dst.iter_mut().zip(pieces) {
            *slot = IoSlice::new(&piece[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        assert!(
            count <= self.remaining,
            "advanced by {count} with {} bytes left",
            self.remaining
        );
        self.remaining -= count;
        self.offset += count;
        while let Some(piece) = self.source.pieces().get(self.piece)
            && self.offset >= piece.len()
        {
            self.offset -= piece.len();
            self.piece += 1;
        }
        if let Some(in_flight) = &self.in_flight {
            in_flight.progress();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(pieces: &[&'static [u8]]) -> Media {
        Media {
            pieces: pieces
                .iter()
                .map(|piece| Bytes::from_static(piece))
                .collect(),
            len: pieces.iter().map(|piece| piece.len() as u64).sum(),
        }
    }

    fn data(pieces: &[&'static [u8]]) -> Data {
        Body::from(media(pieces)).data.expect("there are bytes")
    }

    #[test]
    fn pieces_leave_in_order_however_they_are_taken() {
        for step in 1..=9 {
            let mut data = data(&[b"abc", b"d", b"efgh"]);
            let mut taken = Vec::new();
            while data.has_remaining() {
                let count = step.min(data.chunk().len());
                taken.extend_from_slice(&data.chunk()[..count]);
                data.advance(count);
            }
            assert_eq!(taken, b"abcdefgh", "in steps of {step}");
        }
    }

    #[test]
    fn one_write_takes_many_pieces_from_the_middle_of_the_first() {
        let mut data = data(&[b"abc", b"d", b"efgh"]);
        data.advance(1);
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = data.chunks_vectored(&mut slices);
        let seen: Vec<&[u8]> = slices[..filled].iter().map(|slice| &**slice).collect();
        assert_eq!(seen, [&b"bc"[..], b"d", b"efgh"]);
        data.advance(6);
        assert_eq!(data.chunk(), b"h");
        data.advance(1);
        assert_eq!(data.chunks_vectored(&mut [IoSlice::new(&[])]), 0);
        assert_eq!(data.chunk(), b"");
    }

    #[test]
    fn nothing_is_copied() {
        let media = media(&[b"abc", b"defg"]);
        let body = Body::from(media.clone());
        let data = body.data.expect("there are bytes");
        assert_eq!(data.chunk().as_ptr(), media.pieces[0].as_ptr());
    }
}
