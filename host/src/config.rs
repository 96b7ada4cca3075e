//! What the person who runs the stream wants: the command line over a TOML file over defaults.
//!
//! This room turns text into plain data and says, with the line, what is wrong with it. It knows nothing of what the
//! data is for: whether a camera can do a size, or a plugin knows a key, is found out by those who use it.
//!
//! The TOML has the command line's names: `[stream]` with `source`, `size`, `fps`, `bitrate`, with `masks`, `overlay` and
//! `fonts` for what is drawn on its pictures, and `controls` of the camera; `listen`, `operator`,
//! `operator-token`, `tls`, `output`, `log`, `plugin-dirs`, `cache-dir`, `state-dir`; and a `[[plugin]]` table for each
//! plugin. `examples/picam.toml` shows all of it.

pub(crate) mod fuzzing;
mod reader;
mod stream;
mod values;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use reader::ConfigError;
use reader::Section;
use stream::STREAM;
pub use stream::{Overlay, Stream};
pub use values::{Listen, Size};
pub(crate) use values::{bitrate, fps, listen, mask, size, tls};

use crate::{
    cli::Cli,
    operator::Token,
    plugin::{FailurePolicy, Limits, PluginSpec, Restarts, default_cache_dir, default_state_dir},
    tls::TlsSpec,
};

/// Everything that was asked for, with defaults where nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is streamed.
    pub stream: Stream,
    /// Where viewers watch. At least one; `0.0.0.0:8080` unless said otherwise.
    pub listen: Vec<Listen>,
    /// Where the operator finds status and metrics; `127.0.0.1:8081` unless said otherwise.
    pub operator: Listen,
    /// What requests of the operator must carry; nothing unless said otherwise.
    pub operator_token: Option<Token>,
    /// The certificate. With one, TLS is spoken wherever viewers watch, unless said otherwise.
    pub tls: Option<TlsSpec>,
    /// Where the stream is written to as files, if anywhere.
    pub output: Option<PathBuf>,
    /// What the log shows, as in `picam_host=debug,warn`, unless `RUST_LOG` says otherwise.
    pub log: String,
    /// Plugins, in order. Empty means the stock ones. Where the command line names plugins, they are these, each with
    /// all but `file` and `config` of the file's table for the same `file`, if there is one.
    pub plugins: Vec<PluginSpec>,
    /// Where a plugin named by file name alone is looked for, before the ones in the binary.
    pub plugin_dirs: Vec<PathBuf>,
    /// Where compiled plugins are kept.
    pub cache_dir: PathBuf,
    /// Where plugins' persistent stores are kept.
    pub state_dir: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream: Stream::default(),
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8080)).into()],
            operator: SocketAddr::from(([127, 0, 0, 1], 8081)).into(),
            operator_token: None,
            tls: None,
            output: None,
            log: "warn,picam_host=info".into(),
            plugins: Vec::new(),
            plugin_dirs: Vec::new(),
            cache_dir: default_cache_dir(),
            state_dir: default_state_dir(),
        }
    }
}

impl Config {
    /// What the command line asks for, on top of the file that it names.
    pub fn load(cli: Cli) -> Result<Self, ConfigError> {
        let mut config = match &cli.config {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError::file(path, error))?;
                Self::read(path, &text)?
            }
        };
        let stream = &mut config.stream;
        if let Some(source) = cli.source {
            stream.source = source;
        }
        stream.size = cli.size.unwrap_or(stream.size);
        stream.fps = cli.fps.unwrap_or(stream.fps);
        stream.bitrate = cli.bitrate.unwrap_or(stream.bitrate);
        // What a file hides stays hidden.
        stream.masks.extend(cli.mask);
        if !cli.listen.is_empty() {
            config.listen = cli.listen;
        }
        config.operator = cli.operator.unwrap_or(config.operator);
        config.tls = cli.tls.or(config.tls);
        config.output = cli.output.or(config.output);
        if !cli.plugin.is_empty() {
            let tables = std::mem::take(&mut config.plugins);
            config.plugins = cli
                .plugin
                .into_iter()
                .map(|plugin| over(plugin, &tables))
                .collect();
        }
        Ok(config)
    }

    /// Reads a file's text. Relative paths in it are seen from the file's directory.
    pub fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut root = Section::root(path, text)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let defaults = Self::default();

        let stream = match root.section("stream")? {
            None => defaults.stream,
            Some(section) => Stream::read(section, directory)?,
        };
        let mut plugins = Vec::new();
        for section in root.sections("plugin")? {
            plugins.push(plugin(section, directory)?);
        }
        let config = Self {
            stream,
            listen: root.values("listen", listen)?.unwrap_or(defaults.listen),
            operator: root.value("operator", listen)?.unwrap_or(defaults.operator),
            operator_token: root.value("operator-token", Token::new)?,
            tls: certificate(&mut root, directory)?,
            output: root
                .value("output", values::output)?
                .flatten()
                .map(|path| directory.join(path)),
            log: root.value("log", values::log)?.unwrap_or(defaults.log),
            plugins,
            plugin_dirs: root
                .values("plugin-dirs", values::text)?
                .unwrap_or_default()
                .iter()
                .map(|path| directory.join(path))
                .collect(),
            cache_dir: root
                .value("cache-dir", values::text)?
                .map_or(defaults.cache_dir, |path| directory.join(path)),
            state_dir: root
                .value("state-dir", values::text)?
                .map_or(defaults.state_dir, |path| directory.join(path)),
        };
        root.end(&[
            ("[stream]", &STREAM),
            ("[[plugin]]", &PLUGIN),
            (
                "tls, as in tls = { cert = \"cert.pem\", key = \"key.pem\" }",
                &TLS,
            ),
        ])?;
        Ok(config)
    }
}

/// Keys of `tls`, where it is a table, to tell somebody who wrote one of them outside of it.
const TLS: [&str; 2] = ["cert", "key"];

/// Reads `tls`: a word, or a table of two files.
fn certificate(root: &mut Section<'_>, directory: &Path) -> Result<Option<TlsSpec>, ConfigError> {
    if !root.is_table("tls") {
        return root.value("tls", values::self_signed);
    }
    let Some(mut section) = root.section("tls")? else {
        return Ok(None);
    };
    let cert = section.required("cert", values::path, "\"cert.pem\"")?;
    let key = section.value("key", values::path)?;
    section.end(&[])?;
    Ok(Some(TlsSpec::Files {
        key: directory.join(key.as_ref().unwrap_or(&cert)),
        cert: directory.join(cert),
    }))
}

/// Keys of `[[plugin]]`, to tell somebody who wrote one of them outside of it.
const PLUGIN: [&str; 13] = [
    "file",
    "grants",
    "kv",
    "memory",
    "call-time",
    "start-time",
    "output",
    "instances",
    "tables",
    "table-entries",
    "restart-budget",
    "restart-backoff",
    "bench-time",
];

/// Keys of `[plugin.failure-policy]`: the hooks.
#[cfg(test)]
const FAILURE_POLICY: [&str; 4] = ["playlist", "naming", "auth", "overlay"];

/// Reads a `[[plugin]]` table.
fn plugin(mut section: Section<'_>, directory: &Path) -> Result<PluginSpec, ConfigError> {
    let mut plugin = PluginSpec::new(section.required("file", values::text, "\"ll-hls.wasm\"")?);
    // What lies beside the configuration is meant, if it is there; else the name is looked up as on the command line.
    let beside = directory.join(&plugin.file);
    if let Some(path) = beside.to_str().filter(|_| beside.is_file()) {
        plugin.file = path.to_owned();
    }
    for name in section.values("grants", values::grant)?.unwrap_or_default() {
        plugin
            .grants
            .add(&name)
            .map_err(|error| section.error(error.to_string()))?;
    }
    plugin.storage = section.value("kv", values::storage)?.unwrap_or_default();
    let limits = &mut plugin.limits;
    *limits = Limits {
        memory: section
            .value("memory", values::bytes)?
            .unwrap_or(limits.memory),
        call: section
            .value("call-time", values::duration)?
            .unwrap_or(limits.call),
        start: section
            .value("start-time", values::duration)?
            .unwrap_or(limits.start),
        output: section
            .value("output", values::bytes)?
            .unwrap_or(limits.output),
        instances: section
            .value("instances", values::count)?
            .unwrap_or(limits.instances),
        tables: section
            .value("tables", values::count)?
            .unwrap_or(limits.tables),
        table_entries: section
            .value("table-entries", values::count)?
            .unwrap_or(limits.table_entries),
    };
    let restarts = &mut plugin.restarts;
    *restarts = Restarts {
        budget: section
            .value("restart-budget", values::budget)?
            .unwrap_or(restarts.budget),
        backoff: section
            .value("restart-backoff", values::duration)?
            .unwrap_or(restarts.backoff),
        bench: section
            .value("bench-time", values::duration)?
            .unwrap_or(restarts.bench),
    };
    if let Some(mut policy) = section.section("failure-policy")? {
        plugin.failure_policy = FailurePolicy {
            playlist: policy.value("playlist", values::playlist_failure)?,
            naming: policy.value("naming", values::naming_failure)?,
            overlay: policy.value("overlay", values::overlay_failure)?,
        };
        // There is nothing to choose. Who writes it down learns that, or is right.
        policy.value("auth", values::auth_failure)?;
        policy.end(&[])?;
    }
    if let Some(config) = section.section("config")? {
        plugin.config = config.pairs()?;
    }
    section.end(&[])?;
    Ok(plugin)
}

/// An argument of the command line, with what only a table can say taken from the table that names the same file. Keys
/// of the plugin's own that the argument doesn't set are taken from there, too.
fn over(mut argument: PluginSpec, tables: &[PluginSpec]) -> PluginSpec {
    let name = |file: &str| Path::new(file).file_name().map(ToOwned::to_owned);
    let table = tables
        .iter()
        .find(|table| table.file == argument.file)
        .or_else(|| {
            tables
                .iter()
                .find(|table| name(&table.file) == name(&argument.file))
        });
    if let Some(table) = table {
        argument.limits = table.limits;
        argument.grants = table.grants;
        argument.restarts = table.restarts;
        argument.failure_policy = table.failure_policy;
        argument.storage = table.storage;
        let unset = |key: &String| !argument.config.iter().any(|(set, _)| set == key);
        let inherited: Vec<_> = table
            .config
            .iter()
            .filter(|(key, _)| unset(key))
            .cloned()
            .collect();
        argument.config.extend(inherited);
    }
    argument
}

#[cfg(test)]
mod tests;
