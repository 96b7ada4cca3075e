//! Plugins: WebAssembly components that decide what the stream does (the contract is in `wit/`).
//!
//! This room loads them, calls them, bounds what they may use, and turns what they say into the host's own types. It
//! knows the contract, the live window and drawings, and of HTTP no more than what a header field is.
//!
//! A [`PluginSpec`] leads to a file (`lookup`), the file to a component that imports nothing but the contract
//! (`component`), that to machine code (`cache`), and the code, described, configured and tried (`trying`) on made-up
//! inputs ([`trial`]), is a `generation`: a value that touches nothing which runs. A `worker` is a thread that calls the
//! hooks of an `instance` of it, throws it away when it traps, and starts another (`health` says when). [`Plugins`] is all
//! of them.
//!
//! Who may watch is asked for with every request, so `auth` has instances and threads of its own, and keeps answers.

mod agreement;
mod answer;
mod auth;
mod bindings;
mod budget;
mod cache;
mod component;
mod documents;
mod drawing;
mod engine;
mod failure;
mod files;
pub(crate) mod fuzzing;
mod generation;
mod grants;
mod health;
mod hook;
mod host;
mod inputs;
mod instance;
mod kept;
mod limits;
mod lookup;
mod naming;
mod overlay;
mod permission;
mod playlist;
mod plugins;
mod policy;
mod probation;
mod reload;
mod spec;
mod status;
mod stock;
mod store;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;
mod timing;
pub mod trial;
mod trying;
mod values;
mod weight;
mod window;
mod workbench;
mod worker;

pub use auth::{Permit, Question, Reads, Refusal, Verdict, Visit};
pub use cache::{check_cache_dir, default_cache_dir};
pub use component::component as into_component;
pub use failure::CallError;
pub use files::FileWatch;
pub use generation::Description;
pub use grants::{Grants, UnknownGrant};
pub use health::Restarts;
pub use hook::Hook;
pub use host::Metric;
pub(crate) use host::line_gate;
pub use kept::{check_state_dir, default_state_dir};
pub use limits::Limits;
pub use lookup::PluginOrigin;
pub use naming::Namer;
pub use overlay::Painter;
pub use playlist::{Answer, DocumentSpec, Inputs, RenderError, Request, Scope, TimingRequest};
pub use plugins::{Environment, Plugins};
pub use policy::{FailurePolicy, NamingFailure, OverlayFailure, PlaylistFailure};
pub use reload::{ReloadError, Reloaded};
pub use spec::{PluginSpec, SpecError};
pub use status::{HookStatus, LastReload, Outcome, PluginStatus, Reloads};
pub use store::Storage;
pub use values::BadValue;
pub use workbench::{Decided, Drawn, Found, Knock, Object, OptionHelp, Workbench};
