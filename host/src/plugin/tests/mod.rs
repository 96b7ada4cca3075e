//! Plugins from file to answer, well-behaved and hostile.

mod calling;
mod drawing;
mod files;
mod hostile;
mod loading;
mod naming;
mod permission;
mod reloading;

use std::{sync::Arc, time::Duration};

use picam_guests::{Guest, Guests};

use super::{
    Answer, CallError, Environment, Hook, PluginSpec, PluginStatus, Plugins, RenderError, Request,
    trial,
};
use crate::live::{Presentation, Snapshot};

/// An environment that keeps nothing.
fn environment() -> Environment {
    Environment {
        plugin_dirs: Vec::new(),
        cache_dir: None,
        state_dir: None,
    }
}

fn load(specs: &[PluginSpec]) -> anyhow::Result<Plugins> {
    Plugins::load(specs, &environment())
}

/// Why these can't be loaded, as the user sees it.
fn refusal(specs: &[PluginSpec]) -> String {
    match load(specs) {
        Ok(_) => panic!("they load"),
        Err(error) => {
            let line = format!("{error:#}");
            assert!(!line.contains('\n'), "not one line: {line}");
            line
        }
    }
}

/// A window whose presentation isn't that of the trial.
fn live() -> Arc<Snapshot> {
    let mut snapshot = trial::running();
    snapshot.presentation = Arc::new(Presentation {
        id: "live-7".into(),
        timing: snapshot.presentation.timing,
        clock: snapshot.presentation.clock,
    });
    Arc::new(snapshot)
}

/// Has the first document written whose path is `path`.
async fn render(plugins: &Plugins, path: &str) -> Result<Answer, RenderError> {
    let documents = plugins.documents();
    let document = documents
        .iter()
        .find(|document| document.path == path)
        .expect("a document of that name");
    let (request, window) = (Request::default(), live());
    let call = plugins.render(document, &request, &window);
    // A guard against a hang, far above what any machine needs.
    tokio::time::timeout(Duration::from_secs(120), call)
        .await
        .expect("an answer in good time")
}

async fn failure(plugins: &Plugins, path: &str) -> String {
    let error = render(plugins, path).await.expect_err("a failure");
    assert!(
        matches!(error, RenderError::Call(CallError::Failed { .. })),
        "{error}"
    );
    error.to_string()
}

fn status(plugins: &Plugins) -> PluginStatus {
    plugins.status().remove(0)
}

fn text(answer: Result<Answer, RenderError>) -> String {
    match answer {
        Ok(Answer::Document { body, .. }) => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("no document: {other:?}"),
    }
}
