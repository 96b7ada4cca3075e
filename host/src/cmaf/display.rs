use std::time::Duration;

use crate::time::MediaTime;

/// Places that are remembered: a picture is moved by sixteen at most, either way.
const MEMORY: usize = 33;

/// When each picture is shown, where that is in another order than decoding.
///
/// Decoding times follow the camera's clock, so they aren't even. A picture that is shown after others that are still to
/// come is put where they will end as far as can be told; those come evenly between the neighbours whose times have been
/// said. So whatever the clock does, the order of times is the order of pictures.
#[derive(Debug, Default)]
pub struct DisplayTimes {
    /// Pictures so far.
    decoded: i64,
    /// Places in display order and their times, in that order.
    said: Vec<(i64, u64)>,
}

impl DisplayTimes {
    /// Takes the next picture in decoding order: decoded at `start`, shown by `shift` places later, with so much time to
    /// the next one. Returns its composition offset in microseconds (ISO/IEC 14496-12, 8.6.1.3): 0 for all as long as no
    /// picture is moved.
    pub fn offset(&mut self, start: MediaTime, shift: i32, frame: Duration) -> i32 {
        let place = self.decoded + i64::from(shift);
        self.decoded += 1;
        let frame = frame.as_micros() as i64;
        let wanted = start.0.saturating_add_signed(i64::from(shift) * frame);
        let at = self.said.partition_point(|(said, _)| *said < place);
        let before = at.checked_sub(1).map(|index| self.said[index]);
        let time = match (before, self.said.get(at)) {
            (None, None) => wanted,
            (Some((first, earlier)), None) => {
                // With room for those between, and none needed where it is shown as it comes.
                let between = (place - first - 1).max(0) * frame / 2;
                wanted.max(earlier + 1 + between as u64)
            }
            (None, Some((_, later))) => wanted.min(later.saturating_sub(1)),
            (Some((first, earlier)), Some((last, later))) => {
                let part = (later - earlier) * (place - first) as u64;
                earlier + part / ((last - first) as u64).max(1)
            }
        };
        self.said.insert(at, (place, time));
        if self.said.len() > MEMORY {
            self.said.remove(0);
        }
        let offset = time as i64 - start.0 as i64;
        offset.clamp(i32::MIN.into(), i32::MAX.into()) as i32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: Duration = Duration::from_millis(40);

    /// Times of showing, in the order of showing, of pictures decoded at these times.
    fn shown(pictures: impl IntoIterator<Item = (u64, i32)>) -> Vec<u64> {
        let mut times = DisplayTimes::default();
        let mut shown: Vec<_> = pictures
            .into_iter()
            .enumerate()
            .map(|(decoded, (start, shift))| {
                let offset = times.offset(MediaTime(start), shift, FRAME);
                let time = start.checked_add_signed(offset.into()).unwrap();
                (decoded as i64 + i64::from(shift), time)
            })
            .collect();
        shown.sort_unstable();
        shown.into_iter().map(|(_, time)| time).collect()
    }

    #[test]
    fn nothing_is_moved_where_the_order_is_one() {
        let starts = [0, 40_000, 40_001, 90_000, 2_000_000];
        assert_eq!(shown(starts.map(|start| (start, 0))), starts);
    }

    #[test]
    fn even_pictures_are_shown_evenly() {
        // I P B B B P B B B
        let shifts = [0, 3, -1, -1, -1, 3, -1, -1, -1];
        let pictures = (0..).step_by(40_000).zip(shifts);
        let expected: Vec<u64> = (0..9).map(|n| n * 40_000).collect();
        assert_eq!(shown(pictures), expected);
    }

    proptest! {
        #[test]
        fn the_order_of_times_is_the_order_of_pictures(
            durations in prop::collection::vec(1_000_u64..200_000, 8..200),
            b_pictures in 0..5_usize,
        ) {
            let mut start = 0;
            let pictures = durations.iter().enumerate().map(|(n, duration)| {
                start += duration;
                let shift = match n.checked_sub(1).map(|n| n % (b_pictures + 1)) {
                    None => 0,
                    Some(0) => b_pictures as i32,
                    Some(_) => -1,
                };
                (start, shift)
            });
            let shown = shown(pictures);
            prop_assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", shown);
        }
    }
}
