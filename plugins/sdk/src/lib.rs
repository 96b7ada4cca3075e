//! Write plugins for `picam-host` in Rust.
//!
//! A plugin is a type that implements [`Plugin`] (who it is, how it starts) and one trait per hook that it serves, and
//! is handed to [`export!`]:
//!
//! ```
//! use picam_plugin::{Config, Description, Plugin, m3u8, playlist::*};
//!
//! struct Minimal;
//!
//! impl Plugin for Minimal {
//!     fn describe() -> Description {
//!         Description::new("minimal", env!("CARGO_PKG_VERSION"), "lists whole segments and nothing else")
//!     }
//!
//!     fn start(_config: &Config) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl Playlist for Minimal {
//!     fn documents(&self) -> Vec<Document> {
//!         vec![Document::new("plain.m3u8", Scope::Presentation, m3u8::CONTENT_TYPE, &[])]
//!     }
//!
//!     fn render(&mut self, _request: &Request, presentation: &Presentation) -> Answer {
//!         let mut list = m3u8::Writer::new();
//!         list.number("EXT-X-TARGETDURATION", presentation.timing.target_duration.into());
//!         for segment in presentation.renditions[0].segments.iter().filter(|segment| segment.complete) {
//!             list.extinf(segment.duration);
//!             list.uri(&segment.path);
//!         }
//!         Answer::text(list.finish(), 1)
//!     }
//! }
//!
//! picam_plugin::export!(Minimal: playlist);
//! ```
//!
//! | trait | hook | what the plugin decides |
//! |---|---|---|
//! | [`playlist::Playlist`] | `playlist` | timing, which documents there are, and their text |
//! | [`naming::Naming`] | `naming` | the addresses of init segments, segments and parts |
//! | [`auth::Auth`] | `auth` | who may watch |
//! | [`overlay::Overlay`] | `overlay` | what is drawn on the picture |
//! | [`State`] | `state` | what survives a swap of the plugin |
//!
//! What the host grants is in [`log`], [`kv`], [`random`], [`clock`] and [`metrics`]; natively these do something fit for
//! tests. Options are declared once ([`Number`], [`Flag`], [`Choice`], [`Words`]), and are then parsed, checked, defaulted
//! and described alike.
//!
//! Everything but the few lines that [`export!`] makes compiles and tests on the machine you sit at: make up a
//! [`playlist::Presentation`], call `render`, look at the text. For the host, build the crate as a `cdylib` for
//! `wasm32-unknown-unknown`; there is no WASI, and so no file, no socket and no clock but what the contract grants.
//!
//! Plugins travel in binaries and run on small boards, so what is here avoids `core::fmt`, which alone outweighs a
//! small plugin: numbers, seconds and dates are written by [`text`].

pub mod auth;
pub mod bearer;
pub mod bindings;
pub mod clock;
mod config;
pub mod cookie;
#[doc(hidden)]
pub mod glue;
mod inputs;
pub mod kv;
pub mod log;
pub mod m3u8;
pub mod metrics;
pub mod naming;
mod option;
pub mod overlay;
pub mod percent;
pub mod playlist;
mod plugin;
pub mod random;
mod state;
pub mod strftime;
pub mod text;
pub mod xml;

pub use bindings::imports::picam::plugin::types::{Inputs, KeyValue, Position, Refusal};
pub use config::Config;
pub use option::{Choice, Flag, Number, Words};
pub use plugin::{Description, Plugin};
pub use state::State;
