//! Pictures between a camera that doesn't encode them and the stream.
//!
//! Whoever captures has a [`Converter`] make a [`Canvas`] of what the camera gives, at once, so that the camera's memory
//! is free again, and leaves it with the [`Studio`]: a thread of its own that has it [retouched](Retouch), encodes it and
//! hands it on. Between the two lies a single picture. A newer one takes its place if it has not been begun, so an encoder
//! that can't keep up costs pictures, evenly, and never time. The canvases go round: three of them, for as long as the
//! size stays.
//!
//! Pictures that came encoded take another way, if they are to be retouched: [`transcode`] decodes them and encodes them
//! again.
//!
//! Files, in the order of a picture's way: `raw` and `jpeg` (what a camera gives), `thread` (the studio), `keys` (which
//! pictures are key frames), `encode` (encoders); `transcode`.
//!
//! This room knows pictures and encoders, and nothing of devices, plugins or segments. A studio ends, thread and all,
//! when it is dropped.

mod encode;
pub(crate) mod fuzzing;
mod jpeg;
mod keys;
mod raw;
mod thread;
pub mod transcode;

pub use encode::{Encode, Openh264};
pub use jpeg::BadJpeg;
pub use raw::{BadPicture, Converter, Layout, Pixels};
pub(crate) use thread::{Readiness, Sink, Studio, Work};

use crate::{picture::Canvas, time::Monotonic};

/// Changes pictures before they are encoded: covers what must not be seen, draws what is to be seen.
///
/// Called on the thread that encodes, once for each picture, in order.
pub trait Retouch: Send {
    /// Changes a picture that was captured at this time. Its size may be another one than the last time.
    fn retouch(&mut self, picture: &mut Canvas, captured: Monotonic);

    /// No picture may be shown without it. A source whose pictures come encoded can't be used then.
    fn is_required(&self) -> bool {
        false
    }
}

/// One after the other.
impl<T: Retouch + ?Sized> Retouch for Vec<Box<T>> {
    fn retouch(&mut self, picture: &mut Canvas, captured: Monotonic) {
        for retouch in self {
            retouch.retouch(picture, captured);
        }
    }

    fn is_required(&self) -> bool {
        self.iter().any(|retouch| retouch.is_required())
    }
}
