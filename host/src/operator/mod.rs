//! The operator's listener: how the stream and its plugins are doing (`/api/v1/status`, `/api/v1/plugins`, `/metrics` for
//! Prometheus, a page for people at `/`), `POST /api/v1/plugins/NAME/reload`, `PUT` and `DELETE /api/v1/values/NAME`, and
//! what the camera can be set to (`/api/v1/controls`).
//!
//! It is a door of its own, on loopback unless said otherwise: nothing of it can be had where viewers watch, and no media
//! here. `guard` decides who may ask. This room reads what the others count; they know nothing of it, and nothing of what
//! the numbers are called outside.

mod controls;
mod exposition;
pub(crate) mod fuzzing;
mod guard;
mod metrics;
mod plugins;
mod process;
mod reply;
mod route;
mod status;
#[cfg(test)]
mod tests;
mod values;

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::sync::watch;

pub use guard::Token;

use crate::{
    http,
    live::Live,
    output,
    plugin::{BadValue, PluginStatus, ReloadError, Reloaded},
    source::{Damage, v4l2::CameraControls},
    stream,
};

/// A reload that is under way.
pub type Reloading<'a> = Pin<Box<dyn Future<Output = Result<Reloaded, ReloadError>> + Send + 'a>>;

/// The plugins, as far as the operator has to do with them.
pub trait Plugins: Send + Sync + 'static {
    /// How each is doing.
    fn status(&self) -> Vec<PluginStatus>;

    /// Loads one of them anew, by its short name.
    fn reload<'a>(&'a self, name: &'a str) -> Reloading<'a>;

    /// Sets a value for those that take some, or deletes it.
    fn set_value(&self, name: &str, value: Option<&[u8]>) -> Result<(), BadValue>;
}

/// What the operator may see, and do.
pub struct State {
    /// The plugins.
    pub plugins: Arc<dyn Plugins>,
    /// The live window.
    pub live: Arc<Live>,
    /// How the stream is doing.
    pub health: watch::Receiver<stream::Health>,
    /// What the publisher counts.
    pub stream: Arc<stream::Counts>,
    /// Where pictures come from.
    pub source: SourceFacts,
    /// What the viewers' server counts.
    pub viewers: Arc<http::Counts>,
    /// What was written as files; `None` where nothing is to be.
    pub output: Option<Arc<output::Counts>>,
    /// What requests must carry.
    pub token: Option<Token>,
}

/// What is known of the source while it runs.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    /// What viewers may read of it.
    pub name: String,
    /// What it is, for the operator.
    pub description: String,
    /// Counts of what went wrong.
    pub damage: watch::Receiver<Damage>,
    /// What the camera can be set to, if it is one that can.
    pub controls: Option<CameraControls>,
}

/// The page at `/`: `host/page/operator.html`, into which `host/build.rs` puts a policy that lets run only what is in it.
const PAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/operator.html"));

/// Connections at once: a few people and a few programs.
const CONNECTIONS: usize = 64;

/// The operator's listener, bound to its address.
pub struct Operator(http::Listeners);

impl Operator {
    /// Binds the address. Needs a Tokio runtime around it. An error names the address and says what to do.
    pub fn bind(place: http::Place, token: Option<&Token>) -> anyhow::Result<Self> {
        let operator = Self(http::Listeners::bind(vec![place], "--operator")?);
        let address = operator.local_addr();
        if !address.ip().to_canonical().is_loopback() && token.is_none() {
            tracing::warn!(
                "the operator's listener at {address} can be reached from other machines: whoever can, sees the status and \
                 can reload plugins; set `operator-token` in the configuration, or listen on 127.0.0.1"
            );
        }
        Ok(operator)
    }

    /// The address; port 0 has become the port that was given.
    pub fn local_addr(&self) -> SocketAddr {
        let mut addresses = self.0.local_addrs();
        addresses.next().expect("it listens at one address")
    }

    /// The same for a browser.
    pub fn url(&self) -> String {
        self.0.urls().next().expect("it listens at one address")
    }

    /// Serves until `shutdown` is ready.
    pub async fn serve(self, state: State, shutdown: impl Future<Output = ()>) {
        let limits = http::Limits {
            connections: CONNECTIONS,
            // Prometheus asks once a minute, or more often, and keeps its connection.
            idle: Duration::from_secs(120),
            ..http::Limits::default()
        };
        let site = Arc::new(route::Site::new(state));
        self.0.serve(site, limits, shutdown).await;
    }
}
