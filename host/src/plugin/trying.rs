//! What a plugin is called with before it is let at the stream: every hook that it exports, on inputs like those that it
//! will meet.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};

use super::{
    DocumentSpec, Reads, TimingRequest, answer, auth,
    bindings::exports::picam::plugin as contract,
    documents,
    hook::Hook,
    inputs,
    instance::{Instance, Template},
    naming,
    overlay::{self, Images},
    timing, trial, window,
};
use crate::{
    live::{self, Frame, Kind, Nameless},
    time::MediaTime,
};

/// What a plugin said of itself, hook by hook, when it was asked on trial.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What timing it wants, and what it writes, if it has the hook `playlist`.
    pub(super) timing: TimingRequest,
    pub(super) documents: Vec<DocumentSpec>,
    /// How `naming` calls segments, if that can be said in a template.
    pub(super) segment_template: Option<String>,
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
        facts.segment_template = naming(instance)?;
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

/// An object of each kind, and the template, which has to say the same.
fn naming(instance: &mut Instance) -> anyhow::Result<Option<String>> {
    const NUMBER: u64 = 1_000;
    let mut segment = String::new();
    for (kind, what) in [
        (Kind::Init, "an init segment"),
        (Kind::Part, "a part"),
        (Kind::Segment, "a segment"),
    ] {
        let object = Nameless {
            kind,
            number: NUMBER,
            captured: trial::CAPTURED,
        };
        segment = naming::name(instance, object)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("on trial, for {what}"))?;
    }
    let Some(said) = instance
        .segment_template(window::RENDITION)
        .context("on trial")?
    else {
        return Ok(None);
    };
    let template = live::check_template(&said)
        .map_err(|why| anyhow!("its `segment-template` can't be: {why}"))?;
    let name = template.replace("$Number$", &NUMBER.to_string());
    if name != segment {
        bail!(
            "its `segment-template` calls segment {NUMBER} `{name}`, and its `name` calls it `{segment}`; where a template \
             can't say the same, there should be none"
        );
    }
    Ok(Some(template))
}

/// A stranger who asks for the page, and one who comes with a token that is none.
fn auth(instance: &mut Instance) -> anyhow::Result<()> {
    for (token, who) in [
        (None, "a stranger"),
        (Some("trial"), "a stranger with a token"),
    ] {
        let request = contract::auth::Request {
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
        let trying = || format!("on trial, for {who}");
        let said = instance.decide(&request).with_context(trying)?;
        auth::check_decision(said, instance.limits().output)
            .map_err(|why| anyhow!(why))
            .with_context(trying)?;
    }
    Ok(())
}

/// A frame of a common size.
fn overlay(instance: &mut Instance) -> anyhow::Result<()> {
    let frame = Frame {
        time: MediaTime(1_000_000),
        captured: trial::CAPTURED,
        date: trial::CAPTURED,
        width: 1_280,
        height: 720,
    };
    overlay::draw(instance, frame, &Images::default())
        .map_err(anyhow::Error::from)
        .context("on trial, for a frame of 1280x720")?;
    Ok(())
}
