//! The live window: what of the stream can be asked for right now.
//!
//! The publisher replaces an immutable [`Snapshot`] with every part; readers take the current one and are woken by the
//! change. Media bytes live in [`bytes::Bytes`] that chunks, parts and segments share, so what was evicted lives on for as long as
//! a response that is running needs it.

mod media;
mod ring;
mod snapshot;
mod window;

pub use media::{Chunk, InitSegment, Media, Part, Segment};
pub use ring::{Numbers, Opening, Ring};
pub use snapshot::{Object, Position, Presentation, Rendition, Snapshot};
pub use window::Live;

pub use crate::cmaf::Timing;
