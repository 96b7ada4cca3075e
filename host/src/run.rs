//! Puts the rooms together: one source, one window, the plugins, the doors.

mod drawing;

use std::{io::Write as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    cmaf::Wish,
    config::{Config, Listen},
    http::{self, Asking, Documents, Guard, Rendering},
    live::{Live, Snapshot},
    operator::{self, Operator, Reloading},
    output::{self, FileDocument, Output},
    page,
    plugin::{
        BadValue, DocumentSpec, Environment, FileWatch, Namer, PluginSpec, PluginStatus, Plugins,
        Reads, Request, TimingRequest, Visit,
    },
    service,
    source::Wanted,
    stream::{Health, Publisher, Settings},
    tls::Tls,
};

/// Plugins that load unless one is named that writes playlists.
pub(crate) const STOCK: [&str; 2] = ["ll-hls.wasm", "dash.wasm"];

/// Lengths that no plugin asked for: those of the post that began this, with parts.
const SEGMENT: Duration = Duration::from_secs(1);
const PART: Duration = Duration::from_millis(200);
const WINDOW: Duration = Duration::from_secs(30);

/// Bytes of media that the window may hold, listed and lately listed. A minute at 16 Mbit/s.
pub(crate) const WINDOW_BYTES: u64 = 128 << 20;

/// Serves one stream until the source ends or a signal says to stop.
///
/// # Errors
/// Whatever keeps the stream from starting, or from going on: one line that says what to do.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let specs = config.plugins.clone();
    let environment = environment(&config);
    // Compiling takes a while on a small board, and blocks.
    let plugins = tokio::task::spawn_blocking(move || {
        let stock = STOCK.map(PluginSpec::new);
        Plugins::load_with(&specs, &stock, &environment)
    })
    .await
    .context("loading the plugins")??;
    let plugins = Arc::new(plugins);
    let wish = wish(plugins.timing());

    let tls = match &config.tls {
        Some(spec) => Some(Tls::open(spec, &config.state_dir)?),
        None => None,
    };
    let (places, operator) = places(&config, tls.as_ref())?;
    let operator = Operator::bind(operator, config.operator_token.as_ref())?;

    let wanted = Wanted {
        width: config.stream.size.width,
        height: config.stream.size.height,
        fps: config.stream.fps,
        bitrate: config.stream.bitrate,
        key_interval: wish.segment,
        controls: config.stream.controls.clone(),
    };
    // Before viewers are let in: whether the page has to show drawings depends on it.
    let source = drawing::open(&config.stream, &wanted, &plugins).await?;
    tracing::info!("pictures come from {}", source.description);

    let live = Arc::new(Live::default());
    let board = drawing::show(&source, &plugins, &live);
    let (health, health_of_server) = watch::channel(http::Health::Starting);
    let viewers: Arc<http::Counts> = Arc::default();
    let server = http::Server::bind(
        places,
        http::State {
            live: live.clone(),
            documents: plugins.clone(),
            guard: plugins.clone(),
            overlay: board,
            page: http::Page::new(page::FILES),
            health: health_of_server,
            limits: http::Limits::default(),
            counts: viewers.clone(),
        },
    )?;

    let settings = Settings {
        wishes: wishes(&plugins),
        window_bytes: WINDOW_BYTES,
        naming: Some(Arc::new(Namer::new(plugins.clone()))),
    };
    let source_facts = operator::SourceFacts {
        name: source.name.clone(),
        description: source.description.clone(),
        damage: source.damage.clone(),
        controls: source.controls.clone(),
    };
    let (publisher, health_of_stream) = Publisher::new(source, live.clone(), settings);
    reload_on_hangup(plugins.clone())?;
    let _files = FileWatch::start(&plugins).unwrap_or_else(|error| {
        tracing::warn!("a plugin that changes has to be reloaded by hand: {error:#}");
        None
    });
    if let Some(tls) = &tls
        && let Err(error) = tls.follow()
    {
        tracing::warn!("a certificate that changes is used after a restart only: {error:#}");
    }
    let output = config.output.as_deref().map(Output::open).transpose()?;
    let written = output.as_ref().map(|output| output.counts().clone());
    if let Some(output) = output {
        if !plugins.reads().is_empty() {
            tracing::warn!(
                "who may watch is not asked where files are served: whatever serves {} has to see to that by itself",
                config.output.as_deref().unwrap_or(Path::new("")).display()
            );
        }
        tokio::spawn(output.run(live.clone(), plugins.clone()));
    }
    let operated = operator::State {
        output: written,
        plugins: plugins.clone(),
        live,
        health: health_of_stream.clone(),
        stream: publisher.counts().clone(),
        source: source_facts,
        viewers,
        token: config.operator_token,
    };
    tokio::spawn(report(health_of_stream, health));
    announce(&operator.url(), server.urls())?;
    service::ready();

    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(server.serve(until(stopped.clone())));
    let operator = tokio::spawn(operator.serve(operated, until(stopped)));
    // A task, not a part of this one: on the thread of the source's task it is woken by a swap of tasks, where this one
    // would have to be woken across threads for every picture.
    let publishing = tokio::spawn(publisher.run());
    let outcome = tokio::select! {
        outcome = publishing => {
            let outcome = outcome.context("publishing the stream").flatten();
            if outcome.is_ok() {
                linger(wish.window).await?;
            }
            outcome
        }
        told = told_to_stop() => told,
    };
    service::stopping();
    stop.send_replace(true);
    server.await.context("serving viewers")?;
    operator.await.context("serving the operator")?;
    let closed = tokio::task::spawn_blocking(move || plugins.close());
    closed.await.context("closing the plugins' stores")?;
    outcome
}

/// Where viewers watch, and where the operator is. What a service manager hands over takes the place of what is configured.
fn places(
    config: &Config,
    tls: Option<&Arc<Tls>>,
) -> anyhow::Result<(Vec<http::Place>, http::Place)> {
    let handed = service::sockets()?;
    let secure = |wanted: bool, what: &dyn Fn() -> String| match (wanted, tls) {
        (false, _) => Ok(None),
        (true, Some(tls)) => Ok(Some(tls.clone())),
        (true, None) => bail!(
            "{} needs a certificate: --tls CERT,KEY takes yours, --tls alone makes one for this machine",
            what()
        ),
    };
    let operator = match handed.operator {
        Some(socket) => http::Place {
            at: http::At::Socket(socket),
            tls: None,
        },
        None => {
            let Listen { address, tls } = config.operator;
            http::Place {
                at: http::At::Address(address),
                tls: secure(tls == Some(true), &|| {
                    format!("--operator https://{address}")
                })?,
            }
        }
    };
    // Unless said otherwise, viewers are spoken to as well as it goes.
    let wanted = |said: Option<bool>| said.unwrap_or(tls.is_some());
    let viewers: anyhow::Result<Vec<_>> = if handed.viewers.is_empty() {
        let listen = config.listen.iter().map(|&Listen { address, tls }| {
            Ok(http::Place {
                at: http::At::Address(address),
                tls: secure(wanted(tls), &|| format!("--listen https://{address}"))?,
            })
        });
        listen.collect()
    } else {
        let sockets = handed.viewers.into_iter().map(|(socket, tls)| {
            Ok(http::Place {
                at: http::At::Socket(socket),
                tls: secure(wanted(tls), &|| {
                    "the socket `https` of the service manager".to_owned()
                })?,
            })
        });
        sockets.collect()
    };
    Ok((viewers?, operator))
}

/// Where plugins are looked for.
pub(crate) fn environment(config: &Config) -> Environment {
    Environment {
        plugin_dirs: config.plugin_dirs.clone(),
        cache_dir: Some(config.cache_dir.clone()),
        state_dir: Some(config.state_dir.clone()),
    }
}

/// Loads all plugins anew whenever SIGHUP comes, as servers do with what they were configured with.
fn reload_on_hangup(plugins: Arc<Plugins>) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: all plugins are loaded anew");
            plugins.reload_all().await;
        }
    });
    Ok(())
}

/// Says where to operate and to watch, on standard output, for people and for programs that start us.
fn announce(operator: &str, viewers: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Operate at {operator}")?;
    for address in viewers {
        writeln!(out, "Watch at {address}")?;
    }
    out.flush().context("writing to standard output")
}

/// Lets players read to the end of a stream whose source came to its end.
async fn linger(window: Duration) -> anyhow::Result<()> {
    tracing::info!(
        "viewers have {} s to watch the end, then the host stops",
        window.as_secs()
    );
    tokio::select! {
        () = tokio::time::sleep(window) => Ok(()),
        told = told_to_stop() => told,
    }
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    Ok(())
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the one who stops us is gone, which is a reason to stop.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Tells the server how the stream is doing.
async fn report(mut stream: watch::Receiver<Health>, server: watch::Sender<http::Health>) {
    loop {
        let health = match &*stream.borrow_and_update() {
            Health::Waiting => http::Health::Starting,
            Health::Live => http::Health::Live,
            Health::Lost { reason, .. } => http::Health::CameraLost(reason.clone()),
            Health::Ended => http::Health::Ended,
        };
        server.send_replace(health);
        if stream.changed().await.is_err() {
            return;
        }
    }
}

/// What the plugins wish, now and after each reload.
fn wishes(plugins: &Plugins) -> watch::Receiver<Wish> {
    let mut timing = plugins.watch_timing();
    let (wishes, receiver) = watch::channel(wish(*timing.borrow_and_update()));
    tokio::spawn(async move {
        while timing.changed().await.is_ok() {
            wishes.send_replace(wish(*timing.borrow_and_update()));
        }
    });
    receiver
}

/// What the plugins wish, and defaults for what they leave open.
fn wish(timing: TimingRequest) -> Wish {
    Wish {
        segment: timing.segment.unwrap_or(SEGMENT),
        part: timing.part.unwrap_or(PART),
        window: timing.window.unwrap_or(WINDOW),
    }
}

impl operator::Plugins for Plugins {
    fn status(&self) -> Vec<PluginStatus> {
        Plugins::status(self)
    }

    fn reload<'a>(&'a self, name: &'a str) -> Reloading<'a> {
        Box::pin(Plugins::reload(self, name))
    }

    fn set_value(&self, name: &str, value: Option<&[u8]>) -> Result<(), BadValue> {
        Plugins::set_value(self, name, value)
    }
}

impl Documents for Plugins {
    fn documents(&self) -> Arc<[DocumentSpec]> {
        Plugins::documents(self)
    }

    fn render<'a>(
        &'a self,
        document: &'a DocumentSpec,
        request: &'a Request,
        window: Arc<Snapshot>,
    ) -> Rendering<'a> {
        Box::pin(async move { Plugins::render(self, document, request, &window).await })
    }
}

impl output::Documents for Plugins {
    fn documents(&self) -> Vec<FileDocument> {
        let documents = Plugins::documents_for_files(self).into_iter();
        documents
            .map(|(document, request)| FileDocument { document, request })
            .collect()
    }

    fn render<'a>(
        &'a self,
        document: &'a FileDocument,
        window: &'a Arc<Snapshot>,
    ) -> output::Rendering<'a> {
        Box::pin(Plugins::render(
            self,
            &document.document,
            &document.request,
            window,
        ))
    }
}

impl Guard for Plugins {
    fn reads(&self) -> Arc<[Reads]> {
        Plugins::reads(self)
    }

    fn ask<'a>(&'a self, reads: &'a Arc<[Reads]>, visit: &'a Visit) -> Asking<'a> {
        Box::pin(Plugins::ask(self, reads, visit))
    }
}
