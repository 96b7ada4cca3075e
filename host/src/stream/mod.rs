//! The publisher: takes what a source reports, keeps the presentation clock, and fills the live window.
//!
//! A [`Probe`](probe::Probe) watches the source until it knows its rate and its key-frame interval; from these and from what the plugins
//! wish, the timing of a presentation is fixed. A [`Packager`](packager::Packager) then turns every picture into a chunk the moment it
//! arrives. When pictures stop, a slate takes over; when the source outgrows the timing, or another one is wished, the
//! presentation ends and another one is probed for. This room meets HTTP only in [`crate::live`].

mod clock;
mod counts;
mod packager;
#[cfg(test)]
mod packager_tests;
mod probe;
mod publisher;
#[cfg(test)]
mod publisher_tests;

pub use counts::Counts;
pub use publisher::{Health, Publisher, Settings};
