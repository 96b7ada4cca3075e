use std::path::{Path, PathBuf};

use super::{
    ConfigError, Size,
    reader::Section,
    values::{self, bitrate, fps, size},
};
use crate::{overlay::Mask, source::SourceSpec};

/// The `[stream]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where pictures come from.
    pub source: SourceSpec,
    /// Pixels.
    pub size: Size,
    /// Pictures a second, 1 to 240.
    pub fps: u32,
    /// Bits a second.
    pub bitrate: u32,
    /// Controls of a camera by name, and what to set them to.
    pub controls: Vec<(String, String)>,
    /// What is black in every picture.
    pub masks: Vec<Mask>,
    /// Where drawings are seen on pictures that come encoded.
    pub overlay: Overlay,
    /// Font files for drawings, beside the built-in font.
    pub fonts: Vec<PathBuf>,
}

/// Where drawings are seen on pictures that come encoded. Into those that are encoded here they are burnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// On the page, over the video.
    #[default]
    Page,
    /// In the pictures, which are decoded and encoded again.
    Transcode,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            source: SourceSpec::Auto,
            size: Size {
                width: 1280,
                height: 720,
            },
            fps: 30,
            bitrate: 2_000_000,
            controls: Vec::new(),
            masks: Vec::new(),
            overlay: Overlay::default(),
            fonts: Vec::new(),
        }
    }
}

/// Keys of `[stream]`, to tell somebody who wrote one of them outside of it.
pub(super) const STREAM: [&str; 7] = [
    "source", "size", "fps", "bitrate", "masks", "overlay", "fonts",
];

impl Stream {
    /// Reads the table. Relative paths in it are seen from `directory`.
    pub(super) fn read(mut section: Section<'_>, directory: &Path) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let masks = section.sections("masks")?;
        let stream = Self {
            source: match section.value("source", values::source)? {
                Some(SourceSpec::File(path)) => SourceSpec::File(directory.join(path)),
                source => source.unwrap_or(defaults.source),
            },
            size: section.value("size", size)?.unwrap_or(defaults.size),
            fps: section.value("fps", fps)?.unwrap_or(defaults.fps),
            bitrate: section
                .value("bitrate", bitrate)?
                .unwrap_or(defaults.bitrate),
            controls: match section.section("controls")? {
                Some(controls) => controls.pairs()?,
                None => defaults.controls,
            },
            masks: masks.into_iter().map(mask).collect::<Result<_, _>>()?,
            overlay: section
                .value("overlay", values::overlay)?
                .unwrap_or(defaults.overlay),
            fonts: section
                .values("fonts", values::path)?
                .unwrap_or_default()
                .iter()
                .map(|path| directory.join(path))
                .collect(),
        };
        section.end(&[])?;
        Ok(stream)
    }
}

/// Reads one of `masks`.
fn mask(mut section: Section<'_>) -> Result<Mask, ConfigError> {
    let mut edge = |key, example| section.required(key, values::thousandths, example);
    let (left, top) = (edge("left", "0")?, edge("top", "700")?);
    let (right, bottom) = (edge("right", "250")?, edge("bottom", "1000")?);
    let mask = Mask::new(left, top, right, bottom);
    let mask = mask.map_err(|error| section.error(error.to_string()))?;
    section.end(&[])?;
    Ok(mask)
}
