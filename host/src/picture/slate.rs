use std::num::NonZeroU32;

use super::{Canvas, Color, Colors, EncodeError, Encoder, Font, Rate, Rect, Settings, Size, utc};
use crate::{h264::AccessUnit, time::Wall};

// Grey has no chroma that coding could spread into patches.
const BACKDROP: Color = Color::rgb(24, 24, 24);
const RULE: Color = Color::rgb(214, 69, 65);
const TITLE: Color = Color::rgb(245, 245, 245);
const DETAIL: Color = Color::rgb(180, 180, 180);

const LOST: &str = "Camera lost";

/// Pictures a second that the level is chosen for: about one a part.
const FPS: u32 = 5;

/// A still that says that the camera is lost and since when, encoded once, to be shown as often as need be.
#[derive(Debug)]
pub struct Slate {
    /// The still as two groups of pictures, alike apart from `idr_pic_id`, which must differ between IDR pictures that
    /// follow one another (H.264, 7.4.3).
    units: Vec<AccessUnit>,
}

impl Slate {
    /// A slate of `width` x `height` pixels, or as near to that as [can be encoded](Size::near), with an IDR picture in
    /// every `group` pictures: one a segment. `camera` is shortened to fit.
    pub fn new(
        width: u32,
        height: u32,
        group: NonZeroU32,
        camera: &str,
        lost_since: Wall,
    ) -> Result<Self, EncodeError> {
        let size = Size::near(width, height);
        let canvas = draw(size, camera, lost_since);
        let mut encoder = Encoder::open(Settings {
            size,
            colors: Colors::BT709,
            fps: FPS,
            rate: Rate::Still,
        })?;
        let units = (0..2 * group.get())
            .map(|n| encoder.encode(&canvas, n % group == 0))
            .collect::<Result<_, _>>()?;
        Ok(Self { units })
    }

    /// The picture to show as the `index`th in a row, which begins with an IDR picture. Clones share their memory.
    pub fn unit(&self, index: u64) -> AccessUnit {
        self.units[(index % self.units.len() as u64) as usize].clone()
    }
}

/// Three lines in the middle: what happened, to which camera, since when.
fn draw(size: Size, camera: &str, lost_since: Wall) -> Canvas {
    let (width, height) = (size.width() as i32, size.height() as i32);
    let mut canvas = Canvas::new(size, BACKDROP);
    let mut font = Font::hack();
    let margin = (width / 16).max(2) & !1;
    let room = (width - 2 * margin).max(1);

    let since = utc(lost_since).strftime("since %H:%M:%S UTC").to_string();
    let large = font.fit(LOST.len(), room * 4 / 5, (height as u32 / 7).max(1));
    // The smaller lines stay legible on a small picture, where they may be as wide as the title.
    let small = font.fit(since.len(), room, (large / 2).max(12));
    let (small_width, small_height) = font.cell(small);
    let camera = shorten(camera, (room / small_width).max(1) as usize);

    let large_height = font.cell(large).1;
    let gap = (large_height / 3).max(2) & !1;
    let rule = (large_height / 12).max(2) & !1;
    let mut y = ((height - large_height - rule - 3 * gap - 2 * small_height) / 2).max(0) & !1;
    let mut line = |canvas: &mut Canvas, y: i32, size: u32, color: Color, text: &str| {
        let (advance, _) = font.cell(size);
        let x = ((width - text.chars().count() as i32 * advance) / 2) & !1;
        font.draw(canvas, (x, y), size, color, text);
    };
    line(&mut canvas, y, large, TITLE, LOST);
    y += large_height + gap;
    let rule_width = (room / 4).max(2) & !1;
    let area = Rect {
        x: ((width - rule_width) / 2) & !1,
        y,
        width: rule_width,
        height: rule,
    };
    canvas.fill(area, RULE);
    y += rule + gap;
    line(&mut canvas, y, small, DETAIL, &camera);
    y += small_height + gap / 2;
    line(&mut canvas, y, small, DETAIL, &since);
    canvas
}

/// At most `letters` letters of `text`, an ellipsis in place of its middle: a command is known by its beginning, a path
/// by its end.
fn shorten(text: &str, letters: usize) -> String {
    let text: Vec<char> = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.len() <= letters {
        return text.into_iter().collect();
    }
    let kept = letters.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let ends = [&text[..head], &['…'], &text[text.len() - tail..]];
    ends.concat().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use h264_reader::nal::{
        Nal, RefNal, pps::PicParameterSet, slice::SliceHeader, sps::SeqParameterSet,
    };

    use super::*;
    use crate::picture::testing;

    const GROUP: NonZeroU32 = NonZeroU32::new(3).unwrap();
    const SINCE: Wall = Wall(1_772_719_402_000_000);

    #[test]
    fn a_slate_decodes_and_says_something_at_every_size() {
        for (width, height) in [
            (160, 120),
            (320, 180),
            (640, 480),
            (1280, 720),
            (1080, 1920),
            (641, 361),
        ] {
            let slate = Slate::new(width, height, GROUP, "/dev/video0", SINCE).unwrap();
            let mut decoder = openh264::decoder::Decoder::new().unwrap();
            for index in 0..12 {
                let unit = slate.unit(index);
                assert_eq!(unit.idr, index % 3 == 0);
                let decoded = testing::decode(&mut decoder, &unit);
                assert_eq!(
                    (decoded.width, decoded.height),
                    ((width & !1) as usize, (height & !1) as usize)
                );
                let bright = decoded.luma.iter().filter(|&&y| y > 150).count();
                let share = bright as f64 / decoded.luma.len() as f64;
                assert!(
                    (0.005..0.3).contains(&share),
                    "{width}x{height}: {share} of the picture is text"
                );
            }
        }
    }

    #[test]
    fn slates_that_follow_one_another_differ_in_idr_pic_id() {
        let slate = Slate::new(320, 180, GROUP, "camera", SINCE).unwrap();
        let ids: Vec<_> = (0..4).map(|n| idr_pic_id(&slate.unit(3 * n))).collect();
        assert_ne!(ids[0], ids[1]);
        assert_eq!(ids[..2], ids[2..]);
    }

    fn idr_pic_id(unit: &AccessUnit) -> u32 {
        let mut context = h264_reader::Context::new();
        let sets = &unit.parameter_sets;
        let sps = RefNal::new(&sets.sps[0], &[], true);
        context.put_seq_param_set(SeqParameterSet::from_bits(sps.rbsp_bits()).unwrap());
        let pps = RefNal::new(&sets.pps[0], &[], true);
        context.put_pic_param_set(PicParameterSet::from_bits(&context, pps.rbsp_bits()).unwrap());
        let slice = testing::nals(unit).next().unwrap();
        let slice = RefNal::new(slice, &[], true);
        let header = slice.header().unwrap();
        let (header, ..) =
            SliceHeader::from_bits(&context, &mut slice.rbsp_bits(), header, None).unwrap();
        header.idr_pic_id.unwrap()
    }

    #[test]
    fn a_slate_for_a_picture_too_large_for_the_encoder_is_smaller() {
        let slate = Slate::new(4_608, 2_592, GROUP, "camera", SINCE).unwrap();
        let sets = slate.unit(0).parameter_sets;
        assert_eq!((sets.width, sets.height), (3_840, 2_160));
    }

    #[test]
    fn a_long_name_loses_its_middle() {
        assert_eq!(shorten("/dev/video0", 11), "/dev/video0");
        assert_eq!(
            shorten("exec:rpicam-vid -t 0 --inline -o -", 12),
            "exec:r… -o -"
        );
        assert_eq!(shorten("a\nb", 3), "a b");
        assert_eq!(shorten("abc", 1), "…");
    }
}
