use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, anyhow, bail};
use wasmtime::component::Component;

use super::{
    PluginOrigin, PluginSpec, Storage,
    bindings::exports::picam::plugin::{lifecycle, playlist::KeyValue},
    cache::{self, Cache},
    component::{self, Shape},
    engine::Runtime,
    failure::{flat, flattened},
    grants::Grants,
    health::Restarts,
    hook::Hook,
    host::Shared,
    instance::{Instance, Template},
    lookup,
    policy::PlaylistFailure,
    suggest::{list, suggest},
    trying::{self, Facts},
};

/// Bytes of a plugin's own name.
const NAME_MOST: usize = 40;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Short name, as in `ll-hls`: lower-case letters, digits and `-`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line: what it does.
    pub summary: String,
}

/// One version of a plugin with one configuration, from file to answers that were tried: all that is needed to start
/// instances of it. It never changes; another file or another configuration is another generation.
pub(super) struct Generation {
    pub(super) name: Arc<str>,
    /// Which one of the plugin's generations it is, counted from 1; 0 until it serves.
    pub(super) number: u64,
    pub(super) description: Description,
    pub(super) origin: PluginOrigin,
    pub(super) facts: Facts,
    pub(super) shared: Arc<Shared>,
    /// Whether it can store something, and may.
    pub(super) stores: bool,
    pub(super) restarts: Restarts,
    /// Whether the code came out of the cache.
    pub(super) code: cache::Origin,
    /// The next failure is its last.
    on_trial: AtomicBool,
    /// It failed on trial: what still waits for it is to go elsewhere.
    condemned: AtomicBool,
    template: Template,
    config: Vec<KeyValue>,
}

impl Generation {
    /// Does everything between a file's name and a plugin that can be trusted with the stream, and touches nothing that
    /// runs. `shared` is what instances of this plugin, of this generation and others, have in common. The error's chain
    /// says what was being done to which plugin.
    pub(super) fn load(
        runtime: &Arc<Runtime>,
        spec: &PluginSpec,
        directories: &[std::path::PathBuf],
        cache: Option<&Cache>,
        shared: Arc<Shared>,
    ) -> anyhow::Result<Self> {
        let what = || format!("plugin `{}` can't be used", flat(&spec.file));
        let origin = lookup::find(&spec.file, directories).with_context(what)?;
        let file = lookup::read(&origin).with_context(what)?;
        Self::of_file(runtime, spec, origin, file, cache, shared).with_context(what)
    }

    /// The same from the file's bytes on.
    pub(super) fn of_file(
        runtime: &Arc<Runtime>,
        spec: &PluginSpec,
        origin: PluginOrigin,
        file: Vec<u8>,
        cache: Option<&Cache>,
        shared: Arc<Shared>,
    ) -> anyhow::Result<Self> {
        let load = || {
            let component = component::component(file)?;
            let shape = Shape::of(&component)?;
            shape.check()?;
            warn_of_missing(&shape, &origin, spec);
            let (code, from) = cache::compile(&runtime.engine, &component, cache)?;
            Self::of_code(runtime, spec, origin, &shape, (&code, from), shared)
        };
        load().map_err(flattened)
    }

    /// The same from compiled code on.
    pub(super) fn of_code(
        runtime: &Arc<Runtime>,
        spec: &PluginSpec,
        origin: PluginOrigin,
        shape: &Shape,
        (code, from): (&Component, cache::Origin),
        shared: Arc<Shared>,
    ) -> anyhow::Result<Self> {
        let grants = grants(shape, &origin, spec);
        check_storage(spec, shape, grants)?;
        let template = Template::new(runtime.clone(), code, spec.limits, grants)?;

        // What is stored while it is tried doesn't stay.
        let scratch = Arc::new(shared.fork());
        let mut instance = template.instantiate(flat(&spec.file).into(), scratch)?;
        let described = instance.describe()?;
        check_config(&spec.config, &described.options)?;
        let description = check_description(described)?;
        let name: Arc<str> = description.name.as_str().into();
        instance.rename(name.clone());
        let config: Vec<_> = spec
            .config
            .iter()
            .cloned()
            .map(|(key, value)| KeyValue { key, value })
            .collect();
        init(&mut instance, &config)?;
        let mut facts = trying::try_out(&mut instance, &template)?;
        let policy = spec.failure_policy;
        if let Some(hook) = policy.set_in_vain(|hook| template.has(hook)) {
            let hook = hook.name();
            bail!(
                "its `failure-policy` says what happens where its `{hook}` fails, and it has no `{hook}`; take that key out"
            );
        }
        let stale = policy.playlist.unwrap_or_default() == PlaylistFailure::StaleIfError;
        for document in &mut facts.documents {
            document.stale_if_error = stale;
        }

        Ok(Self {
            name,
            number: 0,
            description,
            origin,
            facts,
            shared,
            stores: grants.kv && shape.imports().any(|import| import == "kv"),
            restarts: spec.restarts,
            code: from,
            on_trial: AtomicBool::new(false),
            condemned: AtomicBool::new(false),
            template,
            config,
        })
    }

    /// A fresh instance, ready to be called.
    pub(super) fn start(&self) -> anyhow::Result<Instance> {
        let mut instance = self
            .template
            .instantiate(self.name.clone(), self.shared.clone())?;
        init(&mut instance, &self.config)?;
        Ok(instance)
    }

    /// From here on one failure is enough, and no call is made after it.
    pub(super) fn try_out(&self) {
        self.on_trial.store(true, Ordering::SeqCst);
    }

    /// It is called again whatever happened: there is nothing that could take its place.
    pub(super) fn acquit(&self) {
        self.on_trial.store(false, Ordering::SeqCst);
        self.condemned.store(false, Ordering::SeqCst);
    }

    /// A call failed. Said by whoever made it, before he makes the next one: those who wait behind a loop must not start
    /// another while it is being seen to that the generation before serves again.
    pub(super) fn failed(&self) {
        if self.on_trial.load(Ordering::SeqCst) {
            self.condemned.store(true, Ordering::SeqCst);
        }
    }

    pub(super) fn is_condemned(&self) -> bool {
        self.condemned.load(Ordering::SeqCst)
    }

    /// Whether this plugin takes part in a decision.
    pub(super) fn has(&self, hook: Hook) -> bool {
        self.template.has(hook)
    }

    /// Whether it names segments so that one template says how.
    pub(super) fn has_segment_template(&self) -> bool {
        self.facts.segment_template.is_some()
    }

    /// Whether instances have state that is to survive a swap.
    pub(super) fn has_state(&self) -> bool {
        self.template.has_state()
    }
}

/// What the plugin may call. A plugin that came with the host has what it needs.
fn grants(shape: &Shape, origin: &PluginOrigin, spec: &PluginSpec) -> Grants {
    match origin {
        PluginOrigin::Stock(_) => shape.grants().fold(spec.grants, Grants::with),
        PluginOrigin::File(_) => spec.grants,
    }
}

fn warn_of_missing(shape: &Shape, origin: &PluginOrigin, spec: &PluginSpec) {
    let held = grants(shape, origin, spec);
    for grant in shape.grants().filter(|grant| !held.has(grant)) {
        tracing::warn!(
            "plugin `{}` imports `{grant}`, which it has not been granted: should it call it, that call fails; to allow \
             it, add \"{grant}\" to `grants` in its [[plugin]] table",
            flat(&spec.file)
        );
    }
}

/// Who asks for what it stores to be kept means a plugin that stores something.
fn check_storage(spec: &PluginSpec, shape: &Shape, grants: Grants) -> anyhow::Result<()> {
    if spec.storage == Storage::Memory {
        return Ok(());
    }
    if !shape.imports().any(|import| import == "kv") {
        bail!(
            "what it stores is to be persistent, and it stores nothing: it doesn't import `kv`; take `kv` out of its \
             [[plugin]] table"
        );
    }
    if !grants.kv {
        bail!(
            "what it stores is to be persistent, and it may not store anything; add \"kv\" to `grants` in its [[plugin]] \
             table"
        );
    }
    Ok(())
}

fn init(instance: &mut Instance, config: &[KeyValue]) -> anyhow::Result<()> {
    instance
        .init(config)?
        .map_err(|why| anyhow!("it doesn't accept its configuration: {}", flat(&why)))
}

fn check_description(described: lifecycle::Description) -> anyhow::Result<Description> {
    let name = described.name;
    let sane = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if name.is_empty() || name.len() > NAME_MOST || !name.bytes().all(sane) {
        bail!(
            "it calls itself `{}`; a name is made of 1 to {NAME_MOST} lower-case letters, digits and `-`",
            flat(&name)
        );
    }
    Ok(Description {
        name,
        version: flat(&described.version),
        summary: flat(&described.summary),
    })
}

/// Finds mistyped and repeated keys before the plugin sees them.
fn check_config(
    config: &[(String, String)],
    options: &[lifecycle::OptionHelp],
) -> anyhow::Result<()> {
    let known = || options.iter().map(|option| option.key.as_str());
    let mut seen = HashSet::new();
    for (key, value) in config {
        if !known().any(|option| option == key) {
            let mut error = format!("it has no option `{key}` (set to `{}`)", flat(value));
            if let Some(meant) = suggest(key, known()) {
                error += &format!("; did you mean `{meant}`?");
            }
            bail!("{error} Its options are {}", list(known()));
        }
        if !seen.insert(key) {
            bail!("its option `{key}` is set twice; which value is meant?");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Vec<lifecycle::OptionHelp> {
        ["segment-ms", "part-ms"]
            .map(|key| lifecycle::OptionHelp {
                key: key.to_owned(),
                default: String::new(),
                help: String::new(),
            })
            .into()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_mistyped_key_names_the_one_that_was_meant_and_all_there_are() {
        let error = check_config(&pairs(&[("part_ms", "100")]), &options())
            .unwrap_err()
            .to_string();
        assert!(error.contains("`part_ms` (set to `100`)"), "{error}");
        assert!(error.contains("did you mean `part-ms`?"), "{error}");
        assert!(error.contains("`segment-ms` and `part-ms`"), "{error}");
    }

    #[test]
    fn a_key_is_set_once() {
        let twice = pairs(&[("part-ms", "100"), ("part-ms", "200")]);
        let error = check_config(&twice, &options()).unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
        check_config(
            &pairs(&[("part-ms", "100"), ("segment-ms", "1")]),
            &options(),
        )
        .unwrap();
    }

    #[test]
    fn a_name_is_fit_for_logs_and_addresses() {
        let described = |name: &str| lifecycle::Description {
            name: name.to_owned(),
            version: "1\n.0".to_owned(),
            summary: String::new(),
            options: vec![],
        };
        assert_eq!(
            check_description(described("ll-hls")).unwrap().version,
            "1 .0"
        );
        for bad in ["", "LL-HLS", "a b", "a/b", &"x".repeat(41)] {
            assert!(check_description(described(bad)).is_err(), "{bad}");
        }
    }
}
