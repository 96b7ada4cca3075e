//! What a plugin is called with before it is let at the stream: every hook that it exports, on inputs like those that it
//! will meet.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::{
    DocumentSpec, Reads, TimingRequest, answer,
    bindings::exports::picam::plugin::{auth, naming, overlay},
    documents,
    hook::Hook,
    inputs,
    instance::{Instance, Template},
    timing, trial, window,
};

/// What a plugin said of itself, hook by hook, when it was asked on trial.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What timing it wants, and what it writes, if it has the hook `playlist`.
    pub(super) timing: TimingRequest,
    pub(super) documents: Vec<DocumentSpec>,
    /// What `auth` looks at.
    pub(super) reads: Option<Reads>,
}

/// Asks everything that is asked once, and makes one call of each hook on everything typical.
pub(super) fn try_out(instance: &mut Instance, template: &Template) -> anyhow::Result<Facts> {
    let mut facts = Facts::default();
    if template.has(Hook::Playlist) {
        facts.timing = timing::check(instance.wanted_timing()?).map_err(|why| anyhow!(why))?;
        facts.documents = documents::check(instance.documents()?).map_err(|why| anyhow!(why))?;
        playlist(instance, &facts.documents)?;
    }
    if template.has(Hook::Naming) {
        naming(instance)?;
    }
    if template.has(Hook::Auth) {
        let reads = inputs::check_auth(instance.reads()?).map_err(|why| anyhow!(why))?;
        auth(instance)?;
        facts.reads = Some(reads);
    }
    if template.has(Hook::Overlay) {
        overlay(instance)?;
    }
    Ok(facts)
}

/// Every document, of windows like those there will be.
fn playlist(instance: &mut Instance, documents: &[DocumentSpec]) -> anyhow::Result<()> {
    let output = instance.limits().output;
    for (kind, snapshot) in [
        ("has just begun", trial::begun()),
        ("is running", trial::running()),
        ("has ended", trial::ended()),
    ] {
        let snapshot = Arc::new(snapshot);
        for document in documents {
            let trying = || format!("on trial, for `{}` of a stream that {kind}", document.path);
            let request = window::Request {
                document: document.path.as_str().into(),
                query: Vec::new(),
                headers: Vec::new(),
                cookies: Vec::new(),
            };
            let said = instance.render(request, &snapshot).with_context(trying)?;
            answer::check(said, &snapshot, output)
                .map_err(|why| anyhow!(why))
                .with_context(trying)?;
        }
    }
    Ok(())
}

/// An object of each kind.
fn naming(instance: &mut Instance) -> anyhow::Result<()> {
    for (kind, what) in [
        (naming::Kind::Init, "an init segment"),
        (naming::Kind::Segment, "a segment"),
        (naming::Kind::Part, "a part"),
    ] {
        let object = naming::Object {
            kind,
            rendition: window::RENDITION.to_owned(),
            number: 1_000,
            captured: trial::CAPTURED.0,
        };
        instance
            .name(&object)
            .with_context(|| format!("on trial, for {what}"))?;
    }
    instance
        .segment_template(window::RENDITION)
        .context("on trial")?;
    Ok(())
}

/// A stranger who asks for the page, and one who comes with a token that is none.
fn auth(instance: &mut Instance) -> anyhow::Result<()> {
    for (token, who) in [
        (None, "a stranger"),
        (Some("trial"), "a stranger with a token"),
    ] {
        let request = auth::Request {
            now: trial::CAPTURED.0,
            path: "/cam/live.m3u8".to_owned(),
            token: token.map(str::to_owned),
            method: String::new(),
            peer: String::new(),
            query: String::new(),
            headers: String::new(),
            cookies: String::new(),
            form: String::new(),
        };
        instance
            .decide(&request)
            .with_context(|| format!("on trial, for {who}"))?;
    }
    Ok(())
}

/// A frame of a common size.
fn overlay(instance: &mut Instance) -> anyhow::Result<()> {
    let frame = overlay::Frame {
        time: 1_000_000,
        captured: trial::CAPTURED.0,
        width: 1_280,
        height: 720,
    };
    instance
        .draw(frame)
        .context("on trial, for a frame of 1280x720")?;
    Ok(())
}
