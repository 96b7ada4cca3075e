use std::sync::Arc;

use hyper::{Method, StatusCode, body::Incoming, http::request::Parts};
use tokio::sync::watch;

use super::{
    PAGE, State, controls,
    guard::Guard,
    metrics,
    plugins::Plugin,
    process::Started,
    reply::{Problem, json, reply},
    status::Status,
    values,
};
use crate::{
    http::{self, Phase, Response, Traffic},
    plugin::{ReloadError, Reloaded},
};

/// Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the operator's listener leads to.
pub(super) struct Site {
    state: State,
    guard: Guard,
    started: Started,
    traffic: Arc<Traffic>,
}

/// A request, read.
pub(super) struct Asked {
    wanted: Result<Wanted, Problem>,
    head: bool,
    /// Of what is put; nothing else is read.
    body: Option<Incoming>,
}

enum Wanted {
    Page,
    Metrics,
    Status,
    Plugins,
    Plugin(String),
    Reload(String),
    Put(String),
    Delete(String),
    Controls,
    /// By name, as the query has them.
    Set(Vec<(String, String)>),
}

impl Wanted {
    fn of(request: &Parts) -> Result<Self, Problem> {
        let path = request.uri.path();
        if let Some(name) = path.strip_prefix("/api/v1/values/") {
            return match request.method {
                Method::PUT => Ok(Self::Put(name.to_owned())),
                Method::DELETE => Ok(Self::Delete(name.to_owned())),
                _ => Err(Problem::method("PUT, DELETE")),
            };
        }
        let found = match path {
            "/" => Self::Page,
            "/metrics" => Self::Metrics,
            "/api/v1/status" => Self::Status,
            "/api/v1/plugins" => Self::Plugins,
            "/api/v1/controls" if request.method == Method::PUT => {
                return Ok(Self::Set(controls::wishes(request.uri.query())?));
            }
            "/api/v1/controls" => Self::Controls,
            _ => path
                .strip_prefix("/api/v1/plugins/")
                .and_then(|name| match name.split_once('/') {
                    None => Some(Self::Plugin(name.to_owned())),
                    Some((name, "reload")) => Some(Self::Reload(name.to_owned())),
                    Some(_) => None,
                })
                .ok_or_else(no_such_address)?,
        };
        let method = &request.method;
        let reads = method == Method::GET || method == Method::HEAD;
        match (&found, reads, method == Method::POST) {
            (Self::Reload(_), _, true) => Ok(found),
            (Self::Reload(_), _, false) => Err(Problem::method("POST")),
            (_, true, _) => Ok(found),
            (Self::Controls, ..) => Err(Problem::method("GET, HEAD, PUT")),
            (_, false, _) => Err(Problem::method("GET, HEAD")),
        }
    }
}

fn no_such_address() -> Problem {
    Problem::not_found(
        "no such address; there are / (a page), /metrics, /api/v1/status, /api/v1/plugins, /api/v1/plugins/NAME, \
         /api/v1/controls, POST /api/v1/plugins/NAME/reload, PUT /api/v1/controls?NAME=VALUE, and PUT and DELETE \
         /api/v1/values/NAME",
    )
}

impl http::Site for Site {
    type Asked = Asked;

    /// What a request carries beyond its header says nothing here, but for a value that is put.
    fn read(&self, request: &Parts, body: Incoming, _: http::Peer) -> Asked {
        let wanted = self.guard.check(request).and_then(|()| Wanted::of(request));
        Asked {
            body: matches!(wanted, Ok(Wanted::Put(_))).then_some(body),
            wanted,
            head: request.method == Method::HEAD,
        }
    }

    async fn answer(&self, asked: Asked, phase: &mut watch::Receiver<Phase>) -> Response {
        let response = match (asked.wanted, asked.body) {
            (Ok(Wanted::Put(name)), Some(body)) => values::put(&self.state, &name, body).await,
            (Ok(wanted), _) => self.respond(wanted, phase).await,
            (Err(problem), _) => Err(problem),
        };
        let response = response.unwrap_or_else(Response::from);
        match asked.head {
            true => http::header_only(response),
            false => response,
        }
    }

    fn refuse(&self, _: Asked) -> Response {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many connections to the operator's listener at once",
        )
        .into()
    }

    fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }
}

impl Site {
    pub(super) fn new(state: State) -> Self {
        Self {
            guard: Guard::new(state.token.clone()),
            started: Started::now(),
            traffic: Arc::default(),
            state,
        }
    }

    async fn respond(
        &self,
        wanted: Wanted,
        phase: &mut watch::Receiver<Phase>,
    ) -> Result<Response, Problem> {
        Ok(match wanted {
            Wanted::Page => reply(StatusCode::OK, "text/html; charset=utf-8", PAGE),
            Wanted::Metrics => {
                let text = metrics::collect(&self.state, &self.started).text();
                let text = text.map_err(|error| {
                    Problem::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        format!(
                            "the metrics can't be written: {error}; this is a bug in picam-host"
                        ),
                    )
                })?;
                reply(StatusCode::OK, EXPOSITION, text)
            }
            Wanted::Status => json(&Status::of(&self.state, &self.started)),
            Wanted::Plugins => {
                let all = self.state.plugins.status();
                json(&all.into_iter().map(Plugin::from).collect::<Vec<_>>())
            }
            Wanted::Plugin(name) => json(&self.plugin(&name).ok_or_else(|| self.unknown(&name))?),
            Wanted::Reload(name) => self.reload(name, phase).await?,
            Wanted::Delete(name) => values::delete(&self.state, &name)?,
            Wanted::Put(_) => return Err(no_such_address()),
            Wanted::Controls => controls::answer(&self.state.source, Vec::new()).await?,
            Wanted::Set(wishes) => controls::answer(&self.state.source, wishes).await?,
        })
    }

    fn plugin(&self, name: &str) -> Option<Plugin> {
        let mut all = self.state.plugins.status().into_iter();
        all.find(|status| status.name == name).map(Plugin::from)
    }

    fn unknown(&self, name: &str) -> Problem {
        let all = self.state.plugins.status();
        Problem::not_found(
            ReloadError::unknown(name, || all.iter().map(|status| &*status.name)).to_string(),
        )
    }

    async fn reload(
        &self,
        name: String,
        phase: &mut watch::Receiver<Phase>,
    ) -> Result<Response, Problem> {
        let plugins = self.state.plugins.clone();
        // Not given up halfway when the one who asked for it hangs up: the log and the status tell how it ended.
        let task = tokio::spawn(async move { plugins.reload(&name).await });
        let outcome = tokio::select! {
            outcome = task => outcome,
            // An error means that the listener is gone, which is stopping too.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => {
                return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the host stops"));
            }
        };
        match outcome {
            Ok(Ok(reloaded)) => self.reloaded(&reloaded),
            Ok(Err(error @ ReloadError::Unknown { .. })) => {
                Err(Problem::not_found(error.to_string()))
            }
            Ok(Err(ReloadError::Refused { plugin, cause })) => {
                let all = self.state.plugins.status();
                let kept = all.iter().find(|status| status.name == plugin);
                let generation = kept.map(|status| status.generation);
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, cause)
                    .of_plugin(plugin, generation))
            }
            Err(panic) => Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the reload ended early, which is a bug in picam-host: {panic}"),
            )),
        }
    }

    /// What serves now.
    fn reloaded(&self, reloaded: &Reloaded) -> Result<Response, Problem> {
        #[derive(serde::Serialize)]
        struct Now {
            took_seconds: f64,
            #[serde(flatten)]
            plugin: Plugin,
        }
        let plugin = self.plugin(&reloaded.plugin);
        let plugin = plugin.ok_or_else(|| self.unknown(&reloaded.plugin))?;
        Ok(json(&Now {
            took_seconds: reloaded.took.as_secs_f64(),
            plugin,
        }))
    }
}
