use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tiny_skia::{
    FillRule, FilterQuality, LineJoin, Paint, Path, PathBuilder, Pixmap, PixmapPaint, Rect, Stroke,
    Transform,
};

use super::{
    Anchor, Colour, Operation, POSITIONS, Png, Point, SIZES,
    glyphs::{self, Glyph},
    letters::{Fonts, Letters},
    raster::Ground,
    tile::{Inks, Tile},
};
use crate::picture::{Colors, Size};

/// Pixels of decoded images that are kept for the next drawing.
const PIXELS_KEPT: u64 = 2 * Png::PIXELS_MOST;
/// Height of a line, in pixels, up to which its letters are kept as pixels. Of larger ones there is room for few in a
/// picture, and they would need much room.
const KEPT_HIGHEST: f32 = 128.0;
/// Broken images that are remembered, and thus told once. One who draws that many is told off enough.
const BROKEN_MOST: usize = 100;

/// Draws operations. Lengths and places are those of `host/page/overlay.js`, so that what is burnt in looks like what the
/// page shows.
pub(super) struct Pencil {
    letters: Letters,
    /// What the images are decoded for.
    inks: Inks,
    /// Decoded, by name.
    images: HashMap<String, Arc<Pixmap>>,
    broken: HashSet<String>,
}

/// What an operation comes to, in pixels of the picture.
#[derive(Default)]
struct Shape(Vec<Layer>);

enum Layer {
    Fill(Path, Colour),
    Stroke(Path, Colour, Stroke),
    Letters(Vec<Glyph>, Colour),
    Image {
        pixels: Arc<Pixmap>,
        /// Where its corner lies.
        at: (f32, f32),
        scale: f32,
    },
}

/// A part of a picture with even edges.
#[derive(Clone, Copy)]
struct Area {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Pencil {
    pub fn new(fonts: &Fonts) -> Self {
        Self {
            letters: Letters::new(fonts),
            inks: Inks(Colors::BT709),
            images: HashMap::new(),
            broken: HashSet::new(),
        }
    }

    /// The tile of one operation, if anything of it lies in the picture.
    pub fn draw(&mut self, ground: Ground, operation: &Operation) -> Option<Tile> {
        let inks = self.inks(ground);
        let shape = self.shape(ground.size, operation);
        let area = Area::around(&shape, ground.size)?;
        tile(area, |canvas| shape.paint(canvas, area, inks))
    }

    /// A tile of the whole picture.
    pub fn draw_all(&mut self, ground: Ground, operations: &[Operation]) -> Option<Tile> {
        let (size, inks) = (ground.size, self.inks(ground));
        let area = Area {
            left: 0,
            top: 0,
            width: size.width(),
            height: size.height(),
        };
        tile(area, |canvas| {
            for operation in operations {
                self.shape(size, operation).paint(canvas, area, inks);
            }
        })
    }

    /// What to draw with on pictures of this kind.
    fn inks(&mut self, ground: Ground) -> Inks {
        let inks = Inks(ground.colors);
        if self.inks != inks {
            self.images.clear();
            self.inks = inks;
        }
        inks
    }

    /// Forgets the images that these operations don't have.
    pub fn forget_images(&mut self, operations: &[Operation]) {
        let needed = |name: &str| {
            let mut images = operations.iter().filter_map(|operation| match operation {
                Operation::Image { png, .. } => Some(png.name()),
                _ => None,
            });
            images.any(|image| image == name)
        };
        self.images.retain(|name, _| needed(name));
    }

    fn shape(&mut self, size: Size, operation: &Operation) -> Shape {
        let (width, height) = (size.width() as f32, size.height() as f32);
        let place = |Point(x, y): Point| {
            let within = |at: i32| at.clamp(*POSITIONS.start(), *POSITIONS.end()) as f32 / 1_000.0;
            (within(x) * width, within(y) * height)
        };
        let length =
            |length: u32| length.clamp(*SIZES.start(), *SIZES.end()) as f32 / 1_000.0 * height;
        match operation {
            Operation::Text {
                at,
                anchor,
                content,
                size,
                colour,
                background,
                outline,
                font,
            } => {
                let colours = (*colour, *background, *outline);
                let (at, line) = ((place(*at), *anchor), length(*size));
                self.text(width, at, line, colours, (content, font))
            }
            Operation::Rectangle {
                from,
                to,
                fill,
                stroke,
                width,
            } => rectangle(
                (place(*from), place(*to)),
                *fill,
                stroke.map(|colour| (colour, length(*width))),
            ),
            Operation::Line {
                from,
                to,
                colour,
                width,
            } => line((place(*from), place(*to)), *colour, length(*width)),
            Operation::Image {
                at,
                anchor,
                size,
                png,
            } => self.image(place(*at), *anchor, length(*size), png),
        }
    }

    /// A line of text in its box.
    fn text(
        &mut self,
        picture: f32,
        (at, anchor): ((f32, f32), Anchor),
        height: f32,
        (colour, background, outline): (Colour, Option<Colour>, Option<Colour>),
        (content, font): (&str, &str),
    ) -> Shape {
        let line = self.letters.set(content, font, height / 1.2);
        let margin = background.map_or(0.0, |_| height * 0.25);
        let width = line.width + 2.0 * margin;
        let (left, top) = corner(at, anchor, (width, height));
        let mut shape = Shape::default();
        if let Some(background) = background {
            let corners = ((left, top), (left + width, top + height));
            shape = rectangle(corners, Some(background), None);
        }
        let base = (left + margin, top + height * 0.78);
        let stroke = outline.map(|outline| {
            let stroke = Stroke {
                width: height * 0.12,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            (outline, stroke)
        });
        let seen = (0.0, picture);
        if height <= KEPT_HIGHEST {
            if let Some((outline, stroke)) = stroke {
                let around = self.letters.glyphs(&line, base, seen, Some(&stroke));
                shape.0.push(Layer::Letters(around, outline));
            }
            let letters = self.letters.glyphs(&line, base, seen, None);
            shape.0.push(Layer::Letters(letters, colour));
        } else if let Some(letters) = self.letters.outline(&line, base, seen) {
            if let Some((outline, stroke)) = stroke {
                let around = letters.clone();
                shape.0.push(Layer::Stroke(around, outline, stroke));
            }
            shape.0.push(Layer::Fill(letters, colour));
        }
        shape
    }

    fn image(&mut self, at: (f32, f32), anchor: Anchor, height: f32, png: &Png) -> Shape {
        let Some(pixels) = self.pixels(png) else {
            return Shape::default();
        };
        let scale = height / pixels.height() as f32;
        let at = corner(at, anchor, (pixels.width() as f32 * scale, height));
        Shape(vec![Layer::Image { pixels, at, scale }])
    }

    fn pixels(&mut self, png: &Png) -> Option<Arc<Pixmap>> {
        if let Some(pixels) = self.images.get(png.name()) {
            return Some(pixels.clone());
        }
        if self.broken.contains(png.name()) {
            return None;
        }
        match decode(png) {
            Ok(mut pixels) => {
                self.inks.convert(&mut pixels);
                let pixels = Arc::new(pixels);
                let count =
                    |pixels: &Pixmap| u64::from(pixels.width()) * u64::from(pixels.height());
                let kept: u64 = self.images.values().map(|pixels| count(pixels)).sum();
                if kept + count(&pixels) <= PIXELS_KEPT {
                    self.images.insert(png.name().to_owned(), pixels.clone());
                }
                Some(pixels)
            }
            Err(why) => {
                if self.broken.len() < BROKEN_MOST {
                    tracing::warn!(
                        "an image of {} bytes that a plugin wants drawn is left out, since {why}",
                        png.bytes().len()
                    );
                    self.broken.insert(png.name().to_owned());
                }
                None
            }
        }
    }
}

/// Decodes an image, of which only the beginning is known to be a PNG's.
fn decode(png: &Png) -> Result<Pixmap, String> {
    let (width, height) = Png::measure(png.bytes()).ok_or("it is no PNG")?;
    if u64::from(width) * u64::from(height) > Png::PIXELS_MOST {
        return Err(format!("{width}x{height} pixels are too many"));
    }
    Pixmap::decode_png(png.bytes()).map_err(|error| format!("it can't be decoded: {error}"))
}

/// Where the top left corner of a box lies whose `anchor` is at a point.
fn corner((x, y): (f32, f32), anchor: Anchor, (width, height): (f32, f32)) -> (f32, f32) {
    use Anchor::*;
    let left = match anchor {
        TopLeft | Left | BottomLeft => 0.0,
        Top | Centre | Bottom => 0.5,
        TopRight | Right | BottomRight => 1.0,
    };
    let top = match anchor {
        TopLeft | Top | TopRight => 0.0,
        Left | Centre | Right => 0.5,
        BottomLeft | Bottom | BottomRight => 1.0,
    };
    (x - left * width, y - top * height)
}

fn rectangle(
    ((x, y), (to_x, to_y)): ((f32, f32), (f32, f32)),
    fill: Option<Colour>,
    stroke: Option<(Colour, f32)>,
) -> Shape {
    let Some(edges) = Rect::from_ltrb(x.min(to_x), y.min(to_y), x.max(to_x), y.max(to_y)) else {
        return Shape::default();
    };
    let path = PathBuilder::from_rect(edges);
    let stroke = stroke.map(|(colour, width)| {
        let stroke = Stroke {
            width,
            ..Stroke::default()
        };
        Layer::Stroke(path.clone(), colour, stroke)
    });
    let fill = fill.map(|colour| Layer::Fill(path, colour));
    Shape(fill.into_iter().chain(stroke).collect())
}

fn line((from, to): ((f32, f32), (f32, f32)), colour: Colour, width: f32) -> Shape {
    let mut path = PathBuilder::new();
    path.move_to(from.0, from.1);
    path.line_to(to.0, to.1);
    let stroke = Stroke {
        width,
        ..Stroke::default()
    };
    let path = path.finish().into_iter();
    Shape(
        path.map(|path| Layer::Stroke(path, colour, stroke.clone()))
            .collect(),
    )
}

/// A tile of what is painted on an area.
fn tile(area: Area, paint: impl FnOnce(&mut Pixmap)) -> Option<Tile> {
    let mut pixels = Pixmap::new(area.width, area.height)?;
    paint(&mut pixels);
    let at = (area.left as usize, area.top as usize);
    Some(Tile::new(&pixels, at))
}

impl Area {
    /// What of a shape lies in a picture.
    fn around(shape: &Shape, size: Size) -> Option<Self> {
        let bounds = shape.0.iter().filter_map(Layer::bounds);
        let bounds = bounds.reduce(|a, b| {
            Rect::from_ltrb(
                a.left().min(b.left()),
                a.top().min(b.top()),
                a.right().max(b.right()),
                a.bottom().max(b.bottom()),
            )
            .unwrap_or(a)
        })?;
        // What is beyond a number's range becomes its end.
        let span = |from: f32, to: f32, side: u32| {
            let from = (from.floor().max(0.0) as u32).min(side) & !1;
            let to = (to.ceil().max(0.0) as u32).min(side).next_multiple_of(2);
            (to > from).then(|| (from, to - from))
        };
        let (left, width) = span(bounds.left(), bounds.right(), size.width())?;
        let (top, height) = span(bounds.top(), bounds.bottom(), size.height())?;
        Some(Self {
            left,
            top,
            width,
            height,
        })
    }
}

impl Shape {
    /// Paints it on an area of the picture.
    fn paint(&self, pixels: &mut Pixmap, area: Area, inks: Inks) {
        let moved = Transform::from_translate(-(area.left as f32), -(area.top as f32));
        let paint = |colour: Colour| {
            let (mut paint, ink) = (Paint::default(), inks.of(colour));
            paint.set_color_rgba8(ink.red(), ink.green(), ink.blue(), ink.alpha());
            paint
        };
        for layer in &self.0 {
            match layer {
                Layer::Fill(path, colour) => {
                    pixels.fill_path(path, &paint(*colour), FillRule::Winding, moved, None);
                }
                Layer::Stroke(path, colour, stroke) => {
                    pixels.stroke_path(path, &paint(*colour), stroke, moved, None);
                }
                Layer::Letters(letters, colour) => {
                    let corner = (area.left, area.top);
                    glyphs::paint(letters, inks.of(*colour), pixels, corner);
                }
                Layer::Image {
                    pixels: image,
                    at,
                    scale,
                } => {
                    let paint = PixmapPaint {
                        quality: FilterQuality::Bilinear,
                        ..PixmapPaint::default()
                    };
                    let placed = Transform::from_scale(*scale, *scale)
                        .post_translate(at.0, at.1)
                        .post_concat(moved);
                    pixels.draw_pixmap(0, 0, (**image).as_ref(), &paint, placed, None);
                }
            }
        }
    }
}

impl Layer {
    /// Everything that it can change.
    fn bounds(&self) -> Option<Rect> {
        match self {
            Self::Fill(path, _) => Some(path.bounds()),
            Self::Stroke(path, _, stroke) => {
                let (edges, reach) = (path.bounds(), stroke.width / 2.0);
                Rect::from_ltrb(
                    edges.left() - reach,
                    edges.top() - reach,
                    edges.right() + reach,
                    edges.bottom() + reach,
                )
            }
            Self::Letters(letters, _) => glyphs::bounds(letters),
            Self::Image { pixels, at, scale } => Rect::from_xywh(
                at.0,
                at.1,
                pixels.width() as f32 * scale,
                pixels.height() as f32 * scale,
            ),
        }
    }
}
