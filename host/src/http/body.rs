use std::{
    convert::Infallible,
    future::poll_fn,
    io::IoSlice,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

use super::activity::InFlight;
use crate::live::{Media, Part, Segment};

/// The body of a response: one frame, where all of it is in memory when the response begins, or one after the other as they
/// come into being.
pub(crate) struct Body {
    content: Content,
    /// Of a response without content, or with more to come. Otherwise the data has it, which outlives this body.
    in_flight: Option<InFlight>,
}

enum Content {
    Nothing,
    Whole(Data),
    Growing { work: Work, outlet: Outlet },
}

/// What makes the pieces of a growing body, and hands them to its [`Outlet`]. It goes on only while the viewer has room for
/// another piece.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the pieces of a growing body leave it.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Mutex<Option<Source>>>);

impl Outlet {
    /// Sends a piece, and waits until there is room for the next.
    pub(super) async fn send(&self, piece: Source) {
        *self.piece() = Some(piece);
        // The body takes the piece whenever it polls the work, so it is the next poll that finds room.
        poll_fn(|_| match *self.piece() {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        })
        .await;
    }

    fn piece(&self) -> std::sync::MutexGuard<'_, Option<Source>> {
        // An assignment can't leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
pub(super) enum Source {
    Bytes(Bytes),
    Chunk([Bytes; 2]),
    Part(Arc<Part>),
    Segment(Arc<Segment>),
    Slice(Media),
}

impl Source {
    fn pieces(&self) -> &[Bytes] {
        match self {
            Self::Bytes(bytes) => std::slice::from_ref(bytes),
            Self::Chunk(pieces) => pieces,
            Self::Part(part) => &part.media.pieces,
            Self::Segment(segment) => &segment.media.pieces,
            Self::Slice(media) => &media.pieces,
        }
    }
}

impl Data {
    fn new(source: Source) -> Self {
        let remaining = source.pieces().iter().map(Bytes::len).sum();
        Self {
            source,
            piece: 0,
            offset: 0,
            remaining,
            in_flight: None,
        }
    }
}

impl Body {
    pub(super) fn empty() -> Self {
        Self {
            content: Content::Nothing,
            in_flight: None,
        }
    }

    fn new(source: Source) -> Self {
        let data = Data::new(source);
        Self {
            content: match data.remaining {
                0 => Content::Nothing,
                _ => Content::Whole(data),
            },
            in_flight: None,
        }
    }

    /// A body whose pieces come from this work, for as long as that goes on.
    pub(super) fn growing<W>(work: impl FnOnce(Outlet) -> W) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let outlet = Outlet(Arc::default());
        Self {
            content: Content::Growing {
                work: Box::pin(work(outlet.clone())),
                outlet,
            },
            in_flight: None,
        }
    }

    /// Has the work of a growing body done within other work.
    pub(super) fn within<W>(mut self, other: impl FnOnce(Work) -> W) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        if let Content::Growing { work, outlet } = self.content {
            let work = Box::pin(other(work));
            self.content = Content::Growing { work, outlet };
        }
        self
    }

    /// Ties the request's place in its connection's activity to the last byte of the response.
    pub(super) fn of_request(mut self, mut in_flight: InFlight) -> Self {
        match &mut self.content {
            Content::Whole(data) => {
                in_flight.sending();
                data.in_flight = Some(in_flight);
            }
            Content::Nothing | Content::Growing { .. } => self.in_flight = Some(in_flight),
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
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Infallible>>> {
        let Content::Growing { work, outlet } = &mut self.content else {
            let content = std::mem::replace(&mut self.content, Content::Nothing);
            return Poll::Ready(match content {
                Content::Whole(data) => Some(Ok(Frame::data(data))),
                Content::Nothing | Content::Growing { .. } => None,
            });
        };
        let ended = work.as_mut().poll(cx).is_ready();
        let piece = outlet.piece().take();
        if ended {
            self.content = Content::Nothing;
        }
        match piece {
            Some(source) => {
                let mut data = Data::new(source);
                data.in_flight = self.in_flight.as_ref().map(InFlight::piece);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Nothing => SizeHint::with_exact(0),
            Content::Whole(data) => SizeHint::with_exact(data.remaining as u64),
            Content::Growing { .. } => SizeHint::default(),
        }
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
        Data::new(Source::Slice(media(pieces)))
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
        let data = Data::new(Source::Slice(media.clone()));
        assert_eq!(data.chunk().as_ptr(), media.pieces[0].as_ptr());
    }
}
