use h264_reader::nal::sps::{PicOrderCntType, SeqParameterSet};

use super::{
    parameter_sets::declares_reordering,
    slice::{OrderCount, Slice},
};

/// No decoded picture buffer holds more pictures (A.3.1), so none is moved further.
const MAX_SHIFT: i64 = 16;

/// Tells from picture order counts (8.2.1) how many places later each picture is shown than it is decoded.
///
/// That is known when the picture arrives only because counts are regular: each picture shown adds 2, as counts number
/// fields, or 1 with some encoders, which shows as soon as a count is odd. They aren't regular where an encoder drops
/// pictures, so they count only once the stream is known to reorder: by its SPS, or by a picture that came before its
/// turn. A stream whose SPS leaves it open has its first reordered pictures shown in a wrong place.
#[derive(Debug, Default)]
pub(super) struct DisplayOrder {
    /// As declared, or as seen so far.
    reorders: bool,
    /// The SPS leaves it open.
    open: bool,
    per_picture: i64,
    /// Pictures decoded since the IDR picture.
    decoded: i64,
    /// The place in display order of a picture whose count is 0.
    base: i64,
    latest: Option<i64>,
    /// Type 0: `prevPicOrderCntMsb` and `prevPicOrderCntLsb`.
    previous: (i64, i64),
    /// Types 1 and 2: `prevFrameNumOffset` and `prevFrameNum`.
    frame_num: (i64, i64),
}

impl DisplayOrder {
    /// For a stream with this SPS, which has just come into force.
    pub(super) fn new(sps: &SeqParameterSet) -> Self {
        let declared = declares_reordering(sps);
        Self {
            reorders: declared == Some(true),
            open: declared.is_none(),
            per_picture: 2,
            ..Self::default()
        }
    }

    /// Takes the next picture in decoding order, and returns by how many places it is shown later than it is decoded.
    pub(super) fn picture(&mut self, sps: &SeqParameterSet, slice: &Slice) -> i32 {
        if !self.reorders && !self.open {
            return 0;
        }
        if slice.idr {
            *self = Self {
                reorders: self.reorders,
                open: self.open,
                per_picture: self.per_picture,
                ..Self::default()
            };
        }
        let count = self.count(sps, slice);
        if count % 2 != 0 {
            self.per_picture = 1;
        }
        if self.latest.is_some_and(|latest| count < latest) {
            self.reorders = true;
        }
        let ahead = self.latest.is_none_or(|latest| count > latest);
        let mut place = self.base + count.div_euclid(self.per_picture);
        if (place - self.decoded).abs() > MAX_SHIFT && ahead {
            // Counts have a gap: go on from here.
            self.base += self.decoded - place;
            place = self.decoded;
        }
        let shift = if self.reorders {
            (place - self.decoded).clamp(-MAX_SHIFT, MAX_SHIFT)
        } else {
            0
        };
        self.latest = Some(self.latest.unwrap_or(count).max(count));
        if slice.resets_numbering {
            // From here counts start anew, with this picture at 0 (8.2.1).
            self.base = place;
            self.latest = Some(0);
        }
        self.decoded += 1;
        shift as i32
    }

    fn count(&mut self, sps: &SeqParameterSet, slice: &Slice) -> i64 {
        match (&sps.pic_order_cnt, slice.order) {
            (
                PicOrderCntType::TypeZero {
                    log2_max_pic_order_cnt_lsb_minus4,
                },
                OrderCount::Lsb(lsb, delta_bottom),
            ) => self.type_0(
                slice,
                1 << (log2_max_pic_order_cnt_lsb_minus4 + 4),
                lsb.into(),
                delta_bottom.into(),
            ),
            (PicOrderCntType::TypeOne { .. }, OrderCount::Deltas(deltas)) => {
                self.type_1(sps, slice, deltas)
            }
            _ => 2 * self.decoded,
        }
    }

    /// Clause 8.2.1.1.
    fn type_0(&mut self, slice: &Slice, modulus: i64, lsb: i64, delta_bottom: i64) -> i64 {
        let (msb, previous) = self.previous;
        let msb = if lsb < previous && previous - lsb >= modulus / 2 {
            msb + modulus
        } else if lsb > previous && lsb - previous > modulus / 2 {
            msb - modulus
        } else {
            msb
        };
        let top = msb + lsb;
        let count = top
            + if slice.bottom_field.is_none() {
                delta_bottom.min(0)
            } else {
                0
            };
        if slice.resets_numbering {
            let top = if slice.bottom_field == Some(true) {
                0
            } else {
                top - count
            };
            self.previous = (0, top);
        } else if slice.reference {
            self.previous = (msb, lsb);
        }
        count
    }

    /// Clause 8.2.1.2.
    fn type_1(&mut self, sps: &SeqParameterSet, slice: &Slice, deltas: [i32; 2]) -> i64 {
        let PicOrderCntType::TypeOne {
            offset_for_non_ref_pic,
            offset_for_top_to_bottom_field,
            offsets_for_ref_frame,
            ..
        } = &sps.pic_order_cnt
        else {
            return 2 * self.decoded;
        };
        let (mut offset, previous) = self.frame_num;
        let frame_num = i64::from(slice.frame_num);
        if previous > frame_num {
            offset += 1 << sps.log2_max_frame_num();
        }
        self.frame_num = if slice.resets_numbering {
            (0, 0)
        } else {
            (offset, frame_num)
        };

        let cycle = offsets_for_ref_frame.len() as i64;
        let mut absolute = if cycle == 0 { 0 } else { offset + frame_num };
        if !slice.reference && absolute > 0 {
            absolute -= 1;
        }
        let sum = |offsets: &[i32]| offsets.iter().map(|&offset| i64::from(offset)).sum::<i64>();
        let mut expected = 0;
        if absolute > 0 {
            let whole_cycles = (absolute - 1) / cycle;
            let rest = ((absolute - 1) % cycle) as usize;
            expected =
                whole_cycles * sum(offsets_for_ref_frame) + sum(&offsets_for_ref_frame[..=rest]);
        }
        if !slice.reference {
            expected += i64::from(*offset_for_non_ref_pic);
        }
        let [first, second] = deltas.map(i64::from);
        let to_bottom = i64::from(*offset_for_top_to_bottom_field);
        match slice.bottom_field {
            None => (expected + first).min(expected + first + to_bottom + second),
            Some(false) => expected + first,
            Some(true) => expected + to_bottom + first,
        }
    }
}
