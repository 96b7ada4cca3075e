use crate::time::{MediaTime, Wall};

/// A picture that was published, for those who want to know of it and don't need its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Presentation time.
    pub time: MediaTime,
    /// When it was captured.
    pub captured: Wall,
    /// When it was captured as a player sees it, who knows the date of its segment and the time since that began. Differs
    /// from `captured` by a camera's jitter, and by what the wall clock was set since.
    pub date: Wall,
    /// Pixels, after cropping.
    pub width: u32,
    /// Pixels, after cropping.
    pub height: u32,
}
