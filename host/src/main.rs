//! The `picam-host` command.

use clap::Parser as _;
use picam_host::{cli, config::Config, run};

fn main() -> std::process::ExitCode {
    let cli = cli::Cli::parse();
    match start(cli) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("picam-host: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn start(cli: cli::Cli) -> anyhow::Result<()> {
    let config = Config::load(cli)?;
    cli::start_logging(&config.log)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run::run(config))
}
