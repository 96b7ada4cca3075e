//! Text and a picture, drawn onto the picture, with values that the operator sets in them. Its page of documentation is
//! `README.md`.

mod template;

use base64ct::{Base64, Encoding as _};
use picam_plugin::{Choice, Config, Description, Number, Plugin, Words, overlay::*};
use template::{Template, check_name, value};

const TEXT: Words = Words::new(
    "text",
    "",
    "what is written, lines below each other; {NAME} stands for the value of that name",
);
const MISSING: Words = Words::new("missing", "–", "what stands for a value that is not set");
const IMAGE: Words = Words::new(
    "image",
    "",
    "a PNG in base64, or {NAME} for the value of that name; it is above the text",
);
const IMAGE_SIZE: Number = Number::whole(
    "image-size",
    100,
    (10, 1_000),
    "thousandths of the picture's height",
    "height of the image",
);
const POSITION: Choice<Anchor> = Choice::new(
    "position",
    "top-left",
    &Anchor::NAMES,
    "where in the picture, and which point of the text lies there",
);
const MARGIN: Number = Number::whole(
    "margin",
    20,
    (0, 500),
    "thousandths of the picture's height",
    "distance from the edges",
);
const SIZE: Number = Number::whole(
    "size",
    40,
    (10, 500),
    "thousandths of the picture's height",
    "height of a line",
);
const COLOUR: Words = Words::new(
    "colour",
    "white",
    "of the letters: #rrggbb, #rrggbbaa or a name",
);
const BACKGROUND: Words = Words::new("background", "#00000080", "of the box behind them, or none");
const OUTLINE: Words = Words::new("outline", "none", "of the line around each letter, or none");
const FONT: Words = Words::new("font", "", "family of the font; empty for the built-in one");

/// Lines of text.
const LINES_MOST: usize = 20;

/// The plugin.
#[derive(Debug)]
pub struct OverlayText {
    lines: Vec<Template>,
    missing: String,
    image: Option<Picture>,
    image_size: u32,
    margin: u32,
    /// All but the text and its place.
    style: Text,
}

/// Where a picture comes from.
#[derive(Debug)]
enum Picture {
    Fixed(Vec<u8>),
    Value(String),
}

impl Plugin for OverlayText {
    fn describe() -> Description {
        Description::new(
            "overlay-text",
            env!("CARGO_PKG_VERSION"),
            "writes text and values, and shows an image, on the picture",
        )
        .words(&TEXT)
        .words(&MISSING)
        .words(&IMAGE)
        .number(&IMAGE_SIZE)
        .choice(&POSITION)
        .number(&MARGIN)
        .number(&SIZE)
        .words(&COLOUR)
        .words(&BACKGROUND)
        .words(&OUTLINE)
        .words(&FONT)
    }

    fn start(config: &Config) -> Result<Self, String> {
        let text = config.words(&TEXT);
        let lines = text
            .lines()
            .map(Template::parse)
            .collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|why| TEXT.blame(text, &why))?;
        if lines.len() > LINES_MOST {
            return Err(TEXT.refuse(text, "20 lines at most"));
        }
        let mut style = Text::new("")
            .anchor(config.choice(&POSITION)?)
            .size(small(config.number(&SIZE)?))
            .font(config.words(&FONT));
        style.background = colour(config, &BACKGROUND)?;
        style.outline = colour(config, &OUTLINE)?;
        style.colour = colour(config, &COLOUR)?
            .ok_or_else(|| COLOUR.refuse("none", "a colour: letters without one can't be seen"))?;
        Ok(Self {
            lines,
            missing: config.words(&MISSING).to_owned(),
            image: Picture::read(config.words(&IMAGE))?,
            image_size: small(config.number(&IMAGE_SIZE)?),
            margin: small(config.number(&MARGIN)?),
            style,
        })
    }
}

impl Picture {
    fn read(written: &str) -> Result<Option<Self>, String> {
        if written.is_empty() {
            return Ok(None);
        }
        if let Some(name) = written.strip_prefix('{') {
            let name = name.strip_suffix('}').unwrap_or("");
            check_name(name).map_err(|why| IMAGE.blame(written, &why))?;
            return Ok(Some(Self::Value(name.to_owned())));
        }
        let folded: String = written.split_whitespace().collect();
        let png = Base64::decode_vec(&folded).ok().filter(|png| is_png(png));
        let png = png.ok_or_else(|| {
            // Not the text itself, which is long.
            IMAGE.refuse(
                "…",
                "a PNG in base64, as `base64 -w0 logo.png` writes it, or {NAME}",
            )
        })?;
        Ok(Some(Self::Fixed(png)))
    }

    /// The PNG, if there is one. What else is set for a value is not for the host, which would not draw the text either.
    fn png(&self) -> Option<Vec<u8>> {
        match self {
            Self::Fixed(png) => Some(png.clone()),
            Self::Value(name) => value(name).filter(|bytes| is_png(bytes)),
        }
    }
}

fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

/// A number whose range is far below 32 bits.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A colour, or `none`.
fn colour(config: &Config, option: &Words) -> Result<Option<Colour>, String> {
    let written = config.words(option);
    if written == "none" {
        return Ok(None);
    }
    let colour = Colour::parse(written).ok_or_else(|| {
        option.refuse(
            written,
            "#rrggbb, #rrggbbaa, or a name such as white, black, red, lime, blue, yellow, gray",
        )
    })?;
    Ok(Some(colour))
}

impl OverlayText {
    /// Whether what it draws may be another with the next frame.
    fn changes(&self) -> bool {
        let image = matches!(self.image, Some(Picture::Value(_)));
        image || self.lines.iter().any(Template::changes)
    }

    /// How much of a stack of things lies above its anchor, in thousandths of it.
    fn above(&self) -> u32 {
        match self.style.anchor {
            Anchor::TopLeft | Anchor::Top | Anchor::TopRight => 0,
            Anchor::Left | Anchor::Centre | Anchor::Right => 500,
            Anchor::BottomLeft | Anchor::Bottom | Anchor::BottomRight => 1_000,
        }
    }

    /// The anchor of each thing in the stack: at its upper edge.
    fn upper(&self) -> Anchor {
        match self.style.anchor {
            Anchor::TopLeft | Anchor::Left | Anchor::BottomLeft => Anchor::TopLeft,
            Anchor::Top | Anchor::Centre | Anchor::Bottom => Anchor::Top,
            Anchor::TopRight | Anchor::Right | Anchor::BottomRight => Anchor::TopRight,
        }
    }
}

impl Overlay for OverlayText {
    fn draw(&mut self, frame: &Frame) -> Drawing {
        let png = self.image.as_ref().and_then(Picture::png);
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| line.text(&self.missing))
            .collect();
        let image = png.as_ref().map_or(0, |_| self.image_size);
        let height = image + self.style.size * small(lines.len() as u64);
        let corner = self.style.anchor.corner(self.margin, frame);
        let top = |down: u32| {
            let above = (height * self.above() / 1_000).cast_signed();
            corner.y + down.cast_signed() - above
        };
        let mut drawing = Drawing::new();
        if let Some(png) = png {
            let at = Point::new(corner.x, top(0));
            drawing = drawing.with(Image::new(png, at, self.upper(), self.image_size));
        }
        for (n, content) in (0..).zip(lines) {
            // A box without a letter in it.
            if content.is_empty() {
                continue;
            }
            let mut text = self.style.clone().anchor(self.upper());
            text = text.at(corner.x, top(image + n * self.style.size));
            text.content = content;
            drawing = drawing.with(text);
        }
        match self.changes() {
            true => drawing,
            false => drawing.for_good(),
        }
    }
}

picam_plugin::export!(OverlayText: overlay);
