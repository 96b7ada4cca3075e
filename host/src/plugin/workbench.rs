//! One plugin apart from any stream, for those who write it: taken to pieces, and called by hand.

mod shown;

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

use super::{
    Answer, Description, DocumentSpec, Environment, Hook, PluginOrigin, PluginSpec, Reads, Request,
    TimingRequest, answer,
    bindings::exports::picam::plugin::{auth, lifecycle, naming, overlay},
    cache::{self, Cache},
    component::{self, Shape},
    engine::Runtime,
    failure::{flat, flattened},
    generation::Generation,
    host::Shared,
    instance::{Instance, Template, Trapped},
    lookup, window,
};
use crate::{
    live::Snapshot,
    time::{MediaTime, Wall},
};

/// What could be found out of a plugin, up to where something was wrong with it.
#[derive(Debug, Default)]
pub struct Found {
    /// Where it is.
    pub origin: Option<PluginOrigin>,
    /// Bytes of the file.
    pub size: Option<usize>,
    /// It is a core module, of which the host makes a component when it loads it.
    pub core_module: bool,
    /// What it decides.
    pub hooks: Vec<Hook>,
    /// It has state that survives a swap.
    pub state: bool,
    /// Interfaces that it imports, by their full names.
    pub imports: Vec<String>,
    /// The grants that it can't do without.
    pub grants: Vec<&'static str>,
    /// How long compiling took.
    pub compiling: Option<Duration>,
    /// How long loading took once it was compiled.
    pub loading: Option<Duration>,
    /// How long it takes from compiled code to an instance that can be called.
    pub starting: Option<Duration>,
    /// Bytes of memory that an instance holds once it has started.
    pub memory: Option<usize>,
    /// What it says of itself.
    pub description: Option<Description>,
    /// The keys of its own configuration.
    pub options: Vec<OptionHelp>,
    /// The timing that it asks for.
    pub timing: TimingRequest,
    /// What it writes.
    pub documents: Vec<DocumentSpec>,
    /// What its `auth` looks at.
    pub reads: Option<Reads>,
}

/// A key of a plugin's own configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionHelp {
    /// As in `part-ms`.
    pub key: String,
    /// The value that holds when nothing is said.
    pub default: String,
    /// What it does, in one line.
    pub help: String,
}

/// A plugin that is ready to be called.
pub struct Workbench {
    generation: Generation,
    /// `None` after a call that cost its life.
    instance: Option<Instance>,
}

/// A request that is put to `auth`.
#[derive(Clone, Debug, Default)]
pub struct Knock {
    /// When it came.
    pub now: Option<Wall>,
    /// As in `/cam/live.m3u8`.
    pub path: String,
    /// The first path element, without its `~`.
    pub token: Option<String>,
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// Address without port.
    pub peer: String,
    /// Pairs, of which the plugin is given those that it declares.
    pub query: Vec<(String, String)>,
    /// The same.
    pub headers: Vec<(String, String)>,
    /// The same.
    pub cookies: Vec<(String, String)>,
    /// Fields of a form.
    pub form: Vec<(String, String)>,
}

/// An object that is to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// An init segment.
    Init,
    /// A whole segment.
    Segment,
    /// A part of one.
    Part,
}

/// What `auth` said. As text: what, for how long, the headers, the body.
#[derive(Debug)]
pub struct Decided(auth::Decision);

/// What `overlay` said. As text: until when, and one line for each thing in it.
#[derive(Debug)]
pub struct Drawn(overlay::Drawing);

impl Workbench {
    /// Takes a plugin to pieces and makes it ready, with what `spec` grants. What was found on the way comes back, however
    /// it ends. Code is compiled here, whatever a cache holds.
    pub fn open(spec: &PluginSpec, environment: &Environment) -> (Found, anyhow::Result<Self>) {
        let mut found = Found::default();
        let opened = Self::open_into(spec, environment, &mut found).map_err(flattened);
        (found, opened)
    }

    fn open_into(
        spec: &PluginSpec,
        environment: &Environment,
        found: &mut Found,
    ) -> anyhow::Result<Self> {
        let origin = lookup::find(&spec.file, &environment.plugin_dirs)?;
        found.origin = Some(origin.clone());
        let bytes = lookup::read(&origin)?;
        found.size = Some(bytes.len());
        found.core_module = wasmparser::Parser::is_core_wasm(&bytes);
        let component = component::component(bytes)?;
        let shape = Shape::of(&component)?;
        found.imports = shape.all_imports().to_vec();
        found.grants = shape.grants().collect();
        found.hooks = Hook::ALL
            .into_iter()
            .filter(|hook| shape.exports().any(|export| export == hook.name()))
            .collect();
        found.state = shape.exports().any(|export| export == "state");
        shape.check()?;

        let runtime = Arc::new(Runtime::new()?);
        let started = Instant::now();
        let (code, from) = cache::compile(&runtime.engine, &component, None)?;
        found.compiling = Some(started.elapsed());
        found.loading = warm(&runtime, &component)?;

        let template = Template::new(runtime.clone(), &code, spec.limits, spec.grants)?;
        let mut first = template.instantiate(flat(&spec.file).into(), Arc::default())?;
        found.options = first.describe()?.options.into_iter().map(option).collect();
        drop(first);

        let shared: Arc<Shared> = Arc::default();
        let generation =
            Generation::of_code(&runtime, spec, origin, &shape, (&code, from), shared)?;
        found.description = Some(generation.description.clone());
        found.timing = generation.facts.timing;
        found.documents = generation.facts.documents.clone();
        found.reads = generation.facts.reads.clone();
        let started = Instant::now();
        let instance = generation.start()?;
        found.starting = Some(started.elapsed());
        found.memory = Some(instance.memory());
        Ok(Self {
            generation,
            instance: Some(instance),
        })
    }

    /// Its hooks.
    pub fn hooks(&self) -> impl Iterator<Item = Hook> {
        Hook::ALL
            .into_iter()
            .filter(|hook| self.generation.has(*hook))
    }

    /// What it writes.
    pub fn documents(&self) -> &[DocumentSpec] {
        &self.generation.facts.documents
    }

    /// The instance that runs, and a new one where the last call cost the last one its life.
    fn call<R>(
        &mut self,
        call: impl FnOnce(&mut Instance) -> Result<R, Trapped>,
    ) -> anyhow::Result<R> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.generation.start()?,
        };
        let said = call(&mut instance)?;
        self.instance = Some(instance);
        Ok(said)
    }

    /// Has a document written.
    pub fn render(
        &mut self,
        document: &str,
        request: &Request,
        window: &Arc<Snapshot>,
    ) -> anyhow::Result<Answer> {
        let pairs = |pairs: &[(String, String)]| {
            let pair = |(key, value): &(String, String)| lifecycle::KeyValue {
                key: key.clone(),
                value: value.clone(),
            };
            pairs.iter().map(pair).collect()
        };
        let request = window::Request {
            document: document.into(),
            query: pairs(&request.query),
            headers: pairs(&request.headers),
            cookies: pairs(&request.cookies),
        };
        let (said, limits) = self.call(|instance| {
            let said = instance.render(request, window)?;
            Ok((said, instance.limits()))
        })?;
        answer::check(said, window, limits.output).map_err(|why| anyhow!(why))
    }

    /// Has an object named.
    pub fn name(&mut self, object: Object, number: u64, captured: Wall) -> anyhow::Result<String> {
        let object = naming::Object {
            kind: match object {
                Object::Init => naming::Kind::Init,
                Object::Segment => naming::Kind::Segment,
                Object::Part => naming::Kind::Part,
            },
            rendition: window::RENDITION.to_owned(),
            number,
            captured: captured.0,
        };
        self.call(|instance| instance.name(&object))
    }

    /// Has a request decided. The plugin sees of it what it declared.
    pub fn decide(&mut self, visit: &Knock) -> anyhow::Result<Decided> {
        let reads = self.generation.facts.reads.clone().unwrap_or_default();
        let declared = |pairs: &[(String, String)], names: &[String]| {
            let declared = pairs.iter().filter(|(key, _)| names.contains(key));
            flat_pairs(declared)
        };
        let said = |said: bool, text: &str| if said { text } else { "" }.to_owned();
        let headers: Vec<_> = visit
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
            .collect();
        let request = auth::Request {
            now: visit.now.unwrap_or(super::trial::CAPTURED).0,
            path: visit.path.clone(),
            token: visit.token.clone(),
            method: said(reads.method, &visit.method),
            peer: said(reads.peer, &visit.peer),
            query: declared(&visit.query, &reads.inputs.query),
            headers: declared(&headers, &reads.inputs.headers),
            cookies: declared(&visit.cookies, &reads.inputs.cookies),
            form: if reads.form {
                flat_pairs(&visit.form)
            } else {
                String::new()
            },
        };
        self.call(|instance| instance.decide(&request)).map(Decided)
    }

    /// Has a frame drawn on.
    pub fn draw(
        &mut self,
        time: MediaTime,
        captured: Wall,
        (width, height): (u32, u32),
    ) -> anyhow::Result<Drawn> {
        let frame = overlay::Frame {
            time: time.0,
            captured: captured.0,
            width,
            height,
        };
        self.call(|instance| instance.draw(frame)).map(Drawn)
    }
}

/// How long it takes to load compiled code, as at every start but the first: from a cache of this call's own.
fn warm(runtime: &Runtime, component: &[u8]) -> anyhow::Result<Option<Duration>> {
    let folder = Scratch::new().context("making a directory to try the cache in")?;
    let cache = Cache::open(&folder.0)?;
    cache::compile(&runtime.engine, component, Some(&cache))?;
    let started = Instant::now();
    let (_, from) = cache::compile(&runtime.engine, component, Some(&cache))?;
    Ok((from == cache::Origin::Cached).then(|| started.elapsed()))
}

/// A directory that is gone when this is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        let name = format!("picam-host-{:016x}", u64::from_le_bytes(random));
        let path = std::env::temp_dir().join(name);
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("{} can't be removed: {error}", self.0.display());
        }
    }
}

fn option(option: lifecycle::OptionHelp) -> OptionHelp {
    OptionHelp {
        key: flat(&option.key),
        default: flat(&option.default),
        help: flat(&option.help),
    }
}

/// Pairs as the contract's `auth` has them.
fn flat_pairs<'a>(pairs: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        if !text.is_empty() {
            text.push('\n');
        }
        push_escaped(&mut text, key);
        text.push('\t');
        push_escaped(&mut text, value);
    }
    text
}

fn push_escaped(text: &mut String, value: &str) {
    for c in value.chars() {
        if c == '%' || c.is_ascii_control() {
            write!(text, "%{:02X}", u32::from(c)).expect("a String takes everything");
        } else {
            text.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(file: &str) -> (Found, anyhow::Result<Workbench>) {
        let environment = Environment {
            plugin_dirs: vec![],
            cache_dir: None,
            state_dir: None,
        };
        Workbench::open(&PluginSpec::new(file), &environment)
    }

    #[test]
    fn a_plugin_is_taken_to_pieces() {
        let (found, workbench) = open("ll-hls.wasm");
        let mut workbench = workbench.unwrap();
        assert_eq!(found.hooks, [Hook::Playlist]);
        assert_eq!(found.description.unwrap().name, "ll-hls");
        assert!(found.options.iter().any(|option| option.key == "part-ms"));
        assert!(found.memory.unwrap() > 0 && found.size.unwrap() > 0);
        assert!(found.compiling.is_some() && found.loading.is_some());
        let window = Arc::new(super::super::trial::running());
        let answer = workbench.render("video.m3u8", &Request::default(), &window);
        assert!(matches!(answer.unwrap(), Answer::Document { .. }));
    }

    #[test]
    fn what_was_found_before_something_was_wrong_is_kept() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\0asm\x0d\0\x01\0").unwrap();
        let (found, opened) = open(file.path().to_str().unwrap());
        assert_eq!(found.size, Some(8));
        assert!(opened.err().unwrap().to_string().contains("no plugin"));
    }

    #[test]
    fn what_would_end_a_pair_is_escaped() {
        let pairs = [
            ("a".to_owned(), "1\n2%\t".to_owned()),
            ("b".to_owned(), "ü".to_owned()),
        ];
        assert_eq!(flat_pairs(&pairs), "a\t1%0A2%25%09\nb\tü");
    }
}
