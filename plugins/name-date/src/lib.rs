//! Names media after the date and time of its capture. Its page of documentation is `README.md`.

mod pattern;

use pattern::NamePattern;
use picam_plugin::{Config, Description, Plugin, Words, naming::*, strftime::Offset};

const PATTERN: Words = Words::new(
    "pattern",
    "%Y-%m-%d/%H-%M-%S_{number}",
    "what names look like: as in strftime, with {number}; `.m4s`, `.part.m4s` or `.init.mp4` follows",
);
const UTC_OFFSET: Words = Words::new(
    "utc-offset",
    "Z",
    "distance from UTC of the times in names: Z, or hours and minutes as in +02:00",
);

/// The plugin.
#[derive(Debug)]
pub struct NameDate {
    pattern: NamePattern,
    offset: Offset,
}

impl Plugin for NameDate {
    fn describe() -> Description {
        Description::new(
            "name-date",
            env!("CARGO_PKG_VERSION"),
            "names segments and parts after the time they were captured",
        )
        .words(&PATTERN)
        .words(&UTC_OFFSET)
    }

    fn start(config: &Config) -> Result<Self, String> {
        let offset = config.words(&UTC_OFFSET);
        let offset = Offset::parse(offset).ok_or_else(|| {
            UTC_OFFSET.refuse(
                offset,
                "Z or hours and minutes, as in +02:00 (zones with summer time are not known here)",
            )
        })?;
        let written = config.words(&PATTERN);
        Ok(Self {
            pattern: NamePattern::parse(written).map_err(|why| PATTERN.blame(written, &why))?,
            offset,
        })
    }
}

impl Naming for NameDate {
    fn name(&mut self, object: &Object) -> String {
        let mut name = self.pattern.name(object, self.offset);
        name.push_str(suffix(object.kind));
        name
    }

    fn segment_template(&self, rendition: &str) -> Option<String> {
        let mut template = self.pattern.template(rendition)?;
        template.push_str(suffix(Kind::Segment));
        Some(template)
    }
}

/// What keeps a segment and a part of the same number apart, and tells servers and people what is inside.
fn suffix(kind: Kind) -> &'static str {
    match kind {
        Kind::Init => ".init.mp4",
        Kind::Segment => ".m4s",
        Kind::Part => ".part.m4s",
    }
}

picam_plugin::export!(NameDate: naming);
