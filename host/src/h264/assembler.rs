use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{
    AccessUnit, Found, Loss, ParameterSets,
    buffer::Buffer,
    order::DisplayOrder,
    pending::{Kind, OpenNal, OpenUnit},
    slice::{BadSlice, Slice},
    store::{self, Put, Store},
};

/// A larger access unit is damage: start codes were lost, or it isn't H.264. Level 6.2 with its largest pictures and
/// least compression stays below for every camera there is.
pub const MAX_UNIT: usize = 16 << 20;

/// A slice header is tried with this many bytes of its NAL unit, then twice as many, and so on. The steps are the same
/// however the stream is cut into pieces, so that what is found is the same too.
const FIRST_TRY: usize = 32;
/// A slice header that needs more is damage. Reference list and weight tables at their largest take some 600 bytes.
const LAST_TRY: usize = 4096;

const PREFIX: usize = 4;

/// Puts NAL units together to access units (7.4.1.2.3).
///
/// NAL units come in as they lie in a file or a stream: their beginning, their bytes in any number of pieces, their end.
/// Where an access unit ends shows in the one after: in a NAL unit that may only come before slices, or in a slice
/// header that belongs to another picture.
#[derive(Debug)]
pub(super) struct Assembler<M> {
    store: Store,
    buffer: Buffer,
    nal: Option<OpenNal<M>>,
    unit: OpenUnit<M>,
    /// Everything is dropped until an IDR picture.
    waiting: bool,
    /// The last access unit was ended by a flush, and began with this slice, if it could be read. Forgotten once another
    /// begins.
    flushed: Option<Option<Slice>>,
    /// `PrevRefFrameNum` (7.4.3).
    previous_frame_num: u16,
    order: DisplayOrder,
    current: Option<Current>,
    loss: Loss,
    found: VecDeque<Found<M>>,
}

/// The parameter sets in force.
#[derive(Debug)]
struct Current {
    sets: Arc<ParameterSets>,
    /// Of the store, when they were taken from it.
    version: u64,
    sps_id: u8,
}

impl<M: Copy> Assembler<M> {
    pub(super) fn new() -> Self {
        Self {
            store: Store::default(),
            buffer: Buffer::new(),
            nal: None,
            unit: OpenUnit::new(None),
            waiting: true,
            flushed: None,
            previous_frame_num: 0,
            order: DisplayOrder::default(),
            current: None,
            loss: Loss::default(),
            found: VecDeque::new(),
        }
    }

    pub(super) fn take(&mut self) -> Option<Found<M>> {
        self.found.pop_front()
    }

    pub(super) fn loss(&self) -> Loss {
        self.loss
    }

    /// Takes a parameter set from outside the stream. False if it can't be parsed.
    pub(super) fn put_parameter_set(&mut self, nal: &[u8]) -> bool {
        self.store.put(nal) != Put::Bad
    }

    /// A slice is being read, and nothing is known to be wrong with its access unit.
    pub(super) fn inside_good_slice(&self) -> bool {
        self.nal.as_ref().is_some_and(|nal| nal.kind == Kind::Kept)
            && self.unit.slice.is_some()
            && !self.skipping()
    }

    /// Bytes of the access unit at hand.
    pub(super) fn unit_len(&self) -> usize {
        self.buffer.len()
    }

    /// A NAL unit begins. `offset` is where in the stream the one before it ended.
    pub(super) fn begin(&mut self, mark: M, offset: u64) {
        self.unit.mark.get_or_insert(mark);
        self.nal = Some(OpenNal {
            start: self.buffer.len(),
            len: 0,
            kind: Kind::Unknown,
            mark,
            offset,
        });
        self.buffer.append(&[0; PREFIX]);
    }

    /// More bytes of it.
    pub(super) fn bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(nal) = &mut self.nal else {
                return;
            };
            // How many of them can be taken before the next decision.
            let room = match nal.kind {
                Kind::Unknown => 1,
                Kind::SliceHeader(try_at) => try_at - nal.len,
                Kind::ParameterSet => (store::MAX_LEN + 1).saturating_sub(nal.len),
                Kind::Kept | Kind::Skipped => bytes.len(),
            };
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            bytes = later;
            nal.len += now.len();
            let (kind, len) = (nal.kind, nal.len);
            match kind {
                Kind::Unknown => {
                    self.buffer.append(now);
                    self.header(now[0]);
                }
                Kind::Kept if self.skipping() => {}
                Kind::Kept if self.buffer.len() + now.len() > MAX_UNIT => {
                    self.unit.damaged = true;
                }
                Kind::ParameterSet if now.is_empty() => return,
                Kind::Kept | Kind::ParameterSet | Kind::SliceHeader(_) => self.buffer.append(now),
                Kind::Skipped => {}
            }
            if kind == Kind::SliceHeader(len) {
                self.slice_header(false);
            }
        }
    }

    /// The NAL unit is complete.
    pub(super) fn end(&mut self) {
        if matches!(
            &self.nal,
            Some(OpenNal {
                kind: Kind::SliceHeader(_),
                ..
            })
        ) {
            self.slice_header(true);
        }
        if self.buffer.len() > MAX_UNIT {
            self.unit.damaged = true;
        }
        let skipping = self.skipping();
        let Some(nal) = self.nal.take() else {
            return;
        };
        match nal.kind {
            Kind::Kept if !skipping => {
                let len = self.buffer.len() - nal.start - PREFIX;
                let len = u32::try_from(len).expect("an access unit is shorter than MAX_UNIT");
                self.buffer.put_u32(nal.start, len);
                return;
            }
            Kind::Unknown => self.loss.bad_nals += 1,
            Kind::ParameterSet => {
                match self.store.put(self.buffer.from(nal.start + PREFIX)) {
                    Put::Known => {}
                    Put::Changed(key) => {
                        self.unit.changed.insert(key);
                    }
                    Put::Bad => {
                        self.loss.bad_nals += 1;
                        // What the pictures that follow refer to can't be known.
                        self.unit.damaged = true;
                    }
                }
            }
            Kind::Kept | Kind::SliceHeader(_) | Kind::Skipped => {}
        }
        self.buffer.truncate(nal.start);
    }

    /// Bytes have been seen, or are known to be missing, between NAL units: pictures up to here may be damaged.
    pub(super) fn gap(&mut self) {
        if self.unit.has_slice {
            self.unit.damaged = true;
        } else {
            self.waiting = true;
        }
    }

    /// Bytes that belong to no NAL unit.
    pub(super) fn stray(&mut self) {
        self.loss.bad_nals += 1;
        if self.flushed.take().is_some() {
            self.loss.false_ends += 1;
        }
        self.gap();
    }

    /// The access unit at hand is complete, if it has a picture; else what there is belongs to the next one.
    pub(super) fn flush(&mut self, offset: u64) {
        self.end();
        if self.unit.has_slice {
            let slice = self.unit.slice.clone();
            self.finish(self.buffer.len(), offset, None);
            self.flushed = Some(slice);
        }
    }

    /// Whatever is written now will be dropped.
    fn skipping(&self) -> bool {
        self.unit.damaged
            || self.waiting && self.unit.slice.as_ref().is_some_and(|slice| !slice.idr)
    }

    /// The first byte of a NAL unit (7.3.1).
    fn header(&mut self, header: u8) {
        // These come before the slices of their access unit, so they end the one before (7.4.1.2.3).
        if self.unit.has_slice && matches!(header, 0..0x80) && matches!(header & 0x1f, 6..=11) {
            self.finish_before_nal();
        }
        let kind = match header & 0x1f {
            _ if header & 0x80 != 0 => {
                // forbidden_zero_bit: the byte is damaged, and may have been a slice's.
                self.loss.bad_nals += 1;
                self.gap();
                Kind::Skipped
            }
            // Also partition A, which begins like a slice.
            1 | 2 | 5 => Kind::SliceHeader(FIRST_TRY),
            // Partitions B and C of the slice before; SEI.
            3 | 4 | 6 => Kind::Kept,
            7 | 8 => Kind::ParameterSet,
            // Delimiters, filler; layers, views and auxiliary pictures, for which a browser has no use (so a prefix NAL
            // unit doesn't begin anything either); what the standard leaves to others.
            _ => Kind::Skipped,
        };
        if let Some(nal) = &mut self.nal {
            nal.kind = kind;
        }
    }

    /// Tries to read a slice's header.
    fn slice_header(&mut self, complete: bool) {
        let Some(nal) = &mut self.nal else {
            return;
        };
        let (context, bad) = self.store.context();
        self.loss.bad_nals += bad;
        let bytes = self.buffer.from(nal.start + PREFIX);
        // first_mb_in_slice is 0: one bit, set.
        let starts_picture = bytes.get(1).is_some_and(|byte| byte & 0x80 != 0);
        let slice = match Slice::parse(context, bytes, complete) {
            Err(BadSlice::Incomplete) if !complete && nal.len < LAST_TRY => {
                nal.kind = Kind::SliceHeader(2 * nal.len);
                return;
            }
            result => result,
        };
        nal.kind = Kind::Kept;
        match slice {
            Ok(slice) => self.slice(slice),
            Err(error) => {
                if self.unit.has_slice && starts_picture {
                    self.finish_before_nal();
                }
                // Between key frames nobody can know them.
                if !(self.waiting && error == BadSlice::UnknownParameterSets) {
                    self.loss.bad_nals += 1;
                }
                self.unit.has_slice = true;
                self.unit.damaged = true;
            }
        }
    }

    fn slice(&mut self, slice: Slice) {
        let begins = match (&self.unit.slice, self.unit.has_slice) {
            (Some(first), _) => slice.begins_after(first),
            (None, true) => slice.first_macroblock == 0 && !slice.redundant,
            (None, false) => false,
        };
        if begins {
            self.finish_before_nal();
        }
        if self.unit.slice.is_some() {
            return;
        }
        let flushed = self.flushed.take();
        let first = !std::mem::replace(&mut self.unit.has_slice, true);
        if first && (slice.first_macroblock != 0 || slice.redundant) {
            // The picture's beginning is missing, or it was flushed before it was complete.
            if flushed
                .flatten()
                .is_some_and(|flushed| slice.same_picture(&flushed))
            {
                self.loss.false_ends += 1;
            }
            self.unit.damaged = true;
        }
        if self.frames_are_missing(&slice) {
            self.unit.damaged = true;
        }
        if !slice.idr && !self.unit.damaged && !self.waiting {
            self.insert_changed_parameter_sets();
        }
        self.unit.slice = Some(slice);
    }

    /// Clause 7.4.3, `frame_num`: each reference picture counts on by one.
    fn frames_are_missing(&self, slice: &Slice) -> bool {
        if slice.idr || self.waiting {
            return false;
        }
        let Some(sps) = self.store.sps(slice.sps_id) else {
            return true;
        };
        let modulus = 1u32 << sps.log2_max_frame_num();
        let previous = u32::from(self.previous_frame_num);
        let frame_num = u32::from(slice.frame_num);
        !sps.gaps_in_frame_num_value_allowed_flag
            && frame_num != previous
            && frame_num != (previous + 1) % modulus
    }

    /// Puts the parameter sets that changed in the middle of a coded video sequence before the slice at hand: who began
    /// to decode at its IDR picture has the old ones.
    fn insert_changed_parameter_sets(&mut self) {
        let Some(nal) = &mut self.nal else {
            return;
        };
        if self.unit.changed.is_empty() {
            return;
        }
        let slice = self.buffer.from(nal.start).to_vec();
        self.buffer.truncate(nal.start);
        for key in &self.unit.changed {
            if let Some(set) = self.store.get(*key) {
                let len =
                    u32::try_from(set.len()).expect("a parameter set is shorter than MAX_LEN");
                self.buffer.append(&len.to_be_bytes());
                self.buffer.append(set);
            }
        }
        nal.start = self.buffer.len();
        self.buffer.append(&slice);
    }

    /// The access unit at hand ended before the NAL unit at hand, which begins the next.
    fn finish_before_nal(&mut self) {
        let Some(nal) = &mut self.nal else {
            return;
        };
        let (len, offset, mark) = (nal.start, nal.offset, nal.mark);
        nal.start = 0;
        self.finish(len, offset, Some(mark));
    }

    /// The access unit at hand is the first `len` bytes of the buffer.
    fn finish(&mut self, len: usize, end: u64, next: Option<M>) {
        let unit = std::mem::replace(&mut self.unit, OpenUnit::new(next));
        self.flushed = None;
        let data = self.buffer.take(len);
        match self.access_unit(&unit, data) {
            Some((access_unit, mark)) => self.found.push_back(Found {
                unit: access_unit,
                mark,
                end,
            }),
            None => self.loss.dropped_units += 1,
        }
    }

    fn access_unit(&mut self, unit: &OpenUnit<M>, data: Bytes) -> Option<(AccessUnit, M)> {
        let (Some(slice), false) = (&unit.slice, unit.damaged) else {
            self.waiting = true;
            return None;
        };
        if slice.idr {
            if !self.activate(slice) {
                self.waiting = true;
                return None;
            }
            self.waiting = false;
        }
        if self.waiting {
            return None;
        }
        if slice.resets_numbering {
            self.previous_frame_num = 0;
        } else if slice.reference {
            self.previous_frame_num = slice.frame_num;
        }
        let parameter_sets = Arc::clone(&self.current.as_ref()?.sets);
        let display_shift = self.order.picture(self.store.sps(slice.sps_id)?, slice);
        let access_unit = AccessUnit {
            data,
            idr: slice.idr,
            parameter_sets,
            display_shift,
        };
        Some((access_unit, unit.mark?))
    }

    /// Brings into force what an IDR picture refers to. False if that can't be used.
    fn activate(&mut self, slice: &Slice) -> bool {
        let sps_id = slice.sps_id.id();
        if let Some(current) = &self.current
            && (current.version, current.sps_id) == (self.store.version, sps_id)
        {
            return true;
        }
        let Some(sets) = self.store.in_force(slice.sps_id) else {
            return false;
        };
        let sets = match &self.current {
            Some(current) if *current.sets == sets => Arc::clone(&current.sets),
            current => {
                let same_sps = current
                    .as_ref()
                    .is_some_and(|current| current.sets.sps == sets.sps);
                if let (false, Some(sps)) = (same_sps, self.store.sps(slice.sps_id)) {
                    self.order = DisplayOrder::new(sps);
                }
                Arc::new(sets)
            }
        };
        self.current = Some(Current {
            sets,
            version: self.store.version,
            sps_id,
        });
        true
    }
}
