//! `doctor`: whether this machine, with this configuration, can do what it is asked for.
//!
//! What is told comes from trying: an address is bound, a camera opened, a plugin loaded, address space reserved. A host
//! that runs is not disturbed by it.

mod clock;
mod memory;
mod network;
mod pictures;
mod plugins;
mod security;

use std::{io, process::ExitCode, time::Duration};

use serde::Serialize;

use super::report::{self, Finding};
use crate::{cli::Cli, config::Config, source::Wanted};

/// What the host would be started with.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    host: Cli,

    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Examined<'a> {
    findings: &'a [Finding],
}

/// Looks, and tells.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let findings = examine(arguments.host)?;
    if arguments.json {
        report::json(&Examined {
            findings: &findings,
        })?;
    } else {
        report::write(&mut io::stdout().lock(), &findings)?;
    }
    Ok(report::exit_code(&findings))
}

fn examine(cli: Cli) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let file = cli.config.clone();
    let config = match Config::load(cli) {
        Ok(config) => {
            if let Some(file) = file {
                findings.push(Finding::ok(
                    "configuration",
                    format!("{} makes sense", file.display()),
                ));
            }
            config
        }
        Err(error) => {
            findings.push(
                Finding::wrong("configuration", error.to_string())
                    .mend("what follows is seen with the defaults"),
            );
            Config::default()
        }
    };
    let wanted = Wanted {
        width: config.stream.size.width,
        height: config.stream.size.height,
        fps: config.stream.fps,
        bitrate: config.stream.bitrate,
        key_interval: Duration::from_secs(1),
        controls: config.stream.controls.clone(),
    };
    findings.extend(pictures::look(&config.stream.source, &wanted)?);
    findings.extend(network::look(&config)?);
    findings.extend(security::look(&config));
    findings.extend(clock::look());
    findings.extend(memory::look(&config));
    findings.extend(plugins::look(&config));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{super::report::Level, *};

    #[test]
    fn a_configuration_that_cannot_be_read_is_told_and_the_rest_is_looked_at() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "listn = \"0.0.0.0:1\"\n").unwrap();
        let cli = Cli::parse_from(["picam-host", "--config", file.path().to_str().unwrap()]);
        let findings = examine(cli).unwrap();
        assert_eq!(findings[0].level, Level::Wrong);
        assert!(findings[0].text.contains("`listen`"), "{:?}", findings[0]);
        for subject in ["port", "clock", "memory", "plugins"] {
            assert!(
                findings.iter().any(|finding| finding.subject == subject),
                "{subject}"
            );
        }
    }
}
