//! `picam-host` turns a camera into a live stream that any browser plays.
//!
//! The way through the code follows the way of a frame: [`source`] (with [`picture`] for pictures that we draw or encode
//! ourselves), [`h264`], [`stream`], [`cmaf`], [`live`], [`overlay`], [`stills`], [`http`]; [`plugin`] decides what the documents say.
//! Beside the way lies [`kit`], for those who write plugins or wonder what is wrong.

mod changes;
pub mod cli;
pub mod cmaf;
pub mod config;
pub mod figures;
#[doc(hidden)]
pub mod fuzzing;
pub mod h264;
pub mod http;
pub mod kit;
mod line_gate;
pub mod live;
mod machine;
pub mod operator;
pub mod output;
pub mod overlay;
pub mod page;
pub mod picture;
pub mod plugin;
mod private_directory;
pub mod run;
mod service;
pub mod source;
pub mod stills;
pub mod stream;
pub mod studio;
pub mod time;
pub mod tls;
