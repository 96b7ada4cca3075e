//! What black-box tests stand on: the built binary as a process, HTTP clients, readers of playlists and media that share
//! no code with the host, and a camera whose timing the test controls.
//!
//! Real encoders (FFmpeg) make the pictures, once, into `target/test-media`; only their pacing is scripted. Nothing here
//! decides whether something is right: that is what a test is for.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use picam_tests::{Camera, Clip, Host};
//!
//! let mut camera = Camera::new(&["clip {} rate 30 play"], &[Clip::default()]).await?;
//! let host = Host::source(&camera.source()).plugin("ll-hls.wasm,part-ms=100").start().await?;
//! let playlist = host.media_playlist().await?;
//! assert!(!playlist.part_target.is_zero());
//! camera.run("silence 400 play").await?;
//! # Ok(()) }
//! ```

mod blocked;
mod browser;
mod camera;
mod client;
mod clip;
pub mod crowd;
pub mod dash;
mod feed;
mod guest;
mod host;
pub mod media;
pub mod players;
mod playlist;
mod server;
pub mod token;
mod trust;
pub mod vm;
mod watch;

pub use blocked::{Blocked, blocked};
pub use browser::{Gaps, HICCUP, Picam, Player, Report, Viewer, Waits, hiccups_during};
pub use camera::Camera;
pub use client::{Client, Reply};
pub use clip::{Clip, units};
pub use feed::{Feed, Pictures, Sent, millis_between, percentile};
pub use guest::Guest;
pub use host::{Host, Setup, encoded_source, program};
pub use playlist::{Attributes, Part, Playlist, Segment, Tag};
pub use server::WebServer;
pub use trust::Authority;
pub use watch::{Fetched, Revision, Watched, watch};

use std::path::PathBuf;

/// How long anything may take before a test gives up on it. A guard against hanging, not a measurement.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Cargo's target directory, found from the running test: `target/PROFILE/deps/test-hash`.
///
/// # Panics
/// When the test executable lies somewhere else.
pub fn target_directory() -> PathBuf {
    profile_directory()
        .parent()
        .expect("a profile's directory lies in the target directory")
        .to_owned()
}

/// `target/debug` or `target/release`, where the binaries are.
///
/// # Panics
/// When the running program lies somewhere else.
pub fn profile_directory() -> PathBuf {
    let executable = std::env::current_exe().expect("a running program has a path");
    let mut directory = executable.parent().expect("a program lies in a directory");
    // Documentation tests and integration tests lie one level below the binaries.
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory = directory
            .parent()
            .expect("`deps` lies in a profile's directory");
    }
    directory.to_owned()
}
