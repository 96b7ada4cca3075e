//! The `picam-host` command.

use std::process::ExitCode;

use clap::Parser as _;
use picam_host::{cli, config::Config, run};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let outcome = match arguments.command {
        Some(command) => command.run(),
        None => start(arguments.host).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("picam-host: {error:#}");
        ExitCode::FAILURE
    })
}

fn start(cli: cli::Cli) -> anyhow::Result<()> {
    let config = Config::load(cli)?;
    cli::start_logging(&config.log)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run::run(config))
}
