use std::{fmt, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::time::MediaTime;

/// Thousandths that a place may have. A thing may begin or end beside the picture, by up to the picture's own size.
pub const POSITIONS: RangeInclusive<i32> = -1_000..=2_000;
/// Thousandths that a length may have.
pub const SIZES: RangeInclusive<u32> = 1..=1_000;

/// What to draw, bottom first, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// In order.
    pub operations: Vec<Operation>,
    /// It holds for pictures before this time; one that isn't after the picture's own means: for this picture alone.
    pub until: MediaTime,
}

/// One thing to draw. Lengths are thousandths: of the picture's height, or of its width where they are horizontal.
///
/// Serialized as the page reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// One line of text.
    Text {
        /// Where `anchor` lies.
        at: Point,
        /// Which point of the line's box lies there.
        anchor: Anchor,
        /// Without control characters.
        content: String,
        /// Height of the line.
        size: u32,
        /// Of the letters.
        colour: Colour,
        /// Of the line's box.
        background: Option<Colour>,
        /// Around the letters.
        outline: Option<Colour>,
        /// Family; empty for whatever there is.
        font: String,
    },
    /// A rectangle.
    Rectangle {
        /// One corner.
        from: Point,
        /// The opposite one.
        to: Point,
        /// Inside.
        fill: Option<Colour>,
        /// Its edge.
        stroke: Option<Colour>,
        /// Width of the edge.
        width: u32,
    },
    /// A straight line.
    Line {
        /// One end.
        from: Point,
        /// The other.
        to: Point,
        /// Of the line.
        colour: Colour,
        /// Of the line.
        width: u32,
    },
    /// A picture.
    Image {
        /// Where `anchor` lies.
        at: Point,
        /// Which point of the picture lies there.
        anchor: Anchor,
        /// Height; the width follows.
        size: u32,
        /// The picture; its name is what is serialized.
        #[serde(serialize_with = "name")]
        png: Arc<Png>,
    },
}

/// Thousandths of the picture's width and height, from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point(pub i32, pub i32);

/// Which point of a thing lies at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Anchor {
    TopLeft,
    Top,
    TopRight,
    Left,
    Centre,
    Right,
    BottomLeft,
    Bottom,
    BottomRight,
}

/// Red, green, blue (sRGB) and alpha, not premultiplied. Serialized as CSS writes it: `#rrggbbaa`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 4]);

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A PNG, known by what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Png {
    name: String,
    bytes: Bytes,
}

impl Png {
    /// Pixels of an image at most: what is larger than the pictures that are drawn on is no use, and each takes four
    /// bytes, here and in browsers.
    pub const PIXELS_MOST: u64 = 1_920 * 1_080;

    /// Width and height of a PNG (its specification, 5.2 and 11.2.1): the signature, then IHDR.
    pub fn measure(bytes: &[u8]) -> Option<(u32, u32)> {
        let header = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
        let (width, rest) = header.split_first_chunk()?;
        let (height, rest) = rest.split_first_chunk()?;
        let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
        // What is left of IHDR with its checksum, and at least an end.
        (width > 0 && height > 0 && rest.len() >= 9 + 12).then_some((width, height))
    }

    /// The PNG of these bytes, which are taken to be one.
    pub fn new(bytes: Bytes) -> Self {
        let digest = Sha256::digest(&bytes);
        let name = digest[..16].iter().map(|byte| format!("{byte:02x}"));
        Self {
            name: name.chain([".png".to_owned()]).collect(),
            bytes,
        }
    }

    /// A file name, the same for the same bytes and no others.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl fmt::Debug for Png {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

fn name<S: Serializer>(png: &Arc<Png>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&png.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_reads_plain_names_colours_as_css_and_images_by_what_is_in_them() {
        let text = Operation::Text {
            at: Point(-5, 1000),
            anchor: Anchor::BottomRight,
            content: "\"<é".into(),
            size: 50,
            colour: Colour([255, 0, 1, 128]),
            background: None,
            outline: Some(Colour([0, 0, 0, 255])),
            font: String::new(),
        };
        assert_eq!(
            serde_json::to_string(&text).unwrap(),
            r##"{"text":{"at":[-5,1000],"anchor":"bottom-right","content":"\"<é","size":50,"colour":"#ff000180","background":null,"outline":"#000000ff","font":""}}"##
        );
        let (a, b) = (Png::new("a".into()), Png::new("b".into()));
        assert_ne!(a.name(), b.name());
        let image = Operation::Image {
            at: Point(0, 0),
            anchor: Anchor::TopLeft,
            size: 1,
            png: Arc::new(a),
        };
        assert_eq!(
            serde_json::to_string(&image).unwrap(),
            r#"{"image":{"at":[0,0],"anchor":"top-left","size":1,"png":"ca978112ca1bbdcafac231b39a23dc4d.png"}}"#
        );
    }
}
