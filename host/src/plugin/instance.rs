use std::sync::Arc;

use wasmtime::{
    Store,
    component::{Component, ComponentExportIndex, InstancePre, TypedFunc},
    error::Context as _,
};

use super::{
    Grants, Limits,
    bindings::exports::picam::plugin::{lifecycle, playlist},
    budget::Budget,
    engine::Runtime,
    failure::{Exceeded, is_output_exhausted, one_line},
    host::{HostState, Shared},
    window::{Presentation, Request},
};

/// Bytes of strings and lists, beyond twice the limit on output, that a call may hand over: what surrounds the text.
const OUTPUT_SLACK: usize = 64 << 10;

/// A compiled plugin with its imports bound: what instances are made from.
pub(super) struct Template {
    runtime: Arc<Runtime>,
    pre: InstancePre<HostState>,
    lifecycle: lifecycle::GuestIndices,
    playlist: playlist::GuestIndices,
    render: ComponentExportIndex,
    limits: Limits,
    grants: Grants,
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
        let mismatch = "what it exports doesn't match the contract of this host";
        let lifecycle = lifecycle::GuestIndices::new(&pre).context(mismatch)?;
        let playlist = playlist::GuestIndices::new(&pre).context(mismatch)?;
        let render = component
            .get_export_index(None, "picam:plugin/playlist@0.1.0")
            .and_then(|playlist| component.get_export_index(Some(&playlist), "render"))
            .context("its `playlist` has no `render`")?;
        Ok(Self {
            runtime,
            pre,
            lifecycle,
            playlist,
            render,
            limits,
            grants,
        })
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
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
        let exports = self.pre.instantiate(&mut store).and_then(|instance| {
            Ok(Exports {
                lifecycle: self.lifecycle.load(&mut store, &instance)?,
                playlist: self.playlist.load(&mut store, &instance)?,
                render: instance.get_typed_func(&mut store, self.render)?,
            })
        });
        drop(watch);
        match exports {
            Ok(exports) => Ok(Instance {
                runtime: self.runtime.clone(),
                store,
                exports,
                limits: self.limits,
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

struct Exports {
    lifecycle: lifecycle::Guest,
    playlist: playlist::Guest,
    render: TypedFunc<(Request, Arc<Presentation>), (playlist::Answer,)>,
}

/// A plugin that runs. After a call that ends in [`Trapped`] it is dead and must be dropped: Wasmtime refuses to enter it.
pub(super) struct Instance {
    runtime: Arc<Runtime>,
    store: Store<HostState>,
    exports: Exports,
    limits: Limits,
}

/// A call that didn't return, in one line: which, why, and in which functions.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Trapped(String);

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
        Self(line)
    }
}

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

    pub(super) fn wanted_timing(&mut self) -> Result<playlist::TimingRequest, Trapped> {
        self.call("`wanted-timing`", self.starting(), |store, exports| {
            exports.playlist.call_wanted_timing(store)
        })
    }

    pub(super) fn documents(&mut self) -> Result<Vec<playlist::Document>, Trapped> {
        self.call("`documents`", self.starting(), |store, exports| {
            exports.playlist.call_documents(store)
        })
    }

    pub(super) fn render(
        &mut self,
        request: Request,
        presentation: &Arc<Presentation>,
    ) -> Result<playlist::Answer, Trapped> {
        let budget = Budget::new(self.limits.call, "call-time");
        self.call("`render`", budget, |store, exports| {
            let (answer,) = exports
                .render
                .call(store, (request, presentation.clone()))?;
            Ok(answer)
        })
    }

    /// Bytes of linear memory in use.
    pub(super) fn memory(&self) -> usize {
        self.store.data().meter.memory()
    }

    fn starting(&self) -> Budget {
        Budget::new(self.limits.start, "start-time")
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
