//! The live window: what of the stream can be asked for right now.
//!
//! The publisher replaces an immutable [`Snapshot`] with every part; readers take the current one and are woken by the
//! change. Media bytes live in [`bytes::Bytes`] that chunks, parts and segments share, so what was evicted lives on for as long as
//! a response that is running needs it.
//!
//! Between two parts, a segment that grows tells those who follow it chunk by chunk of each ([`Chunks`]), and nobody else.
//!
//! Ahead of the parts, [`Edge`] has the newest chunks, for those who take the stream picture by picture.
//!
//! What an object is called is a number or somebody's choice ([`Naming`]); [`Names`] has it before it is needed. A snapshot
//! leads from names to objects, so a name means something exactly as long as its object can be asked for.

mod chunks;
mod edge;
mod frame;
mod media;
mod names;
mod naming;
mod numbering;
mod ring;
mod snapshot;
mod window;

pub use chunks::Chunks;
pub use edge::{Edge, EdgeChunk, Step};
pub use frame::Frame;
pub use media::{Chunk, InitSegment, Media, Part, Period, Segment};
pub use names::Names;
pub use naming::{
    Answer, ENDINGS, Nameless, Naming, check_name, check_template, numbered_template,
};
pub use numbering::{Kind, numbered};
pub use ring::{Opening, Ring};
pub use snapshot::{Chunked, Object, Position, Presentation, Rendition, Snapshot};
pub use window::Live;

pub use crate::cmaf::Timing;
