//! The kit: for those who write plugins (`plugin new`, `build`, `check`, `bench`, `test`), for those who wonder why
//! something doesn't work (`doctor`), or what their camera can do (`cameras`).
//!
//! One file (or folder) is one command. Each looks at the real thing through the face of the room that owns it, says
//! what it found on standard output, for people or with `--json` for programs, and ends with status 1 when something is
//! wrong. Nothing here runs while a stream is served.

mod bench;
mod bindings;
mod build;
mod cameras;
mod check;
mod doctor;
mod files;
mod new;
mod report;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

use crate::plugin::{Environment, Grants, PluginSpec};

/// What `picam-host` does besides streaming.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the cameras there are: formats, sizes, rates, and what they can be set to
    Cameras(cameras::Arguments),
    /// Tell what is wrong on this machine, and how to mend it: put `doctor` before the options the host is started with
    Doctor(doctor::Arguments),
    /// Write, build and try plugins
    #[command(subcommand)]
    Plugin(Plugin),
}

/// What can be done with a plugin.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Write a small working plugin into a new directory
    New(new::Arguments),
    /// Compile a plugin's sources to a component
    Build(build::Arguments),
    /// Say what a plugin is, what it needs, and what is wrong with it
    Check(check::Arguments),
    /// Put requests to a plugin, and compare its answers with files
    Test(test::Arguments),
    /// Measure how long a plugin takes to load and to answer
    Bench(bench::Arguments),
}

impl Command {
    /// Does it. The exit code is 1 when what was looked at is wrong, which has then been told.
    ///
    /// # Errors
    /// When it couldn't be done at all.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        crate::cli::start_logging("warn")?;
        let outcome = match self {
            Self::Cameras(arguments) => cameras::run(&arguments),
            Self::Doctor(arguments) => doctor::run(arguments),
            Self::Plugin(Plugin::New(arguments)) => new::run(&arguments),
            Self::Plugin(Plugin::Build(arguments)) => build::run(&arguments),
            Self::Plugin(Plugin::Check(arguments)) => check::run(&arguments),
            Self::Plugin(Plugin::Test(arguments)) => test::run(&arguments),
            Self::Plugin(Plugin::Bench(arguments)) => bench::run(&arguments),
        };
        match outcome {
            // Whoever reads us (`head`, for one) has read enough.
            Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            outcome => outcome,
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A plugin that is to be looked at, and where it is looked for.
#[derive(Debug, clap::Args)]
struct Subject {
    /// The plugin, with its own configuration, as behind `--plugin`; `,,` stands for a comma
    #[arg(value_name = "FILE[,key=value...]")]
    plugin: PluginSpec,

    /// Look for it in this directory, too, as `plugin-dirs` in the configuration does. May be repeated
    #[arg(long, value_name = "DIR")]
    plugin_dir: Vec<std::path::PathBuf>,
}

impl Subject {
    /// The plugin with all that it imports granted: what it needs is told, and it isn't among strangers here.
    fn trusted(&self) -> PluginSpec {
        let mut plugin = self.plugin.clone();
        plugin.grants = Grants::ALL;
        plugin
    }

    fn environment(&self) -> Environment {
        Environment {
            plugin_dirs: self.plugin_dir.clone(),
            cache_dir: None,
            state_dir: None,
        }
    }
}
