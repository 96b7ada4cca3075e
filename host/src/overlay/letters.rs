use std::{path::Path, sync::Arc};

use anyhow::{Context as _, ensure};
use cosmic_text::{
    Attrs, Buffer, CacheKey, CacheKeyFlags, Command, Family, FontSystem, LayoutGlyph, Metrics,
    Shaping, SubpixelBin, SwashCache, Wrap,
    fontdb::{Database, Source},
};
use tiny_skia::{Path as Outline, PathBuilder, Stroke};

use super::glyphs::{Glyph, Glyphs};

/// Family of the built-in font.
const BUILT_IN: &str = "Hack";
/// Letters whose outlines are remembered. Who draws every size of every letter starts anew now and then.
const REMEMBERED: usize = 2_000;

/// Font files, read once for everybody who draws.
#[derive(Clone, Debug)]
pub struct Fonts(Database);

impl Fonts {
    /// The built-in font and those of these files.
    ///
    /// # Errors
    /// If one of the files can't be read or holds no font.
    pub fn load<P: AsRef<Path>>(files: &[P]) -> anyhow::Result<Self> {
        let mut fonts = Self::default();
        for file in files {
            let file = file.as_ref();
            let bytes = std::fs::read(file)
                .with_context(|| format!("reading the font {}", file.display()))?;
            let loaded = fonts.0.load_font_source(Source::Binary(Arc::new(bytes)));
            ensure!(
                !loaded.is_empty(),
                "{} holds no font; `fonts` takes TrueType and OpenType files (.ttf, .otf, .ttc)",
                file.display()
            );
        }
        Ok(fonts)
    }
}

impl Default for Fonts {
    /// The built-in font.
    fn default() -> Self {
        let mut fonts = Database::new();
        let hack: &'static [u8] = epaint_default_fonts::HACK_REGULAR;
        fonts.load_font_source(Source::Binary(Arc::new(hack)));
        // Where the font has no such letter, or somebody asks for a kind instead of a family.
        fonts.set_monospace_family(BUILT_IN);
        fonts.set_sans_serif_family(BUILT_IN);
        fonts.set_serif_family(BUILT_IN);
        Self(fonts)
    }
}

/// Sets text: which letters, where, and what they look like.
pub(super) struct Letters {
    fonts: FontSystem,
    outlines: SwashCache,
    glyphs: Glyphs,
}

/// A line of text. Its beginning is at 0, its base line, too; y grows downwards.
pub(super) struct Line {
    /// How far it reaches.
    pub width: f32,
    /// Letters, each with its place.
    letters: Vec<(CacheKey, f32, f32)>,
}

impl Letters {
    pub fn new(fonts: &Fonts) -> Self {
        // The locale chooses among shapes that Chinese and Japanese have for one letter: English, not this machine's, so
        // that pictures look the same everywhere.
        let fonts = FontSystem::new_with_locale_and_db("en".to_owned(), fonts.0.clone());
        Self {
            fonts,
            outlines: SwashCache::new(),
            glyphs: Glyphs::default(),
        }
    }

    /// Sets a line in a font of so many pixels. Letters that no font has are left out.
    pub fn set(&mut self, content: &str, family: &str, size: f32) -> Line {
        let family = match family {
            "" => BUILT_IN,
            other => other,
        };
        let attributes = Attrs::new()
            .family(Family::Name(family))
            .cache_key_flags(CacheKeyFlags::DISABLE_HINTING);
        let mut buffer = Buffer::new_empty(Metrics::new(size, size));
        buffer.set_wrap(Wrap::None);
        buffer.set_size(None, None);
        buffer.set_text(content, &attributes, Shaping::Advanced, None);
        buffer.shape_until_scroll(&mut self.fonts, false);
        let mut line = Line {
            width: 0.0,
            letters: Vec::new(),
        };
        // What separates lines is a control character, and not in it; whatever else does puts the rest beside.
        for run in buffer.layout_runs() {
            run.glyphs.iter().for_each(|glyph| line.add(glyph));
        }
        line
    }

    /// The outlines of those of its letters that may be seen between `from` and `to`, the line moved to a place.
    pub fn outline(&mut self, line: &Line, at: (f32, f32), seen: (f32, f32)) -> Option<Outline> {
        let mut path = PathBuilder::new();
        for (key, x, y) in line.seen(at, seen) {
            outline(&mut self.outlines, &mut self.fonts, key, (x, y), &mut path);
        }
        path.finish()
    }

    /// The same as pixels, to a quarter of one, or those of a line around them.
    pub fn glyphs(
        &mut self,
        line: &Line,
        at: (f32, f32),
        seen: (f32, f32),
        stroke: Option<&Stroke>,
    ) -> Vec<Glyph> {
        let mut glyphs = Vec::with_capacity(line.letters.len());
        for (key, x, y) in line.seen(at, seen) {
            let ((x, x_bin), (y, y_bin)) = (SubpixelBin::new(x), SubpixelBin::new(y));
            let place = (
                CacheKey {
                    x_bin,
                    y_bin,
                    ..key
                },
                x,
                y,
            );
            glyphs.extend(self.glyphs.glyph(place, stroke, || {
                let mut path = PathBuilder::new();
                let within = (x_bin.as_float(), y_bin.as_float());
                outline(&mut self.outlines, &mut self.fonts, key, within, &mut path);
                path.finish()
            }));
        }
        glyphs
    }

    #[cfg(test)]
    pub fn kept(&self) -> &Glyphs {
        &self.glyphs
    }
}

/// Adds the outline of a letter at a place.
fn outline(
    known: &mut SwashCache,
    fonts: &mut FontSystem,
    key: CacheKey,
    at: (f32, f32),
    path: &mut PathBuilder,
) {
    if known.outline_command_cache.len() > REMEMBERED {
        known.outline_command_cache.clear();
    }
    let commands = known.get_outline_commands(fonts, key).into_iter().flatten();
    commands.for_each(|command| push(path, command, at));
}

impl Line {
    /// Its letters that may be seen between `from` and `to`, the line moved to a place.
    fn seen(
        &self,
        (x, y): (f32, f32),
        (from, to): (f32, f32),
    ) -> impl Iterator<Item = (CacheKey, f32, f32)> {
        let moved = move |&(key, left, down): &(CacheKey, f32, f32)| (key, x + left, y + down);
        self.letters.iter().map(moved).filter(move |(key, x, _)| {
            // No letter reaches further from its place than this.
            let reach = 3.0 * f32::from_bits(key.font_size_bits);
            x + reach >= from && x - reach <= to
        })
    }

    fn add(&mut self, glyph: &LayoutGlyph) {
        /// What a font shows for a letter that it doesn't have.
        const NOT_THERE: u16 = 0;
        if glyph.glyph_id == NOT_THERE {
            return;
        }
        // At the corner of a pixel: where it comes to lie isn't known yet.
        let (key, ..) = CacheKey::new(
            glyph.font_id,
            glyph.glyph_id,
            glyph.font_size,
            (0.0, 0.0),
            glyph.font_weight,
            glyph.cache_key_flags,
        );
        let x = self.width + glyph.font_size * glyph.x_offset;
        let y = glyph.y - glyph.font_size * glyph.y_offset;
        self.letters.push((key, x, y));
        self.width += glyph.w;
    }
}

/// Fonts count upwards, pictures downwards.
fn push(path: &mut PathBuilder, command: &Command, (x, y): (f32, f32)) {
    match command {
        Command::MoveTo(to) => path.move_to(x + to.x, y - to.y),
        Command::LineTo(to) => path.line_to(x + to.x, y - to.y),
        Command::QuadTo(by, to) => path.quad_to(x + by.x, y - by.y, x + to.x, y - to.y),
        Command::CurveTo(by, and, to) => {
            path.cubic_to(x + by.x, y - by.y, x + and.x, y - and.y, x + to.x, y - to.y)
        }
        Command::Close => path.close(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_the_built_in_font_have_one_width() {
        let mut letters = Letters::new(&Fonts::default());
        let width = |letters: &mut Letters, text: &str| letters.set(text, "", 20.0).width;
        let one = width(&mut letters, "0");
        assert!((10.0..14.0).contains(&one), "{one}");
        assert!((width(&mut letters, "12:59:59") - 8.0 * one).abs() < 0.01);
        assert_eq!(width(&mut letters, ""), 0.0);
        let lacking = width(&mut letters, "a\u{13000}b\u{10ffff}");
        assert!(
            (lacking - 2.0 * one).abs() < 0.01,
            "what no font has is left out: {lacking}"
        );
        let unknown = letters.set("0", "No Such Family", 20.0);
        assert!(unknown.width > 0.0, "another font takes its place");
    }

    #[test]
    fn a_file_that_is_no_font_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let error = Fonts::load(&[&path]).unwrap_err().to_string();
        assert!(
            error.contains(&*path.to_string_lossy()) && error.contains(".ttf"),
            "{error}"
        );
        drop(file);
        let error = Fonts::load(&[&path]).unwrap_err().to_string();
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
    }
}
