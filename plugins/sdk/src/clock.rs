//! The wall clock. It needs the grant `clock`, and hooks hardly need it: what they are called with carries its own times.

/// Microseconds since 1970-01-01T00:00:00Z. A small board begins in 1970, and learns the date from the network later.
pub fn now() -> u64 {
    imp()
}

#[cfg(target_family = "wasm")]
use crate::bindings::imports::picam::plugin::clock::now as imp;

#[cfg(not(target_family = "wasm"))]
fn imp() -> u64 {
    std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_micros() as u64)
}
