//! Requests to a plugin, as a file lists them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::recording::Recording;
use crate::{
    live::Snapshot,
    plugin::{Answer, Grants, Hook, Knock, Object, Request, Workbench, trial},
    time::{MediaTime, Wall},
};

/// The file in a directory that lists its cases.
pub(super) const FILE: &str = "cases.toml";

/// `cases.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cases {
    /// The plugin's own configuration. What is said on the command line wins.
    #[serde(default)]
    pub(super) config: BTreeMap<String, String>,
    /// What of the host the plugin may call, as in a `[[plugin]]` table.
    #[serde(default, deserialize_with = "grants")]
    pub(super) grants: Grants,
    #[serde(default, rename = "case")]
    pub(super) cases: Vec<Case>,
}

fn grants<'de, D: Deserializer<'de>>(names: D) -> Result<Grants, D::Error> {
    let mut grants = Grants::default();
    for name in Vec::<String>::deserialize(names)? {
        grants.add(&name).map_err(D::Error::custom)?;
    }
    Ok(grants)
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(tag = "hook", rename_all = "lowercase")]
pub(super) enum Case {
    Playlist(Document),
    Naming(Name),
    Auth(Door),
    Overlay(Frame),
}

type Pairs = BTreeMap<String, String>;

/// A document of a window.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    name: String,
    document: String,
    /// `begun`, `running`, `ended`, or a file beside `cases.toml`.
    #[serde(default = "running")]
    window: String,
    #[serde(default)]
    query: Pairs,
    #[serde(default)]
    headers: Pairs,
    #[serde(default)]
    cookies: Pairs,
}

fn running() -> String {
    "running".to_owned()
}

/// A name for an object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Name {
    name: String,
    object: Kind,
    number: u64,
    /// Microseconds since 1970.
    #[serde(default = "captured")]
    captured: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Init,
    Segment,
    Part,
}

/// A request at the door.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Door {
    name: String,
    path: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    peer: String,
    token: Option<String>,
    /// Microseconds since 1970.
    now: Option<u64>,
    #[serde(default)]
    query: Pairs,
    #[serde(default)]
    headers: Pairs,
    #[serde(default)]
    cookies: Pairs,
    #[serde(default)]
    form: Pairs,
}

fn get() -> String {
    "GET".to_owned()
}

/// A frame to draw on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Frame {
    name: String,
    /// Microseconds of the presentation clock.
    #[serde(default)]
    time: u64,
    /// Microseconds since 1970.
    #[serde(default = "captured")]
    captured: u64,
    #[serde(default = "width")]
    width: u32,
    #[serde(default = "height")]
    height: u32,
}

fn captured() -> u64 {
    trial::CAPTURED.0
}

fn width() -> u32 {
    1_280
}

fn height() -> u32 {
    720
}

impl Cases {
    /// Reads the list of a directory.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading the cases in {}", path.display()))?;
        let cases: Self =
            toml::from_str(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        for (index, case) in cases.cases.iter().enumerate() {
            let name = case.name();
            let sane = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            if name.is_empty() || !name.bytes().all(sane) {
                bail!(
                    "{}: the case `{name}` needs a name of lower-case letters, digits and `-`: its answer lies in \
                     NAME.txt",
                    path.display()
                );
            }
            if cases.cases[..index]
                .iter()
                .any(|other| other.name() == name)
            {
                bail!("{}: two cases are called `{name}`", path.display());
            }
        }
        Ok(cases)
    }

    /// What a plugin is put when there is no list: everything typical.
    pub(super) fn usual(workbench: &Workbench) -> Self {
        let mut cases = Vec::new();
        for hook in workbench.hooks() {
            match hook {
                Hook::Playlist => {
                    for document in workbench.documents() {
                        for window in ["begun", "running", "ended"] {
                            cases.push(Case::Playlist(Document {
                                name: format!("{} of a stream that has {window}", document.path)
                                    .replace("has running", "is running"),
                                document: document.path.clone(),
                                window: window.to_owned(),
                                query: Pairs::new(),
                                headers: Pairs::new(),
                                cookies: Pairs::new(),
                            }));
                        }
                    }
                }
                Hook::Naming => {
                    for (object, kind) in [
                        ("init segment", Kind::Init),
                        ("segment", Kind::Segment),
                        ("part", Kind::Part),
                    ] {
                        cases.push(Case::Naming(Name {
                            name: format!("name of {object} 1000"),
                            object: kind,
                            number: 1_000,
                            captured: captured(),
                        }));
                    }
                }
                Hook::Auth => {
                    for peer in ["127.0.0.1", "203.0.113.9"] {
                        cases.push(Case::Auth(Door {
                            name: format!("/cam/live.m3u8 for {peer}"),
                            path: "/cam/live.m3u8".to_owned(),
                            method: get(),
                            peer: peer.to_owned(),
                            token: None,
                            now: None,
                            query: Pairs::new(),
                            headers: Pairs::new(),
                            cookies: Pairs::new(),
                            form: Pairs::new(),
                        }));
                    }
                }
                Hook::Overlay => cases.push(Case::Overlay(Frame {
                    name: "drawing on a frame of 1280x720".to_owned(),
                    time: 1_000_000,
                    captured: captured(),
                    width: width(),
                    height: height(),
                })),
            }
        }
        Self {
            cases,
            ..Self::default()
        }
    }
}

impl Case {
    /// Its name, and that of the file with the answer.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Playlist(case) => &case.name,
            Self::Naming(case) => &case.name,
            Self::Auth(case) => &case.name,
            Self::Overlay(case) => &case.name,
        }
    }

    fn hook(&self) -> Hook {
        match self {
            Self::Playlist(_) => Hook::Playlist,
            Self::Naming(_) => Hook::Naming,
            Self::Auth(_) => Hook::Auth,
            Self::Overlay(_) => Hook::Overlay,
        }
    }

    /// Puts it to the plugin. The answer as text, which ends with the end of a line. `directory` is where files with
    /// windows are.
    pub(super) fn answer(
        &self,
        workbench: &mut Workbench,
        directory: &Path,
    ) -> anyhow::Result<String> {
        let hook = self.hook();
        if !workbench.hooks().any(|known| known == hook) {
            bail!("the plugin has no hook `{}`", hook.name());
        }
        let mut text = match self {
            Self::Playlist(case) => {
                let window = Arc::new(window(&case.window, directory)?);
                let request = Request {
                    query: pairs(&case.query),
                    headers: pairs(&case.headers),
                    cookies: pairs(&case.cookies),
                };
                if !workbench
                    .documents()
                    .iter()
                    .any(|document| document.path == case.document)
                {
                    bail!("the plugin writes no document `{}`", case.document);
                }
                said(workbench.render(&case.document, &request, &window)?)
            }
            Self::Naming(case) => {
                let object = match case.object {
                    Kind::Init => Object::Init,
                    Kind::Segment => Object::Segment,
                    Kind::Part => Object::Part,
                };
                workbench.name(object, case.number, Wall(case.captured))?
            }
            Self::Auth(case) => {
                let visit = Knock {
                    now: case.now.map(Wall),
                    path: case.path.clone(),
                    token: case.token.clone(),
                    method: case.method.clone(),
                    peer: case.peer.clone(),
                    query: pairs(&case.query),
                    headers: pairs(&case.headers),
                    cookies: pairs(&case.cookies),
                    form: pairs(&case.form),
                };
                workbench.decide(&visit)?.to_string()
            }
            Self::Overlay(case) => workbench
                .draw(
                    MediaTime(case.time),
                    Wall(case.captured),
                    (case.width, case.height),
                )?
                .to_string(),
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

/// One of the made-up windows, or one from a file.
pub(super) fn window(name: &str, directory: &Path) -> anyhow::Result<Snapshot> {
    match name {
        "begun" => Ok(trial::begun()),
        "running" => Ok(trial::running()),
        "ended" => Ok(trial::ended()),
        file => Recording::read(&directory.join(file))?.snapshot(),
    }
}

fn pairs(pairs: &Pairs) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn said(answer: Answer) -> String {
    match answer {
        Answer::Document { body, max_age } => {
            format!("max-age {max_age}\n\n{}", String::from_utf8_lossy(&body))
        }
        Answer::Wait(position) => format!(
            "wait for segment {} part {}",
            position.sequence, position.parts
        ),
        Answer::Refuse { status, reason } => format!("refuse {status} {reason}"),
    }
}
