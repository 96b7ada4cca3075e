use std::io::ErrorKind;

use h264_reader::{
    Context,
    nal::{
        Nal, RefNal, UnitType,
        slice::{
            DecRefPicMarking, Field, FieldPic, MemoryManagementControlOperation, PicOrderCountLsb,
            SliceHeader, SliceHeaderError,
        },
        sps::{SeqParamSetId, SeqParameterSet},
    },
    rbsp::BitReaderError,
};

use super::bits::Bits;

/// What a slice says of the picture it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) pps_id: u8,
    pub(super) sps_id: SeqParamSetId,
    pub(super) idr: bool,
    pub(super) reference: bool,
    pub(super) first_macroblock: u32,
    pub(super) frame_num: u16,
    /// `None` for a frame, else whether it is the bottom field.
    pub(super) bottom_field: Option<bool>,
    idr_pic_id: Option<u32>,
    pub(super) order: OrderCount,
    /// It repeats a part of the picture that another slice has already.
    pub(super) redundant: bool,
    /// Memory management control operation 5: the picture ends the numbering of pictures, as an IDR picture does.
    pub(super) resets_numbering: bool,
    /// Each macroblock occurs three times, once for each colour plane.
    separate_planes: bool,
}

/// Picture order count, as the slice header has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderCount {
    /// Type 0: `pic_order_cnt_lsb`, `delta_pic_order_cnt_bottom`.
    Lsb(u32, i32),
    /// Type 1: `delta_pic_order_cnt`.
    Deltas([i32; 2]),
    /// Type 2: decoding order.
    Decoding,
}

/// Why a slice header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadSlice {
    /// More bytes are needed.
    Incomplete,
    /// It refers to parameter sets that have not been seen.
    UnknownParameterSets,
    /// It makes no sense.
    Invalid,
}

impl Slice {
    /// Reads the header of a slice from the first bytes of its NAL unit, `complete` if these are all.
    pub(super) fn parse(context: &Context, nal: &[u8], complete: bool) -> Result<Self, BadSlice> {
        let nal = RefNal::new(nal, &[], complete);
        let nal_header = nal.header().map_err(|_| BadSlice::Invalid)?;
        let mut bits = Bits::new(nal.rbsp_bits());
        let (header, sps, pps) = SliceHeader::from_bits(context, &mut bits, nal_header, None)
            .map_err(|error| match error {
                SliceHeaderError::RbspError(BitReaderError::ReaderError(_, error))
                    if error.kind() == ErrorKind::WouldBlock =>
                {
                    BadSlice::Incomplete
                }
                SliceHeaderError::UndefinedPicParamSetId(_)
                | SliceHeaderError::UndefinedSeqParamSetId(_) => BadSlice::UnknownParameterSets,
                _ => BadSlice::Invalid,
            })?;
        if header.first_macroblock_is_outside(sps) {
            return Err(BadSlice::Invalid);
        }
        Ok(Self {
            pps_id: pps.pic_parameter_set_id.id(),
            sps_id: sps.seq_parameter_set_id,
            idr: nal_header.nal_unit_type() == UnitType::SliceLayerWithoutPartitioningIdr,
            reference: nal_header.nal_ref_idc() != 0,
            first_macroblock: header.first_mb_in_slice,
            frame_num: header.frame_num,
            bottom_field: match header.field_pic {
                FieldPic::Frame => None,
                FieldPic::Field(Field::Top) => Some(false),
                FieldPic::Field(Field::Bottom) => Some(true),
            },
            idr_pic_id: header.idr_pic_id,
            order: match header.pic_order_cnt_lsb {
                Some(PicOrderCountLsb::Frame(lsb)) => OrderCount::Lsb(lsb, 0),
                Some(PicOrderCountLsb::FieldsAbsolute {
                    pic_order_cnt_lsb,
                    delta_pic_order_cnt_bottom,
                }) => OrderCount::Lsb(pic_order_cnt_lsb, delta_pic_order_cnt_bottom),
                Some(PicOrderCountLsb::FieldsDelta(deltas)) => OrderCount::Deltas(deltas),
                None => OrderCount::Decoding,
            },
            redundant: header.redundant_pic_cnt.is_some_and(|count| count > 0),
            resets_numbering: match &header.dec_ref_pic_marking {
                Some(DecRefPicMarking::Adaptive(operations)) => {
                    operations.iter().any(|operation| {
                        matches!(
                            operation,
                            MemoryManagementControlOperation::AllRefPicturesUnused
                        )
                    })
                }
                _ => false,
            },
            separate_planes: header.colour_plane.is_some(),
        })
    }

    /// Whether this slice belongs to the same primary coded picture as `other`, which is clause 7.4.1.2.4 turned round.
    pub(super) fn same_picture(&self, other: &Self) -> bool {
        self.frame_num == other.frame_num
            && self.pps_id == other.pps_id
            && self.sps_id == other.sps_id
            && self.bottom_field == other.bottom_field
            && self.reference == other.reference
            && self.order == other.order
            && self.idr == other.idr
            && self.idr_pic_id == other.idr_pic_id
    }

    /// Whether this slice, coming after others of a picture that began with `first`, begins the next picture.
    ///
    /// A slice that starts at macroblock 0 does so even where the numbers are the same: encoders exist that give every
    /// IDR picture the same `idr_pic_id`. (With arbitrary slice order it needn't, but no browser decodes that.)
    pub(super) fn begins_after(&self, first: &Self) -> bool {
        if self.redundant {
            return false;
        }
        !self.same_picture(first) || (self.first_macroblock == 0 && !self.separate_planes)
    }
}

trait Plausible {
    fn first_macroblock_is_outside(&self, sps: &SeqParameterSet) -> bool;
}

impl Plausible for SliceHeader {
    fn first_macroblock_is_outside(&self, sps: &SeqParameterSet) -> bool {
        // A map unit is at most two macroblocks high.
        u64::from(self.first_mb_in_slice) >= 2 * u64::from(sps.pic_size_in_map_units())
    }
}
