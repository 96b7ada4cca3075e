use bytes::Bytes;
use proptest::prelude::*;
use tiny_skia::Pixmap;

use super::*;
use crate::{
    overlay::{Anchor, Colour, Png, Point},
    picture::{Color, Colors, Samples},
};

const RED: Colour = Colour([255, 0, 0, 255]);
const WHITE: Colour = Colour([255, 255, 255, 255]);
const BLUE: Colour = Colour([0, 0, 255, 255]);

fn size(width: u32, height: u32) -> Size {
    Size::new(width, height).unwrap()
}

fn ground(width: u32, height: u32) -> Ground {
    Ground {
        size: size(width, height),
        colors: Colors::BT709,
    }
}

fn samples(red: u8, green: u8, blue: u8) -> Samples {
    Color::rgb(red, green, blue).samples(Colors::BT709)
}

fn raster() -> Raster {
    Raster::new(&Fonts::default())
}

fn block(from: Point, to: Point, colour: Colour) -> Operation {
    Operation::Rectangle {
        from,
        to,
        fill: Some(colour),
        stroke: None,
        width: 0,
    }
}

fn text(content: &str, at: Point, anchor: Anchor) -> Operation {
    Operation::Text {
        at,
        anchor,
        content: content.to_owned(),
        size: 100,
        colour: WHITE,
        background: None,
        outline: None,
        font: String::new(),
    }
}

fn image(png: Vec<u8>, at: Point, anchor: Anchor, size: u32) -> Operation {
    Operation::Image {
        at,
        anchor,
        size,
        png: Arc::new(Png::new(Bytes::from(png))),
    }
}

/// The luma of a black picture with this on it.
fn drawn(raster: &mut Raster, size: Size, operations: &[Operation]) -> Vec<Vec<u8>> {
    let mut canvas = Canvas::new(size, Color::BLACK);
    let colors = Colors::BT709;
    raster
        .draw(Ground { size, colors }, operations)
        .blend(&mut canvas);
    let rows = canvas.luma().chunks(size.width() as usize);
    rows.map(<[u8]>::to_vec).collect()
}

/// Edges of what is not black: left, top, right, bottom.
fn edges(rows: &[Vec<u8>]) -> Option<(usize, usize, usize, usize)> {
    let inked = |row: &[u8]| row.iter().any(|&luma| luma != 16);
    let top = rows.iter().position(|row| inked(row))?;
    let bottom = rows.iter().rposition(|row| inked(row))? + 1;
    let columns = (0..rows[0].len()).filter(|&x| rows.iter().any(|row| row[x] != 16));
    let (left, right) = (columns.clone().min()?, columns.max()? + 1);
    Some((left, top, right, bottom))
}

#[test]
fn a_rectangle_is_exactly_its_pixels() {
    let block = block(Point(100, 250), Point(500, 500), RED);
    for (width, height) in [(320, 180), (200, 400)] {
        let rows = drawn(
            &mut raster(),
            size(width, height),
            std::slice::from_ref(&block),
        );
        let red = samples(255, 0, 0).y;
        for (y, row) in rows.iter().enumerate() {
            for (x, &luma) in row.iter().enumerate() {
                let thousandths = |at: usize, side: u32| at * 1_000 / side as usize;
                let inside = (100..500).contains(&thousandths(x, width))
                    && (250..500).contains(&thousandths(y, height));
                assert_eq!(
                    luma,
                    if inside { red } else { 16 },
                    "{width}x{height}: ({x}, {y})"
                );
            }
        }
    }
}

#[test]
fn an_edge_is_drawn_half_inside_and_half_outside() {
    let frame = Operation::Rectangle {
        from: Point(500, 500),
        to: Point(200, 200),
        fill: None,
        stroke: Some(WHITE),
        width: 40,
    };
    let rows = drawn(&mut raster(), size(100, 100), &[frame]);
    assert_eq!(edges(&rows), Some((18, 18, 52, 52)));
    assert_eq!(
        (rows[35][21], rows[35][22], rows[48][48], rows[35][35]),
        (235, 16, 235, 16)
    );
}

#[test]
fn a_line_has_its_width_and_no_ends() {
    let line = Operation::Line {
        from: Point(100, 500),
        to: Point(900, 500),
        colour: WHITE,
        width: 100,
    };
    assert_eq!(
        edges(&drawn(&mut raster(), size(200, 100), &[line])),
        Some((20, 45, 180, 55))
    );
}

#[test]
fn text_lies_in_its_box_wherever_the_anchor_is() {
    let size = size(640, 360);
    // A line is 36 pixels high, a letter of the built-in font 0.602 of 30.
    let (width, height) = (5.0 * 0.602 * 30.0, 36.0);
    let cases = [
        (Anchor::TopLeft, Point(0, 0), 0.0, 0.0),
        (Anchor::Centre, Point(500, 500), 320.0 - width / 2.0, 162.0),
        (
            Anchor::BottomRight,
            Point(1_000, 1_000),
            640.0 - width,
            324.0,
        ),
    ];
    for (anchor, at, left, top) in cases {
        let rows = drawn(&mut raster(), size, &[text("H0jg|", at, anchor)]);
        let (ink_left, ink_top, ink_right, ink_bottom) = edges(&rows).unwrap();
        let (right, bottom) = (left + width, top + height);
        let within = ink_left as f32 >= left - 1.0
            && ink_top as f32 >= top - 1.0
            && ink_right as f32 <= right + 1.0
            && ink_bottom as f32 <= bottom + 1.0;
        assert!(
            within,
            "{anchor:?}: {ink_left} {ink_top} {ink_right} {ink_bottom}"
        );
        let fills = (ink_right - ink_left) as f32 > width * 0.8
            && (ink_bottom - ink_top) as f32 > height * 0.7;
        assert!(
            fills,
            "{anchor:?}: {ink_left} {ink_top} {ink_right} {ink_bottom}"
        );
        assert!(
            rows.iter().flatten().any(|&luma| luma == 235),
            "letters are solid"
        );
    }
}

#[test]
fn text_has_a_background_as_high_as_its_line_and_an_outline_around_its_letters() {
    let Operation::Text {
        at,
        anchor,
        content,
        size: line,
        font,
        ..
    } = text("I", Point(500, 500), Anchor::Centre)
    else {
        unreachable!()
    };
    let with = |background, outline| Operation::Text {
        at,
        anchor,
        content: content.clone(),
        size: line,
        colour: WHITE,
        background,
        outline,
        font: font.clone(),
    };
    let size = size(400, 200);
    let plain = edges(&drawn(&mut raster(), size, &[with(None, None)])).unwrap();
    let boxed = edges(&drawn(&mut raster(), size, &[with(Some(BLUE), None)])).unwrap();
    assert_eq!((boxed.1, boxed.3), (90, 110));
    assert!(boxed.0 < plain.0 && boxed.2 > plain.2);
    let lined = edges(&drawn(&mut raster(), size, &[with(None, Some(RED))])).unwrap();
    assert!(lined.0 < plain.0 && lined.1 < plain.1 && lined.2 > plain.2 && lined.3 > plain.3);
}

#[test]
fn an_image_is_scaled_to_its_height_and_its_clear_pixels_stay_clear() {
    let mut pixels = Pixmap::new(8, 4).unwrap();
    for (at, pixel) in pixels.pixels_mut().iter_mut().enumerate() {
        if at % 8 < 4 {
            *pixel = tiny_skia::ColorU8::from_rgba(255, 255, 255, 255).premultiply();
        }
    }
    let png = pixels.encode_png().unwrap();
    let rows = drawn(
        &mut raster(),
        size(200, 100),
        &[image(png, Point(500, 0), Anchor::Top, 400)],
    );
    // 80 pixels wide around the middle, the left half white, with a soft edge between.
    let (left, top, right, bottom) = edges(&rows).unwrap();
    assert_eq!((left, top, bottom), (60, 0, 40));
    assert!((98..=106).contains(&right), "{right}");
    assert_eq!((rows[20][70], rows[20][120]), (235, 16));
}

#[test]
fn a_broken_image_is_left_out_and_the_rest_drawn() {
    let mut broken = Pixmap::new(8, 8).unwrap().encode_png().unwrap();
    let middle = broken.len() / 2;
    broken[middle..].fill(0x55);
    let mut raster = raster();
    for _ in 0..3 {
        let broken = image(broken.clone(), Point(0, 0), Anchor::TopLeft, 1_000);
        let none = image(b"no PNG".to_vec(), Point(0, 0), Anchor::TopLeft, 1_000);
        let rows = drawn(
            &mut raster,
            size(100, 100),
            &[broken, none, block(Point(500, 500), Point(600, 600), WHITE)],
        );
        assert_eq!(edges(&rows), Some((50, 50, 60, 60)));
    }
}

#[test]
fn only_what_changed_is_drawn_anew() {
    let mut raster = raster();
    let label = text("label", Point(0, 0), Anchor::TopLeft);
    let block = |x| block(Point(x, 500), Point(x + 10, 510), RED);
    let picture = ground(320, 180);
    raster.draw(picture, &[label.clone(), block(0)]);
    assert_eq!(raster.drawn, 2);
    raster.draw(picture, &[label.clone(), block(0)]);
    assert_eq!(raster.drawn, 2);
    raster.draw(picture, &[block(1), label.clone()]);
    assert_eq!(raster.drawn, 3, "in whatever order");
    raster.draw(ground(640, 360), &[block(1), label]);
    assert_eq!(raster.drawn, 5, "for another size");
}

#[test]
fn many_large_operations_become_one_tile_that_looks_the_same() {
    let whole = (Point(0, 0), Point(1_000, 1_000));
    let half = Colour([255, 255, 255, 128]);
    let mut operations = vec![block(whole.0, whole.1, BLUE), block(whole.0, whole.1, half)];
    let mut raster = raster();
    let picture = size(64, 64);
    let plate = raster.draw(ground(64, 64), &operations);
    assert_eq!(plate.tiles.len(), 1);
    let mut canvas = Canvas::new(picture, Color::BLACK);
    plate.blend(&mut canvas);
    let mixed = samples(128, 128, 255).y;
    assert!(
        canvas.luma()[0].abs_diff(mixed) <= 1,
        "{} {mixed}",
        canvas.luma()[0]
    );
    // Another one on top of it, twice in a row.
    operations.push(block(Point(0, 0), Point(500, 500), RED));
    for _ in 0..2 {
        let rows = drawn(&mut raster, picture, &operations);
        assert_eq!(rows[0][0], samples(255, 0, 0).y);
    }
}

#[test]
fn a_plate_for_other_pictures_changes_nothing() {
    let plate = raster().draw(
        ground(64, 64),
        &[block(Point(0, 0), Point(1_000, 1_000), RED)],
    );
    let mut canvas = Canvas::new(size(32, 32), Color::BLACK);
    plate.blend(&mut canvas);
    assert!(canvas.luma().iter().all(|&luma| luma == 16));
    let mut canvas = Canvas::with_colors(size(64, 64), Color::BLACK, Colors::JPEG);
    plate.blend(&mut canvas);
    assert!(canvas.luma().iter().all(|&luma| luma == 0));
}

#[test]
fn a_drawing_has_the_colours_of_the_picture() {
    let ground = Ground {
        size: size(64, 64),
        colors: Colors::JPEG,
    };
    let plate = raster().draw(ground, &[block(Point(0, 0), Point(500, 500), RED)]);
    let mut canvas = Canvas::with_colors(ground.size, Color::BLACK, Colors::JPEG);
    plate.blend(&mut canvas);
    let red = Color::rgb(255, 0, 0).samples(Colors::JPEG);
    let planes = canvas.planes_mut();
    assert_eq!(
        (planes.luma[0], planes.cb[0], planes.cr[0]),
        (red.y, red.cb, red.cr)
    );
}

fn point() -> impl Strategy<Value = Point> {
    let at = || prop_oneof![Just(i32::MIN), Just(i32::MAX), -2_000..3_000, any::<i32>()];
    (at(), at()).prop_map(|(x, y)| Point(x, y))
}

fn length() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(u32::MAX), Just(1 << 31), 0u32..2_000]
}

fn colour() -> impl Strategy<Value = Colour> {
    any::<[u8; 4]>().prop_map(Colour)
}

fn anchor() -> impl Strategy<Value = Anchor> {
    prop::sample::select(vec![
        Anchor::TopLeft,
        Anchor::Top,
        Anchor::Right,
        Anchor::Centre,
        Anchor::Bottom,
        Anchor::BottomRight,
    ])
}

fn png() -> impl Strategy<Value = Vec<u8>> {
    let whole = (1u32..40, 1u32..40)
        .prop_map(|(width, height)| Pixmap::new(width, height).unwrap().encode_png().unwrap());
    // With another byte somewhere, or cut.
    let bent = (
        whole,
        any::<prop::sample::Index>(),
        any::<u8>(),
        any::<bool>(),
    );
    bent.prop_map(|(mut png, at, byte, cut)| {
        let at = at.index(png.len());
        png[at] = byte;
        if cut {
            png.truncate(at);
        }
        png
    })
}

fn absurd() -> impl Strategy<Value = Operation> {
    let text = (
        point(),
        anchor(),
        ".{0,40}",
        length(),
        colour(),
        prop::option::of(colour()),
    )
        .prop_map(
            |(at, anchor, content, size, colour, other)| Operation::Text {
                at,
                anchor,
                content,
                size,
                colour,
                background: other,
                outline: other,
                font: String::new(),
            },
        );
    let rectangle = (point(), point(), prop::option::of(colour()), length()).prop_map(
        |(from, to, colour, width)| Operation::Rectangle {
            from,
            to,
            fill: colour,
            stroke: colour,
            width,
        },
    );
    let line = (point(), point(), colour(), length()).prop_map(|(from, to, colour, width)| {
        Operation::Line {
            from,
            to,
            colour,
            width,
        }
    });
    let image = (point(), anchor(), length(), png())
        .prop_map(|(at, anchor, size, bytes)| self::image(bytes, at, anchor, size));
    prop_oneof![text, rectangle, line, image]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_asked_for_is_drawn_or_left_out(
        operations in prop::collection::vec(absurd(), 0..6), (width, height) in (8u32..100, 8u32..100),
    ) {
        let picture = size(2 * width, 2 * height);
        let mut canvas = Canvas::new(picture, Color::rgb(90, 10, 200));
        let plate = raster().draw(ground(2 * width, 2 * height), &operations);
        plate.blend(&mut canvas);
        let pixels: usize = plate.tiles.iter().map(|tile| tile.area()).sum();
        prop_assert!(pixels <= (picture.width() * picture.height()) as usize);
    }
}
