//! The kit: for those who write plugins (`plugin new`, `build`, `check`, `bench`, `test`), and for those who wonder why
//! something doesn't work (`doctor`).
//!
//! One file (or folder) is one command. Each looks at the real thing through the face of the room that owns it, says
//! what it found on standard output, for people or with `--json` for programs, and ends with status 1 when something is
//! wrong. Nothing here runs while a stream is served.

mod bindings;
mod build;
mod files;
mod new;

use std::process::ExitCode;

use clap::Subcommand;

/// What `picam-host` does besides streaming.
#[derive(Debug, Subcommand)]
pub enum Command {
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
}

impl Command {
    /// Does it. The exit code is 1 when what was looked at is wrong, which has then been told.
    ///
    /// # Errors
    /// When it couldn't be done at all.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        crate::cli::start_logging("warn")?;
        match self {
            Self::Plugin(Plugin::New(arguments)) => new::run(&arguments),
            Self::Plugin(Plugin::Build(arguments)) => build::run(&arguments),
        }
    }
}
