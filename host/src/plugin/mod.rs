//! Plugins: WebAssembly components that decide what the stream does (the contract is in `wit/`).
//!
//! This room loads them, calls them, bounds what they may use, and turns what they say into the host's own types. It
//! knows the contract and the live window, and nothing of HTTP.
//!
//! A [`PluginSpec`] leads to a file (`lookup`), the file to a component that imports nothing but the contract
//! (`component`), that to machine code (`cache`), and the code, described, configured and tried on made-up windows
//! ([`trial`]), is a `generation`: a value that touches nothing which runs. A `worker` is a thread that calls an
//! `instance` of it, throws it away when it traps, and starts another (`health` says when). [`Plugins`] is all of them.

mod answer;
mod bindings;
mod budget;
mod cache;
mod component;
mod documents;
mod engine;
mod failure;
mod generation;
mod grants;
mod health;
mod host;
mod instance;
mod limits;
mod lookup;
mod playlist;
mod plugins;
mod spec;
mod stock;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;
mod timing;
pub mod trial;
mod window;
mod worker;

pub use cache::default_cache_dir;
pub use generation::Description;
pub use grants::{Grants, UnknownGrant};
pub(crate) use host::LineGate;
pub use host::Metric;
pub use limits::Limits;
pub use lookup::PluginOrigin;
pub use playlist::{Answer, DocumentSpec, Inputs, RenderError, Request, Scope, TimingRequest};
pub use plugins::{Environment, PluginStatus, Plugins};
pub use spec::{PluginSpec, SpecError};
