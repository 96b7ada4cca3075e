use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, InstancePre, TypedFunc},
    error::Context as _,
};

use super::{
    Grants, Limits,
    bindings::exports::picam::plugin::{auth, lifecycle, naming, overlay, playlist, state},
    budget::Budget,
    engine::Runtime,
    failure::{Exceeded, is_output_exhausted, one_line},
    hook::Hook,
    host::{HostState, Shared},
    window::{Presentation, Request},
};
use crate::live::Snapshot;

/// Bytes of strings and lists, beyond twice the limit on output, that a call may hand over: what surrounds the text.
const OUTPUT_SLACK: usize = 64 << 10;

/// A compiled plugin with its imports bound: what instances are made from.
pub(super) struct Template {
    runtime: Arc<Runtime>,
    pre: InstancePre<HostState>,
    found: Found,
    limits: Limits,
    grants: Grants,
}

/// Where in the component its exports are.
struct Found {
    lifecycle: lifecycle::GuestIndices,
    state: Option<state::GuestIndices>,
    /// With `render`, whose arguments have types of ours.
    playlist: Option<(playlist::GuestIndices, ComponentExportIndex)>,
    naming: Option<naming::GuestIndices>,
    auth: Option<auth::GuestIndices>,
    overlay: Option<overlay::GuestIndices>,
}

impl Template {
    /// Binds the imports and looks up the hooks.
    pub(super) fn new(
        runtime: Arc<Runtime>,
        component: &Component,
        limits: Limits,
        grants: Grants,
    ) -> wasmtime::Result<Self> {
        let pre = runtime
            .linker
            .instantiate_pre(component)
            .context("what it imports doesn't match the contract of this host")?;
        let found = Found::in_component(&pre)
            .context("what it exports doesn't match the contract of this host")?;
        Ok(Self {
            runtime,
            pre,
            found,
            limits,
            grants,
        })
    }

    /// Whether the component exports a hook.
    pub(super) fn has(&self, hook: Hook) -> bool {
        match hook {
            Hook::Playlist => self.found.playlist.is_some(),
            Hook::Naming => self.found.naming.is_some(),
            Hook::Auth => self.found.auth.is_some(),
            Hook::Overlay => self.found.overlay.is_some(),
        }
    }

    /// Whether the component has state to be saved and restored.
    pub(super) fn has_state(&self) -> bool {
        self.found.state.is_some()
    }

    /// A fresh instance, on which nothing has been called yet.
    pub(super) fn instantiate(
        &self,
        plugin: Arc<str>,
        shared: Arc<Shared>,
    ) -> Result<Instance, Trapped> {
        let state = HostState::new(plugin, self.grants, self.limits, shared);
        let mut store = Store::new(&self.runtime.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(self.limits.output.saturating_mul(2) + OUTPUT_SLACK);
        store.epoch_deadline_callback(|mut store| store.data_mut().budget.tick());
        store.set_epoch_deadline(1);
        let watch = self.runtime.watch();
        let exports = self
            .pre
            .instantiate(&mut store)
            .and_then(|instance| self.found.load(&mut store, &instance));
        drop(watch);
        match exports {
            Ok(exports) => Ok(Instance {
                runtime: self.runtime.clone(),
                store,
                exports,
                limits: self.limits,
                hurried: None,
                window: None,
            }),
            Err(error) => Err(Trapped::new(
                "instantiating it",
                &error,
                store.data_mut(),
                self.limits,
            )),
        }
    }
}

impl Found {
    /// An interface that isn't there is one that the plugin does without; one that is there has to be whole.
    fn in_component(pre: &InstancePre<HostState>) -> wasmtime::Result<Self> {
        let component = pre.component();
        let interface =
            |name: &str| component.get_export_index(None, format!("picam:plugin/{name}@0.1.0"));
        let lifecycle = lifecycle::GuestIndices::new(pre)?;
        let playlist = match interface(Hook::Playlist.name()) {
            None => None,
            Some(playlist) => {
                let render = component
                    .get_export_index(Some(&playlist), "render")
                    .context("its `playlist` has no `render`")?;
                Some((playlist::GuestIndices::new(pre)?, render))
            }
        };
        Ok(Self {
            lifecycle,
            state: interface("state")
                .map(|_| state::GuestIndices::new(pre))
                .transpose()?,
            playlist,
            naming: interface(Hook::Naming.name())
                .map(|_| naming::GuestIndices::new(pre))
                .transpose()?,
            auth: interface(Hook::Auth.name())
                .map(|_| auth::GuestIndices::new(pre))
                .transpose()?,
            overlay: interface(Hook::Overlay.name())
                .map(|_| overlay::GuestIndices::new(pre))
                .transpose()?,
        })
    }

    fn load(
        &self,
        store: &mut Store<HostState>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Exports> {
        Ok(Exports {
            lifecycle: self.lifecycle.load(&mut *store, instance)?,
            state: self
                .state
                .as_ref()
                .map(|found| found.load(&mut *store, instance))
                .transpose()?,
            playlist: match &self.playlist {
                None => None,
                Some((found, render)) => Some((
                    found.load(&mut *store, instance)?,
                    instance.get_typed_func(&mut *store, render)?,
                )),
            },
            naming: self
                .naming
                .as_ref()
                .map(|found| found.load(&mut *store, instance))
                .transpose()?,
            auth: self
                .auth
                .as_ref()
                .map(|found| found.load(&mut *store, instance))
                .transpose()?,
            overlay: self
                .overlay
                .as_ref()
                .map(|found| found.load(&mut *store, instance))
                .transpose()?,
        })
    }
}

type Render = TypedFunc<(Request, Arc<Presentation>), (playlist::Answer,)>;

struct Exports {
    lifecycle: lifecycle::Guest,
    state: Option<state::Guest>,
    playlist: Option<(playlist::Guest, Render)>,
    naming: Option<naming::Guest>,
    auth: Option<auth::Guest>,
    overlay: Option<overlay::Guest>,
}

/// The export behind a call. Whoever calls a hook has asked [`Template::has`] before.
fn exported<'a, T>(export: &'a Option<T>, name: &str) -> wasmtime::Result<&'a T> {
    export
        .as_ref()
        .with_context(|| format!("it doesn't export `{name}`"))
}

/// A plugin that runs. After a call that ends in [`Trapped`] it is dead and must be dropped: Wasmtime refuses to enter it.
///
/// The hooks that the component doesn't export end in an error, too.
pub(super) struct Instance {
    runtime: Arc<Runtime>,
    store: Store<HostState>,
    exports: Exports,
    limits: Limits,
    /// Since when, by the thread's own time, it is called on a thread that has other things to do.
    hurried: Option<Duration>,
    /// The window that was lowered last. Several documents are written from each.
    window: Option<(Weak<Snapshot>, Arc<Presentation>)>,
}

/// A call that didn't return, in one line: which, why, and in which functions.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{line}")]
pub(super) struct Trapped {
    line: String,
    /// It was in a hurry, and might have returned on another thread.
    pub(super) hurried: bool,
}

impl Trapped {
    fn new(what: &str, error: &wasmtime::Error, state: &mut HostState, limits: Limits) -> Self {
        let mut line = if is_output_exhausted(error) {
            format!(
                "{what} failed: {}",
                Exceeded::Output {
                    limit: limits.output
                }
            )
        } else {
            format!("{what} failed: {}", one_line(error))
        };
        if let Some(words) = state.last_words.take() {
            line += &format!("; the last error it logged: {words}");
        }
        Self {
            line,
            hurried: state.budget.was_too_brief(),
        }
    }
}

/// `lifecycle` and `state`.
impl Instance {
    pub(super) fn describe(&mut self) -> Result<lifecycle::Description, Trapped> {
        self.call("`describe`", self.starting(), |store, exports| {
            exports.lifecycle.call_describe(store)
        })
    }

    /// Gives the plugin the name under which the log shows it.
    pub(super) fn rename(&mut self, plugin: Arc<str>) {
        self.store.data_mut().rename(plugin);
    }

    /// From here on grants are in force. The inner error is the plugin's own.
    pub(super) fn init(
        &mut self,
        config: &[lifecycle::KeyValue],
    ) -> Result<Result<(), String>, Trapped> {
        self.store.data_mut().granting = true;
        self.call("`init`", self.starting(), |store, exports| {
            exports.lifecycle.call_init(store, config)
        })
    }

    /// What is to survive a swap.
    pub(super) fn save(&mut self) -> Result<Vec<u8>, Trapped> {
        self.call("`save`", self.starting(), |store, exports| {
            exported(&exports.state, "state")?.call_save(store)
        })
    }

    /// The inner error is the plugin's own, and means that it starts without.
    pub(super) fn restore(&mut self, saved: &[u8]) -> Result<Result<(), String>, Trapped> {
        self.call("`restore`", self.starting(), |store, exports| {
            exported(&exports.state, "state")?.call_restore(store, saved)
        })
    }
}

/// `playlist`.
impl Instance {
    pub(super) fn wanted_timing(&mut self) -> Result<playlist::TimingRequest, Trapped> {
        self.call("`wanted-timing`", self.starting(), |store, exports| {
            let (playlist, _) = exported(&exports.playlist, "playlist")?;
            playlist.call_wanted_timing(store)
        })
    }

    pub(super) fn documents(&mut self) -> Result<Vec<playlist::Document>, Trapped> {
        self.call("`documents`", self.starting(), |store, exports| {
            let (playlist, _) = exported(&exports.playlist, "playlist")?;
            playlist.call_documents(store)
        })
    }

    pub(super) fn render(
        &mut self,
        request: Request,
        snapshot: &Arc<Snapshot>,
    ) -> Result<playlist::Answer, Trapped> {
        let presentation = self.presentation(snapshot);
        self.call("`render`", self.running(), |store, exports| {
            let (_, render) = exported(&exports.playlist, "playlist")?;
            let (answer,) = render.call(store, (request, presentation))?;
            Ok(answer)
        })
    }

    fn presentation(&mut self, snapshot: &Arc<Snapshot>) -> Arc<Presentation> {
        // As long as there is a weak pointer, no other snapshot can have its address.
        if let Some((known, presentation)) = &self.window
            && known.as_ptr() == Arc::as_ptr(snapshot)
        {
            return presentation.clone();
        }
        let presentation = Arc::new(Presentation::of(snapshot));
        self.window = Some((Arc::downgrade(snapshot), presentation.clone()));
        presentation
    }
}

/// `naming`.
impl Instance {
    pub(super) fn name(&mut self, object: &naming::Object) -> Result<String, Trapped> {
        self.call("`name`", self.running(), |store, exports| {
            exported(&exports.naming, "naming")?.call_name(store, object)
        })
    }

    pub(super) fn segment_template(&mut self, rendition: &str) -> Result<Option<String>, Trapped> {
        self.call("`segment-template`", self.running(), |store, exports| {
            exported(&exports.naming, "naming")?.call_segment_template(store, rendition)
        })
    }
}

/// `auth`.
impl Instance {
    pub(super) fn reads(&mut self) -> Result<auth::Inputs, Trapped> {
        self.call("`reads`", self.starting(), |store, exports| {
            exported(&exports.auth, "auth")?.call_reads(store)
        })
    }

    pub(super) fn decide(&mut self, request: &auth::Request) -> Result<auth::Decision, Trapped> {
        self.call("`decide`", self.running(), |store, exports| {
            exported(&exports.auth, "auth")?.call_decide(store, request)
        })
    }
}

/// `overlay`.
impl Instance {
    pub(super) fn draw(&mut self, frame: overlay::Frame) -> Result<overlay::Drawing, Trapped> {
        self.call("`draw`", self.running(), |store, exports| {
            exported(&exports.overlay, "overlay")?.call_draw(store, frame)
        })
    }
}

impl Instance {
    /// Bytes of linear memory in use.
    pub(super) fn memory(&self) -> usize {
        self.store.data().meter.memory()
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// From here on calls of hooks are broken off that don't return at once. `None`: they have all the time that they may.
    pub(super) fn hurry(&mut self, since: Option<Duration>) {
        self.hurried = since;
    }

    fn starting(&self) -> Budget {
        Budget::new(self.limits.start, "start-time")
    }

    fn running(&self) -> Budget {
        match self.hurried {
            Some(since) => Budget::brief(since),
            None => Budget::new(self.limits.call, "call-time"),
        }
    }

    fn call<R>(
        &mut self,
        what: &str,
        budget: Budget,
        call: impl FnOnce(&mut Store<HostState>, &Exports) -> wasmtime::Result<R>,
    ) -> Result<R, Trapped> {
        let state = self.store.data_mut();
        state.budget = budget;
        state.last_words = None;
        self.store.set_epoch_deadline(1);
        let watch = self.runtime.watch();
        let result = call(&mut self.store, &self.exports);
        drop(watch);
        result.map_err(|error| Trapped::new(what, &error, self.store.data_mut(), self.limits))
    }
}
