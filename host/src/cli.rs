//! The command line, and the log that goes with it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{
    config::{self, Listen, Size},
    kit, output,
    overlay::Mask,
    plugin::PluginSpec,
    source::SourceSpec,
    tls::TlsSpec,
};

/// Turns a camera into a live stream that any browser plays.
///
/// WebAssembly plugins decide what the stream does.
#[derive(Debug, Parser)]
#[command(name = "picam-host", version, max_term_width = 100, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// How the host is to run, unless something else is to be done.
    #[command(flatten)]
    pub host: Cli,

    /// What else is to be done.
    #[command(subcommand)]
    pub command: Option<kit::Command>,
}

#[derive(Clone, Debug, Parser)]
#[allow(
    missing_docs,
    reason = "clap would take the text for the program's own"
)]
pub struct Cli {
    /// Read this file first; what is said here wins over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Load this plugin, with its own configuration; `,,` stands for a comma. May be repeated
    ///
    /// FILE is a path, a file in a plugin directory, or a stock plugin inside this program. Unless a plugin is named
    /// that writes playlists, the stock ones load.
    #[arg(long, value_name = "FILE[,key=value...]")]
    pub plugin: Vec<PluginSpec>,

    /// Take pictures from: auto, /dev/videoN, pattern, file:PATH, exec:COMMAND, or - [default: auto]
    ///
    /// `auto` takes the first camera that works. `pattern` is a moving test picture. `exec:` runs a command that
    /// writes H.264, `-` reads H.264 from standard input, `file:` plays a file over and over.
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<SourceSpec>,

    /// Ask the camera for this many pixels [default: 1280x720]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = config::size)]
    pub size: Option<Size>,

    /// Ask the camera for this many pictures a second [default: 30]
    #[arg(long, value_name = "N", value_parser = config::fps)]
    pub fps: Option<u32>,

    /// Ask the encoder for this many bits a second, as in 800k or 2M [default: 2M]
    #[arg(long, value_name = "BITS", value_parser = config::bitrate)]
    pub bitrate: Option<u32>,

    /// Make this rectangle of every picture black, as in 0,700,250,1000. May be repeated
    ///
    /// Edges are thousandths of the picture's width and height. H.264 that a camera, a file or a command gives is
    /// decoded for it and encoded again. Masks of the configuration file stay.
    #[arg(long, value_name = "LEFT,TOP,RIGHT,BOTTOM", value_parser = config::mask)]
    pub mask: Vec<Mask>,

    /// Serve viewers here. May be repeated [default: 0.0.0.0:8080]
    ///
    /// Without a scheme, it speaks TLS if --tls is given, and leads those there who come without. http://IP:PORT stays
    /// without TLS.
    #[arg(long, value_name = "IP:PORT", value_parser = config::listen)]
    pub listen: Vec<Listen>,

    /// Speak TLS to viewers (https), with this certificate and key (PEM), or with one of our own
    ///
    /// Files are read anew when they change. KEY may be left out if CERT holds both. Without a value, or with
    /// `self-signed`, the host makes a certificate for this machine's names and addresses, and keeps it; browsers warn
    /// of it.
    #[arg(long, value_name = "CERT,KEY", value_parser = config::tls, num_args = 0..=1,
          default_missing_value = "self-signed")]
    pub tls: Option<TlsSpec>,

    /// Write the stream into this directory, too, as files for any web server [default: /dev/shm/picam-host]
    ///
    /// Whole segments, and the playlists that can do without waiting. What an earlier run left there is removed, and
    /// nothing else.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = output::DEFAULT_DIRECTORY)]
    pub output: Option<PathBuf>,

    /// Serve the operator here: a status page, metrics, reloads of plugins [default: 127.0.0.1:8081]
    ///
    /// Viewers find none of it where they watch. Beyond this machine, set `operator-token` in the configuration file, and
    /// use https://IP:PORT, which speaks TLS by the certificate of --tls.
    #[arg(long, value_name = "IP:PORT", value_parser = config::listen)]
    pub operator: Option<Listen>,
}

const AFTER_HELP: &str = "\
Examples:
  picam-host
  picam-host --source pattern --plugin ll-hls.wasm,part-ms=100
  picam-host --source 'exec:rpicam-vid -t 0 --inline --flush -o -'
  picam-host --tls --listen 0.0.0.0:8443
  picam-host doctor
  picam-host plugin new my-plugin

Everything here can also be said in a TOML file. RUST_LOG=picam_host=debug says more.";

/// Sends the log to standard error: what the configuration says, unless `RUST_LOG` says otherwise.
pub fn start_logging(configured: &str) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .with_context(|| format!("RUST_LOG is {directives:?}, which is no filter; write one as in picam_host=debug,warn"))?,
        _ => EnvFilter::new(configured),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn wrong(arguments: &[&str]) -> String {
        let arguments = [&["picam-host"], arguments].concat();
        Arguments::try_parse_from(arguments)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_source_may_look_like_anything() {
        for (source, read) in [
            ("-", SourceSpec::Stdin),
            ("file:a,b.h264", SourceSpec::File("a,b.h264".into())),
            (
                "exec:cat -u x | tee y",
                SourceSpec::Exec("cat -u x | tee y".into()),
            ),
        ] {
            let cli = Cli::try_parse_from(["picam-host", "--source", source]).unwrap();
            assert_eq!(cli.source, Some(read));
        }
    }

    #[test]
    fn a_wrong_value_is_told_with_its_option_and_what_would_be_accepted() {
        let error = wrong(&["--size", "720p"]);
        assert!(
            error.contains("'720p' for '--size") && error.contains("as in 1280x720"),
            "{error}"
        );
        let error = wrong(&["--listen", "8080"]);
        assert!(error.contains("as in 0.0.0.0:8080"), "{error}");
        let error = wrong(&["--plugin", "ll-hls.wasm,part-ms"]);
        assert!(error.contains("part-ms="), "{error}");
        let error = wrong(&["--source", "camera"]);
        assert!(error.contains("`exec:COMMAND`"), "{error}");
        let error = wrong(&["--bitrat", "1M"]);
        assert!(error.contains("--bitrate"), "{error}");
    }
}
