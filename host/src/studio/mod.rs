//! Pictures between a camera that doesn't encode them and the stream.
//!
//! This room knows pictures and encoders, and nothing of devices, plugins or segments.

mod decode;
pub mod transcode;

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
