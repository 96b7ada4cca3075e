//! The best of what a camera offers.

use std::{cmp::Ordering, fmt};

use super::{
    coding::Coding,
    format::{Interval, Size, two_places},
};
use crate::source::Wanted;

/// What a camera can do in one of its formats that comes nearest to what is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mode {
    pub(super) coding: Coding,
    /// `None` if the camera lists no sizes: it may have the wanted one.
    pub(super) size: Option<Size>,
    /// `None` if the camera lists no rates: it may have the wanted one.
    pub(super) interval: Option<Interval>,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.coding.fmt(f)?;
        if let Some(Size { width, height }) = self.size {
            write!(f, " {width}x{height}")?;
        }
        if let Some(interval) = self.interval {
            write!(f, " at {}/s", two_places(interval.rate()))?;
        }
        Ok(())
    }
}

/// Less than this share of the rate that was asked for is too little. 29.97 is enough for 30.
const ENOUGH: f64 = 0.95;

/// The mode to take. H.264 from the camera if there is any, unless pictures must be `raw`: nothing costs less, and
/// nothing is lost. Else what has the size, or comes nearest to it; of those what has the rate, or comes nearest; of
/// those what costs least.
pub(super) fn choose(modes: &[Mode], wanted: &Wanted, raw: bool) -> Option<Mode> {
    let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let off = |mode: &Mode| {
        mode.size.map_or(0, |size| {
            area(size.width, size.height).abs_diff(area(wanted.width, wanted.height))
        })
    };
    let missing = |mode: &Mode| {
        let fps = f64::from(wanted.fps);
        let rate = mode.interval.map_or(fps, Interval::rate);
        if rate >= fps * ENOUGH {
            0.0
        } else {
            fps - rate
        }
    };
    let better = |a: &&Mode, b: &&Mode| -> Ordering {
        let coded = |mode: &Mode| mode.coding == Coding::H264;
        // True comes after false.
        coded(b)
            .cmp(&coded(a))
            .then(off(a).cmp(&off(b)))
            .then(missing(a).total_cmp(&missing(b)))
            .then(a.coding.rank().cmp(&b.coding.rank()))
    };
    modes
        .iter()
        .filter(|mode| !raw || mode.coding != Coding::H264)
        .min_by(better)
        .copied()
}

/// The choice, for the log: what is taken, why, and out of what.
pub(super) fn explain(modes: &[Mode], taken: Mode, wanted: &Wanted) -> String {
    let others: Vec<_> = modes
        .iter()
        .filter(|&&mode| mode != taken)
        .map(Mode::to_string)
        .collect();
    let why = match taken.coding {
        Coding::H264 => "which the camera encodes itself".to_owned(),
        Coding::Raw(_) => format!(
            "the best for {}x{} at {}/s",
            wanted.width, wanted.height, wanted.fps
        ),
    };
    match others.as_slice() {
        [] => format!("takes {taken}, all that there is"),
        others => format!("takes {taken}, {why}; not {}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::format::{Intervals, Sizes, nearest_interval, nearest_size},
        *,
    };
    use crate::studio::Pixels;

    const H264: Coding = Coding::H264;
    const YUYV: Coding = Coding::Raw(Pixels::Yuyv);
    const NV12: Coding = Coding::Raw(Pixels::Nv12);
    const GREY: Coding = Coding::Raw(Pixels::Grey);
    const MJPG: Coding = Coding::Raw(Pixels::Mjpg);

    /// A format, with its sizes and how many pictures a second there are at each.
    type Row = (Coding, &'static [(u32, u32, u32)]);

    fn wanted(width: u32, height: u32, fps: u32) -> Wanted {
        Wanted {
            width,
            height,
            fps,
            bitrate: 2_000_000,
            key_interval: Duration::from_secs(1),
            controls: Vec::new(),
        }
    }

    fn modes(camera: &[Row], wanted: &Wanted) -> Vec<Mode> {
        let mode = |&(coding, table): &Row| {
            let size = |&(width, height, _): &(u32, u32, u32)| Size { width, height };
            let sizes: Vec<_> = table.iter().map(|row| Sizes::One(size(row))).collect();
            let taken = nearest_size(&sizes, size(&(wanted.width, wanted.height, 0)));
            let rates: Vec<_> = table
                .iter()
                .filter(|row| Some(size(row)) == taken)
                .map(|&(.., denominator)| {
                    Intervals::One(Interval {
                        numerator: 1,
                        denominator,
                    })
                })
                .collect();
            Mode {
                coding,
                size: taken,
                interval: nearest_interval(&rates, wanted.fps),
            }
        };
        camera.iter().map(mode).collect()
    }

    fn chosen(camera: &[Row], width: u32, height: u32, fps: u32) -> String {
        let wanted = wanted(width, height, fps);
        let modes = modes(camera, &wanted);
        choose(&modes, &wanted, false).unwrap().to_string()
    }

    /// What most webcams have: USB 2 has no room for more without JPEG.
    const WEBCAM: [Row; 2] = [
        (
            YUYV,
            &[
                (640, 480, 30),
                (320, 240, 30),
                (1280, 720, 10),
                (1920, 1080, 5),
            ],
        ),
        (MJPG, &[(640, 480, 30), (1280, 720, 30), (1920, 1080, 30)]),
    ];

    /// Logitech C920 before 2019.
    const C920: [Row; 3] = [
        (YUYV, &[(640, 480, 30), (1280, 720, 10)]),
        (H264, &[(640, 480, 30), (1280, 720, 30), (1920, 1080, 30)]),
        (MJPG, &[(640, 480, 30), (1280, 720, 30), (1920, 1080, 30)]),
    ];

    #[test]
    fn a_webcam_gives_jpeg_where_raw_pictures_come_too_slowly() {
        for ((width, height, fps), taken) in [
            ((1280, 720, 30), "MJPG 1280x720 at 30/s"),
            ((1280, 720, 10), "YUYV 1280x720 at 10/s"),
            ((640, 480, 30), "YUYV 640x480 at 30/s"),
            ((1920, 1080, 15), "MJPG 1920x1080 at 30/s"),
            ((320, 240, 30), "YUYV 320x240 at 30/s"),
        ] {
            assert_eq!(chosen(&WEBCAM, width, height, fps), taken);
        }
    }

    #[test]
    fn what_the_camera_encodes_is_taken_before_all_else() {
        assert_eq!(chosen(&C920, 1280, 720, 30), "H264 1280x720 at 30/s");
        // Even where a raw format is nearer.
        let camera: [Row; 2] = [C920[0], (H264, &[(640, 480, 15)])];
        assert_eq!(chosen(&camera, 1280, 720, 10), "H264 640x480 at 15/s");
    }

    #[test]
    fn what_must_be_drawn_on_is_taken_raw() {
        let wanted = wanted(1280, 720, 30);
        let modes = modes(&C920, &wanted);
        let taken = choose(&modes, &wanted, true).unwrap();
        assert_eq!(taken.to_string(), "MJPG 1280x720 at 30/s");
        let coded: Vec<_> = modes
            .into_iter()
            .filter(|mode| mode.coding == H264)
            .collect();
        assert_eq!(choose(&coded, &wanted, true), None);
    }

    #[test]
    fn the_cheapest_is_taken_where_several_do() {
        const SIZE: &[(u32, u32, u32)] = &[(1280, 720, 30)];
        let all = [GREY, MJPG, YUYV, NV12].map(|coding| (coding, SIZE));
        assert_eq!(chosen(&all, 1280, 720, 30), "NV12 1280x720 at 30/s");
        assert_eq!(
            chosen(&all[..2], 1280, 720, 30),
            "MJPG 1280x720 at 30/s",
            "colour is worth a JPEG"
        );
    }

    #[test]
    fn the_size_counts_before_the_rate() {
        let camera: [Row; 2] = [(NV12, &[(640, 360, 60)]), (YUYV, &[(1280, 720, 8)])];
        assert_eq!(chosen(&camera, 1280, 720, 30), "YUYV 1280x720 at 8/s");
    }

    #[test]
    fn what_lists_nothing_may_have_everything() {
        let silent = Mode {
            coding: YUYV,
            size: None,
            interval: None,
        };
        let wanted = wanted(1280, 720, 30);
        let mut modes = modes(&WEBCAM[1..], &wanted);
        modes.push(silent);
        assert_eq!(choose(&modes, &wanted, false), Some(silent));
        assert_eq!(choose(&[], &wanted, false), None);
    }

    #[test]
    fn the_log_says_what_was_chosen_out_of_what() {
        let wanted = wanted(1280, 720, 30);
        let modes = modes(&WEBCAM, &wanted);
        let taken = choose(&modes, &wanted, false).unwrap();
        assert_eq!(
            explain(&modes, taken, &wanted),
            "takes MJPG 1280x720 at 30/s, the best for 1280x720 at 30/s; not YUYV 1280x720 at 10/s"
        );
    }
}
