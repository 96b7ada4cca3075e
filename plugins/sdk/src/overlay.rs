//! The `overlay` hook: drawings on the picture.

use crate::Plugin;
pub use crate::bindings::overlay::exports::picam::plugin::overlay::{
    Anchor, Colour, Drawing, Frame, Image, Line, Operation, Point, Rectangle, Text,
};

/// Draws on the picture. Positions and sizes are thousandths of the picture's width and height, so that one plugin fits
/// any camera.
///
/// ```
/// use picam_plugin::{overlay::*, Config, Description, Plugin};
///
/// /// A red dot in the corner.
/// struct Recording;
///
/// impl Plugin for Recording {
///     fn describe() -> Description {
///         Description::new("recording", "1.0.0", "a red dot in the corner")
///     }
///
///     fn start(_config: &Config) -> Result<Self, String> {
///         Ok(Self)
///     }
/// }
///
/// impl Overlay for Recording {
///     fn draw(&mut self, _frame: &Frame) -> Drawing {
///         Drawing::new()
///             .with(Rectangle::new((930, 30), (970, 90)).fill(Colour::BLACK.alpha(128)))
///             .with(Text::new("●").at(950, 60).anchor(Anchor::Centre).size(50).colour(Colour::rgb(255, 0, 0)))
///             .for_good()
///     }
/// }
///
/// picam_plugin::export!(Recording: overlay);
///
/// let frame = Frame { time: 0, captured: 0, width: 1280, height: 720 };
/// assert_eq!(Recording.draw(&frame).operations.len(), 2);
/// ```
pub trait Overlay: Plugin {
    /// What to draw on this frame, and until when that holds. Called when the last drawing runs out.
    fn draw(&mut self, frame: &Frame) -> Drawing;
}

impl Drawing {
    /// Nothing, to be asked for anew with the next frame. [`until`](Self::until) or [`for_good`](Self::for_good) spare
    /// calls.
    #[allow(
        clippy::new_without_default,
        reason = "an empty drawing is nobody's default"
    )]
    pub fn new() -> Self {
        Self {
            operations: Vec::new(),
            until: 0,
        }
    }

    /// The same with something on top.
    #[must_use]
    pub fn with(mut self, operation: impl Into<Operation>) -> Self {
        self.operations.push(operation.into());
        self
    }

    /// The same, holding for frames before this presentation time.
    #[must_use]
    pub fn until(mut self, time: u64) -> Self {
        self.until = time;
        self
    }

    /// The same, holding for as long as the plugin runs.
    #[must_use]
    pub fn for_good(self) -> Self {
        self.until(u64::MAX)
    }
}

impl Colour {
    /// White.
    pub const WHITE: Self = Self::rgb(255, 255, 255);
    /// Black.
    pub const BLACK: Self = Self::rgb(0, 0, 0);

    /// An opaque colour.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self {
            red,
            green,
            blue,
            alpha: 255,
        }
    }

    /// The same, that opaque: 0 is invisible, 255 hides what is behind.
    #[must_use]
    pub const fn alpha(self, alpha: u8) -> Self {
        Self { alpha, ..self }
    }

    /// A colour as people write it: `#rgb`, `#rrggbb`, `#rrggbbaa`, or one of CSS's sixteen basic names.
    ///
    /// ```
    /// use picam_plugin::overlay::Colour;
    /// assert_eq!(Colour::parse("#ff800080"), Some(Colour::rgb(255, 128, 0).alpha(128)));
    /// assert_eq!(Colour::parse("#f00"), Colour::parse("red"));
    /// assert_eq!(Colour::parse("reddish"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        const NAMES: [(&str, u32); 16] = [
            ("black", 0x000000),
            ("silver", 0xc0c0c0),
            ("gray", 0x808080),
            ("white", 0xffffff),
            ("maroon", 0x800000),
            ("red", 0xff0000),
            ("purple", 0x800080),
            ("fuchsia", 0xff00ff),
            ("green", 0x008000),
            ("lime", 0x00ff00),
            ("olive", 0x808000),
            ("yellow", 0xffff00),
            ("navy", 0x000080),
            ("blue", 0x0000ff),
            ("teal", 0x008080),
            ("aqua", 0x00ffff),
        ];
        let Some(digits) = text.strip_prefix('#') else {
            let (_, value) = NAMES.iter().find(|(name, _)| text == *name)?;
            let [_, red, green, blue] = value.to_be_bytes();
            return Some(Self::rgb(red, green, blue));
        };
        let mut nibbles = [0; 8];
        if digits.len() > nibbles.len() {
            return None;
        }
        for (nibble, byte) in nibbles.iter_mut().zip(digits.bytes()) {
            *nibble = u8::try_from(char::from(byte).to_digit(16)?).ok()?;
        }
        let long = |at: usize| nibbles[at] << 4 | nibbles[at + 1];
        let short = |at: usize| nibbles[at] << 4 | nibbles[at];
        match digits.len() {
            3 => Some(Self::rgb(short(0), short(1), short(2))),
            6 => Some(Self::rgb(long(0), long(2), long(4))),
            8 => Some(Self::rgb(long(0), long(2), long(4)).alpha(long(6))),
            _ => None,
        }
    }
}

impl Anchor {
    /// All of them, by the names that the contract gives them.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("top-left", Self::TopLeft),
        ("top", Self::Top),
        ("top-right", Self::TopRight),
        ("left", Self::Left),
        ("centre", Self::Centre),
        ("right", Self::Right),
        ("bottom-left", Self::BottomLeft),
        ("bottom", Self::Bottom),
        ("bottom-right", Self::BottomRight),
    ];

    /// The point of the picture that is called so, `margin` thousandths of the picture's height away from its edges:
    /// where a thing anchored so sits in its corner. `frame` tells the proportions.
    ///
    /// ```
    /// use picam_plugin::overlay::{Anchor, Frame};
    /// let frame = Frame { time: 0, captured: 0, width: 1600, height: 800 };
    /// let corner = Anchor::BottomRight.corner(20, &frame);
    /// assert_eq!((corner.x, corner.y), (990, 980));
    /// ```
    pub fn corner(self, margin: u32, frame: &Frame) -> Point {
        let down = i32::try_from(margin.min(500)).unwrap_or(500);
        // The same number of pixels, in thousandths of the width.
        let across =
            u64::from(margin.min(500)) * u64::from(frame.height) / u64::from(frame.width.max(1));
        let across = i32::try_from(across.min(500)).unwrap_or(500);
        let x = match self {
            Self::TopLeft | Self::Left | Self::BottomLeft => across,
            Self::Top | Self::Centre | Self::Bottom => 500,
            Self::TopRight | Self::Right | Self::BottomRight => 1_000 - across,
        };
        let y = match self {
            Self::TopLeft | Self::Top | Self::TopRight => down,
            Self::Left | Self::Centre | Self::Right => 500,
            Self::BottomLeft | Self::Bottom | Self::BottomRight => 1_000 - down,
        };
        Point { x, y }
    }
}

impl Point {
    /// Thousandths of width and height, from the top left corner.
    pub const fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }
}

impl From<(i32, i32)> for Point {
    fn from((x, y): (i32, i32)) -> Self {
        Self::new(x, y)
    }
}

impl Text {
    /// A line of text: white, a twentieth of the picture high, in the top left corner.
    pub fn new(content: impl Into<String>) -> Self {
        Self {
            at: Point::new(0, 0),
            anchor: Anchor::TopLeft,
            content: content.into(),
            size: 50,
            colour: Colour::WHITE,
            background: None,
            outline: None,
            font: String::new(),
        }
    }

    /// The same, elsewhere.
    #[must_use]
    pub fn at(mut self, x: i32, y: i32) -> Self {
        self.at = Point::new(x, y);
        self
    }

    /// The same with another of its points at its position.
    #[must_use]
    pub fn anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    /// The same, so high: thousandths of the picture's height.
    #[must_use]
    pub fn size(mut self, size: u32) -> Self {
        self.size = size;
        self
    }

    /// The same in another colour.
    #[must_use]
    pub fn colour(mut self, colour: Colour) -> Self {
        self.colour = colour;
        self
    }

    /// The same on a box.
    #[must_use]
    pub fn background(mut self, colour: Colour) -> Self {
        self.background = Some(colour);
        self
    }

    /// The same with a line around its letters, which keeps it readable on anything.
    #[must_use]
    pub fn outline(mut self, colour: Colour) -> Self {
        self.outline = Some(colour);
        self
    }

    /// The same in another font, by its family.
    #[must_use]
    pub fn font(mut self, family: impl Into<String>) -> Self {
        self.font = family.into();
        self
    }
}

impl Rectangle {
    /// An invisible rectangle between two corners, to be filled or stroked.
    pub fn new(top_left: impl Into<Point>, bottom_right: impl Into<Point>) -> Self {
        Self {
            top_left: top_left.into(),
            bottom_right: bottom_right.into(),
            fill: None,
            stroke: None,
            stroke_width: 0,
        }
    }

    /// The same, filled.
    #[must_use]
    pub fn fill(mut self, colour: Colour) -> Self {
        self.fill = Some(colour);
        self
    }

    /// The same with an outline, so wide: thousandths of the picture's height.
    #[must_use]
    pub fn stroke(mut self, colour: Colour, width: u32) -> Self {
        self.stroke = Some(colour);
        self.stroke_width = width;
        self
    }
}

impl Line {
    /// A line, so wide: thousandths of the picture's height.
    pub fn new(start: impl Into<Point>, end: impl Into<Point>, colour: Colour, width: u32) -> Self {
        Self {
            start: start.into(),
            end: end.into(),
            colour,
            width,
        }
    }
}

impl Image {
    /// A PNG whose anchor lies at a position, so high: thousandths of the picture's height.
    pub fn new(png: Vec<u8>, at: impl Into<Point>, anchor: Anchor, size: u32) -> Self {
        Self {
            at: at.into(),
            anchor,
            size,
            png,
        }
    }
}

macro_rules! operations {
    ($($kind:ident)+) => {$(
        impl From<$kind> for Operation {
            fn from(operation: $kind) -> Self {
                Self::$kind(operation)
            }
        }
    )+};
}

operations!(Text Rectangle Line Image);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_digits_or_names_and_nothing_else() {
        for text in [
            "",
            "#",
            "#ff",
            "#ffff",
            "#fffff",
            "#ggg",
            "#ff00ff00f",
            "ff0000",
            "Red",
            "#é0",
            "#+f0",
        ] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
        assert_eq!(
            Colour::parse("#1A2b3C"),
            Some(Colour::rgb(0x1a, 0x2b, 0x3c))
        );
        assert_eq!(Colour::parse("silver"), Some(Colour::rgb(0xc0, 0xc0, 0xc0)));
    }

    #[test]
    fn corners_are_as_far_from_one_edge_as_from_the_other() {
        let frame = Frame {
            time: 0,
            captured: 0,
            width: 1_920,
            height: 1_080,
        };
        let corner = Anchor::TopLeft.corner(100, &frame);
        assert_eq!((corner.x, corner.y), (56, 100));
        assert_eq!(56 * 1_920 / 1_000, 107, "pixels, of 108");
        let corner = Anchor::Right.corner(100, &frame);
        assert_eq!((corner.x, corner.y), (944, 500));
        let none = Frame { width: 0, ..frame };
        assert_eq!(Anchor::TopLeft.corner(9_999, &none).x, 500);
    }
}
