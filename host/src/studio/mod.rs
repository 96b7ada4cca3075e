//! Pictures between a camera that doesn't encode them and the stream.
//!
//! This room knows pictures and encoders, and nothing of devices, plugins or segments.

use crate::{picture::Canvas, time::Monotonic};

/// Changes pictures before they are encoded: covers what must not be seen, draws what is to be seen.
///
/// Called on the thread that encodes, once for each picture, in order.
pub trait Retouch: Send {
    /// Changes a picture that was captured at this time. Its size may be another one than the last time.
    fn retouch(&mut self, picture: &mut Canvas, captured: Monotonic);
}
