//! What the person who runs the stream wants: the command line over a TOML file over defaults.
//!
//! This room turns text into plain data and says, with the line, what is wrong with it. It knows nothing of what the
//! data is for: whether a camera can do a size, or a plugin knows a key, is found out by those who use it.
//!
//! The TOML has the command line's names: `[stream]` with `source`, `size`, `fps`, `bitrate`; `listen`, `operator`,
//! `plugin-dirs`, `cache-dir`; and a `[[plugin]]` table for each plugin. `examples/picam.toml` shows all of it.

mod reader;
mod values;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use reader::Section;
pub use reader::ConfigError;
pub use values::Size;
pub(crate) use values::{address, bitrate, fps, size};

use crate::cli::Cli;

/// Everything that was asked for, with defaults where nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is streamed.
    pub stream: Stream,
    /// Where viewers watch. At least one; `0.0.0.0:8080` unless said otherwise.
    pub listen: Vec<SocketAddr>,
    /// Where the operator finds status and metrics; `127.0.0.1:8081` unless said otherwise.
    pub operator: SocketAddr,
    /// Plugins, in order. Empty means the stock ones. Where the command line names plugins, they are these, each with
    /// the limits and grants of the file's table for the same `file`, if there is one.
    pub plugins: Vec<Plugin>,
    /// Where a plugin named by file name alone is looked for, before the ones in the binary.
    pub plugin_dirs: Vec<PathBuf>,
    /// Where compiled plugins are kept; `None` leaves it to the plugin room's default.
    pub cache_dir: Option<PathBuf>,
}

/// The `[stream]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// As written: `auto`, `/dev/video0`, `pattern`, `file:PATH`, `exec:COMMAND` or `-`.
    pub source: String,
    /// Pixels.
    pub size: Size,
    /// Pictures a second, 1 to 240.
    pub fps: u32,
    /// Bits a second.
    pub bitrate: u32,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            source: "auto".into(),
            size: Size {
                width: 1280,
                height: 720,
            },
            fps: 30,
            bitrate: 2_000_000,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream: Stream::default(),
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            operator: SocketAddr::from(([127, 0, 0, 1], 8081)),
            plugins: Vec::new(),
            plugin_dirs: Vec::new(),
            cache_dir: None,
        }
    }
}

/// A `[[plugin]]` table, or an argument of `--plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugin {
    /// Path of a component, or its file name in a plugin directory or among the stock plugins.
    pub file: String,
    /// The plugin's own configuration, in the order in which it was written.
    pub config: Vec<(String, String)>,
    /// What it may call, by name.
    pub grants: Vec<String>,
    /// What it may use.
    pub limits: Limits,
}

/// What a plugin may use; the plugin room has defaults for whatever isn't said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<usize>,
    /// Processor time of one call.
    pub call_time: Option<Duration>,
    /// Processor time of each step of starting.
    pub start_time: Option<Duration>,
    /// Bytes returned by one call.
    pub output: Option<usize>,
    /// Core module instances.
    pub instances: Option<usize>,
    /// Tables.
    pub tables: Option<usize>,
    /// Entries of all tables together.
    pub table_entries: Option<usize>,
}

/// Keys of `[stream]`, to tell somebody who wrote one of them outside of it.
const STREAM: [&str; 4] = ["source", "size", "fps", "bitrate"];

impl Config {
    /// What the command line asks for, on top of the file that it names.
    pub fn load(cli: Cli) -> Result<Self, ConfigError> {
        let mut config = match &cli.config {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| ConfigError::file(path, error))?;
                Self::read(path, &text)?
            }
        };
        let stream = &mut config.stream;
        stream.source = cli.source.unwrap_or_else(|| std::mem::take(&mut stream.source));
        stream.size = cli.size.unwrap_or(stream.size);
        stream.fps = cli.fps.unwrap_or(stream.fps);
        stream.bitrate = cli.bitrate.unwrap_or(stream.bitrate);
        if !cli.listen.is_empty() {
            config.listen = cli.listen;
        }
        config.operator = cli.operator.unwrap_or(config.operator);
        if !cli.plugin.is_empty() {
            let tables = std::mem::take(&mut config.plugins);
            config.plugins = cli.plugin.into_iter().map(|plugin| plugin.over(&tables)).collect();
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
            Some(mut section) => {
                let stream = Stream {
                    source: section.value("source", values::text)?.unwrap_or(defaults.stream.source),
                    size: section.value("size", size)?.unwrap_or(defaults.stream.size),
                    fps: section.value("fps", fps)?.unwrap_or(defaults.stream.fps),
                    bitrate: section.value("bitrate", bitrate)?.unwrap_or(defaults.stream.bitrate),
                };
                section.end(&[])?;
                stream
            }
        };
        let mut plugins = Vec::new();
        for section in root.sections("plugin")? {
            plugins.push(Plugin::read(section, directory)?);
        }
        let config = Self {
            stream,
            listen: root.values("listen", address)?.unwrap_or(defaults.listen),
            operator: root.value("operator", address)?.unwrap_or(defaults.operator),
            plugins,
            plugin_dirs: root
                .values("plugin-dirs", values::text)?
                .unwrap_or_default()
                .iter()
                .map(|path| directory.join(path))
                .collect(),
            cache_dir: root.value("cache-dir", values::text)?.map(|path| directory.join(path)),
        };
        root.end(&[("[stream]", &STREAM), ("[[plugin]]", &Plugin::KEYS)])?;
        Ok(config)
    }
}

impl Plugin {
    /// Keys of `[[plugin]]`, to tell somebody who wrote one of them outside of it or inside of its `config`.
    const KEYS: [&str; 9] = [
        "file",
        "grants",
        "memory",
        "call-time",
        "start-time",
        "output",
        "instances",
        "tables",
        "table-entries",
    ];

    fn read(mut section: Section<'_>, directory: &Path) -> Result<Self, ConfigError> {
        let file = section.required("file", values::text, "\"ll-hls.wasm\"")?;
        // What lies beside the configuration is meant, if it is there; else the name is looked up as on the command line.
        let beside = directory.join(&file);
        let plugin = Self {
            file: match beside.to_str() {
                Some(path) if beside.is_file() => path.to_owned(),
                _ => file,
            },
            grants: section.values("grants", values::text)?.unwrap_or_default(),
            limits: Limits {
                memory: section.value("memory", values::bytes)?,
                call_time: section.value("call-time", values::duration)?,
                start_time: section.value("start-time", values::duration)?,
                output: section.value("output", values::bytes)?,
                instances: section.value("instances", values::count)?,
                tables: section.value("tables", values::count)?,
                table_entries: section.value("table-entries", values::count)?,
            },
            config: match section.section("config")? {
                Some(config) => config.pairs()?,
                None => Vec::new(),
            },
        };
        section.end(&[])?;
        Ok(plugin)
    }

    /// Reads `FILE[,key=value…]`; two commas stand for one that separates nothing.
    pub(crate) fn argument(argument: &str) -> Result<Self, String> {
        let mut items = vec![String::new()];
        let mut rest = argument.chars().peekable();
        while let Some(character) = rest.next() {
            if character == ',' && rest.next_if_eq(&',').is_none() {
                items.push(String::new());
            } else if let Some(item) = items.last_mut() {
                item.push(character);
            }
        }
        let mut items = items.into_iter();
        let file = items.next().unwrap_or_default();
        if file.is_empty() {
            return Err("expected FILE or FILE,key=value, as in ll-hls.wasm,part-ms=100".into());
        }
        let pair = |item: String| match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!(
                "`{item}` is no key=value, as in part-ms=100; write `,,` for a comma that belongs to a value"
            )),
        };
        Ok(Self {
            file,
            config: items.map(pair).collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// This argument of the command line, with what only a table can say taken from the first table that names the same
    /// file and isn't taken yet. Keys of the plugin's own that the argument doesn't set are taken from there, too.
    fn over(mut self, tables: &[Plugin]) -> Self {
        let name = |file: &str| Path::new(file).file_name().map(ToOwned::to_owned);
        let table = tables
            .iter()
            .find(|table| table.file == self.file)
            .or_else(|| tables.iter().find(|table| name(&table.file) == name(&self.file)));
        if let Some(table) = table {
            self.limits = table.limits;
            self.grants.clone_from(&table.grants);
            let unset = |key: &String| !self.config.iter().any(|(set, _)| set == key);
            let inherited: Vec<_> = table.config.iter().filter(|(key, _)| unset(key)).cloned().collect();
            self.config.extend(inherited);
        }
        self
    }
}

#[cfg(test)]
mod tests;
