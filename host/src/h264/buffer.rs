use bytes::{Bytes, BytesMut};

/// The least that is allocated at once.
const MIN_BLOCK: usize = 64 << 10;
/// The most that is allocated ahead of need.
const MAX_BLOCK: usize = 4 << 20;

/// Where access units are written: several in one block of memory, one after the other, so that there is one allocation
/// for many of them and none has room left over at its end for as long as it stays in the live window.
#[derive(Debug)]
pub(super) struct Buffer {
    block: BytesMut,
    largest: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self {
            block: BytesMut::new(),
            largest: 0,
        }
    }

    /// Bytes of what is being written.
    pub(super) fn len(&self) -> usize {
        self.block.len()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let needed = self.block.len() + bytes.len();
        if needed > self.block.capacity() {
            // What was written of this access unit moves. With four to a block at the least that is rare.
            let ahead = (4 * self.largest).clamp(MIN_BLOCK, MAX_BLOCK);
            let mut block = BytesMut::with_capacity(ahead.max(2 * needed));
            block.extend_from_slice(&self.block);
            self.block = block;
        }
        self.block.extend_from_slice(bytes);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.block.truncate(len);
    }

    /// Bytes from `start` on.
    pub(super) fn from(&self, start: usize) -> &[u8] {
        &self.block[start..]
    }

    /// Writes over four bytes at `start`.
    pub(super) fn put_u32(&mut self, start: usize, value: u32) {
        self.block[start..start + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// Takes the first `len` bytes. What follows stays, and is then at 0.
    pub(super) fn take(&mut self, len: usize) -> Bytes {
        self.largest = self.largest.max(len);
        self.block.split_to(len).freeze()
    }
}
