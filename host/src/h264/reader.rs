use super::{
    Found, Loss,
    assembler::Assembler,
    splitter::{Piece, Splitter},
};

/// Reads access units from a byte stream (Annex B), however it is cut into pieces.
///
/// Nothing in the stream makes it stop or panic. After damage (bytes between NAL units, slice headers that can't be read,
/// pictures missing from the count) everything is dropped up to the next IDR picture, and counted; so are pictures before
/// the first. Memory is bounded: an access unit above 16 MiB is damage.
///
/// `M` is whatever the caller wants to know of the bytes in which an access unit began, such as when they arrived.
///
/// ```
/// # use picam_host::h264::Reader;
/// # let pieces: [&[u8]; 1] = [include_bytes!("../../tests/data/h264/baseline.h264")];
/// let mut reader = Reader::new();
/// let mut key_frames = 0;
/// for (number, piece) in pieces.iter().enumerate() {
///     reader.push(piece, number);
///     while let Some(found) = reader.take() {
///         assert_eq!(found.mark, 0);
///         key_frames += usize::from(found.unit.idr);
///     }
/// }
/// assert_eq!(key_frames, 3);
/// ```
#[derive(Debug)]
pub struct Reader<M> {
    splitter: Splitter,
    assembler: Assembler<M>,
    /// Where the last complete NAL unit ended.
    nal_end: u64,
}

impl<M: Copy> Default for Reader<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Copy> Reader<M> {
    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        Self {
            splitter: Splitter::new(),
            assembler: Assembler::new(),
            nal_end: 0,
        }
    }

    /// Takes a parameter set that was transmitted outside the stream: a NAL unit, header included, without start code.
    /// False if it can't be parsed.
    pub fn put_parameter_set(&mut self, nal: &[u8]) -> bool {
        self.assembler.put_parameter_set(nal)
    }

    /// Reads more of the stream. What became complete is to be had from [`take`](Self::take).
    ///
    /// An access unit shows to be complete when the next one begins: use [`flush`](Self::flush) where that is known
    /// earlier.
    pub fn push(&mut self, mut bytes: &[u8], mark: M) {
        while let Some(piece) = self.splitter.next(&mut bytes) {
            match piece {
                Piece::Begin => self.assembler.begin(mark, self.nal_end),
                Piece::Bytes(bytes) => self.assembler.bytes(bytes),
                Piece::End => {
                    self.nal_end = self.offset_of_end();
                    self.assembler.end();
                }
                Piece::Stray => self.assembler.stray(),
            }
        }
    }

    /// Says that the last NAL unit is complete, and the access unit with it if it has a picture. Parameter sets and SEI
    /// without one are kept: they belong to the next.
    ///
    /// This is for a device, whose buffers hold whole access units. If the rest of the picture does follow, that is
    /// damage, and counted in [`Loss::false_ends`].
    pub fn flush(&mut self) {
        if self.splitter.inside_nal() || self.splitter.held_back() > 0 {
            self.nal_end = self.offset_of_end();
        }
        self.splitter.end();
        self.assembler.flush(self.nal_end);
    }

    /// Says that a part of the stream is missing here: a buffer that the device overwrote, say.
    pub fn lost(&mut self) {
        self.splitter.end();
        self.assembler.end();
        self.assembler.gap();
    }

    /// The next access unit that is complete.
    pub fn take(&mut self) -> Option<Found<M>> {
        self.assembler.take()
    }

    /// What has been lost so far.
    pub fn loss(&self) -> Loss {
        self.assembler.loss()
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.splitter.offset()
    }

    /// An access unit may be complete here: its last byte is one that a slice can end with, and nothing is known to be
    /// wrong with it. Returns how many bytes it has.
    pub fn may_end_here(&self) -> Option<usize> {
        (self.splitter.inside_nal() && self.assembler.inside_good_slice())
            .then(|| self.assembler.unit_len())
    }

    fn offset_of_end(&self) -> u64 {
        self.splitter.offset() - self.splitter.held_back()
    }
}
