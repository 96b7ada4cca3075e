//! CMAF as bytes, and the timing of samples.
//!
//! [`init_segment`] and [`chunk_head`] write the boxes (ISO/IEC 14496-12, 23000-19) through `mp4-atom`; [`Timeline`] decides
//! where each sample stands on the presentation clock, how long it lasts, and where parts and segments end; [`DisplayTimes`]
//! when it is shown. This room
//! knows access units and times, and nothing of windows, sources or players.

mod boxes;
mod display;
mod event;
mod plan;
mod timeline;

pub use boxes::{Sample, chunk_head, empty_last_segment, init_segment};
pub use display::DisplayTimes;
pub use event::{Event, with_events};
pub use plan::{Observed, Timing, Wish};
pub use timeline::{Placement, Timeline};
