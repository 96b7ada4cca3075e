//! Plugins: WebAssembly components that decide what the stream does (the contract is in `wit/`).
//!
//! This room loads them, calls them, bounds what they may use, and turns what they say into the host's own types. It
//! knows the contract and the live window, and nothing of HTTP.

mod bindings;
mod playlist;

pub use playlist::{Answer, DocumentSpec, Inputs, RenderError, Request, Scope, TimingRequest};
