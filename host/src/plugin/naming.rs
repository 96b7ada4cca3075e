use std::{fmt, sync::Arc};

use tokio::sync::oneshot;

use super::{
    CallError, Hook, NamingFailure, Plugins, bindings::exports::picam::plugin::naming,
    instance::Instance, window, worker::Fault,
};
use crate::live::{self, Kind, Nameless};

/// The plugins of a host, as those who name its media objects. If none of them does, objects are numbered.
#[derive(Clone)]
pub struct Namer(Arc<Plugins>);

impl Namer {
    /// Of these plugins, whichever of them has the hook at the time.
    pub fn new(plugins: Arc<Plugins>) -> Self {
        Self(plugins)
    }
}

impl live::Naming for Namer {
    fn name(&self, object: Nameless) -> live::Answer {
        let (mut sender, answer) = oneshot::channel();
        if self.0.names_objects() {
            let plugins = self.0.clone();
            tokio::spawn(async move {
                let name = tokio::select! {
                    biased;
                    // Too late: the plugin is spared the call.
                    () = sender.closed() => return,
                    name = plugins.name(object) => name,
                };
                // Why there is none, the log has from the plugin's own thread.
                let _ = sender.send(name.and_then(Result::ok));
            });
        }
        answer
    }

    fn instead(&self) -> Option<String> {
        let namer = self.0.lineup().agreement.namer?;
        let policy = self.0.slots[namer].spec.failure_policy.naming;
        match policy.unwrap_or_default() {
            NamingFailure::Number => None,
            NamingFailure::Random => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes)
                    .inspect_err(|error| tracing::error!("the system has no random bytes: {error}"))
                    .ok()?;
                Some(format!("{:032x}", u128::from_ne_bytes(bytes)))
            }
        }
    }

    fn segment_template(&self) -> Option<String> {
        match self.0.names_objects() {
            true => self.0.segment_template(),
            false => Some(live::numbered_template()),
        }
    }
}

impl Plugins {
    /// Whether one of them names objects.
    pub fn names_objects(&self) -> bool {
        self.lineup().agreement.namer.is_some()
    }

    /// Has an object named; `None` if no plugin names any. The name is one that an address can have.
    pub async fn name(&self, object: Nameless) -> Option<Result<String, CallError>> {
        let namer = |lineup: &super::plugins::Lineup| lineup.agreement.namer;
        self.call(Hook::Naming, Subject(object), namer, || {
            move |instance: &mut Instance| name(instance, object)
        })
        .await
    }

    /// How segments are called, as a DASH template with `$Number$`, if a plugin names them and its names permit that.
    pub fn segment_template(&self) -> Option<String> {
        let lineup = self.lineup();
        let namer = &lineup.plugins[lineup.agreement.namer?];
        namer.worker.generation().facts.segment_template.clone()
    }
}

/// Asks for a name and checks it.
pub(super) fn name(instance: &mut Instance, object: Nameless) -> Result<String, Fault> {
    let said = instance.name(&naming::Object {
        kind: match object.kind {
            Kind::Init => naming::Kind::Init,
            Kind::Segment => naming::Kind::Segment,
            Kind::Part => naming::Kind::Part,
        },
        rendition: window::RENDITION.to_owned(),
        number: object.number,
        captured: object.captured.0,
    })?;
    live::check_name(object.kind, &said).map_err(Fault::Unusable)
}

/// What a call is about, in an error.
#[derive(Clone, Copy)]
struct Subject(Nameless);

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.kind, self.0.number)
    }
}
