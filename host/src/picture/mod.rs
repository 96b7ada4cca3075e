//! Pictures that the host makes itself: drawing and encoding.
//!
//! A [`Canvas`] is a picture in memory, drawn on with rectangles, round shapes and [text](Font). An [`Encoder`] turns
//! canvases into access units, one in, one out, with a key frame wherever it is told to. On these two stand the test
//! [`Card`] of the pattern source, with its machine-readable [`clockbar`], and the [`Slate`] that is shown while a
//! camera is lost.
//!
//! This room knows pictures and the wall clock's text. It knows nothing of pacing, sources or segments: whoever holds a
//! canvas or an encoder calls it from a thread of its own, and it lives and dies with that.

mod canvas;
mod card;
pub mod clockbar;
mod colors;
mod encoder;
mod moving;
#[cfg(test)]
mod round_trip;
mod shape;
mod size;
mod slate;
#[cfg(test)]
pub(crate) mod testing;
mod text;

pub use canvas::{Canvas, Planes, Rect};
pub use card::Card;
pub use colors::{Color, Colors, Matrix, Primaries, Samples};
pub use encoder::{EncodeError, Encoder, Rate, Settings};
pub use size::{Size, SizeError};
pub use slate::Slate;
pub use text::Font;

/// The moment as a date and time of UTC. Those after the year 9999 are the last of it.
fn utc(wall: crate::time::Wall) -> jiff::Timestamp {
    i64::try_from(wall.0)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
        .unwrap_or(jiff::Timestamp::MAX)
}
