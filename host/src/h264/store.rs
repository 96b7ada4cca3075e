use std::collections::BTreeMap;

use bytes::Bytes;
use h264_reader::{
    Context,
    nal::{
        Nal, RefNal,
        pps::{PicParamSetId, PicParameterSet, PpsError},
        sps::{SeqParamSetId, SeqParameterSet},
    },
    rbsp::BitRead,
};

use super::{ParameterSets, bits::Bits, parameter_sets::parse_sps};

/// Longer parameter sets are damage. Real ones have tens of bytes; those with scaling lists a few hundred.
pub(super) const MAX_LEN: usize = 16 << 10;

/// `avcC` can't list more picture parameter sets.
const MAX_PPS: usize = 255;

/// The kind of a parameter set and its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Sps(u8),
    Pps(u8),
}

/// What became of a parameter set.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It says what was known.
    Known,
    /// It is new, or differs from the one of the same identifier, which it replaces.
    Changed(Key),
    /// It can't be parsed, and is ignored.
    Bad,
}

/// The parameter sets as the stream last sent them, by identifier. Bounded by the number of identifiers and [`MAX_LEN`].
#[derive(Debug, Default)]
pub(super) struct Store {
    sps: BTreeMap<u8, Bytes>,
    pps: BTreeMap<u8, Bytes>,
    /// All of these, parsed, unless `stale`.
    context: Context,
    /// Something changed since `context` was made. A picture parameter set can be parsed only with its SPS, and they
    /// come in any order, so that waits until a slice needs it.
    stale: bool,
    /// Counts changes.
    pub(super) version: u64,
}

impl Store {
    /// Takes a parameter set: a NAL unit of type 7 or 8, with its header.
    pub(super) fn put(&mut self, nal: &[u8]) -> Put {
        match nal.first() {
            _ if nal.len() > MAX_LEN => Put::Bad,
            Some(header) if header & 0x1f == 7 => self.put_sps(nal),
            Some(header) if header & 0x1f == 8 => self.put_pps(nal),
            _ => Put::Bad,
        }
    }

    fn put_sps(&mut self, nal: &[u8]) -> Put {
        if self.sps.values().any(|known| known == nal) {
            return Put::Known;
        }
        let Some(sps) = parse_sps(nal) else {
            return Put::Bad;
        };
        let id = sps.seq_parameter_set_id.id();
        self.sps.insert(id, Bytes::copy_from_slice(nal));
        self.changed(Key::Sps(id))
    }

    fn put_pps(&mut self, nal: &[u8]) -> Put {
        let ids = RefNal::new(nal, &[], true);
        let mut bits = ids.rbsp_bits();
        let (Ok(id), Ok(sps_id)) = (
            bits.read_ue("pic_parameter_set_id"),
            bits.read_ue("seq_parameter_set_id"),
        ) else {
            return Put::Bad;
        };
        let (Ok(id), 0..=31) = (u8::try_from(id), sps_id) else {
            return Put::Bad;
        };
        match self.pps.get(&id) {
            Some(known) if known == nal => return Put::Known,
            None if self.pps.len() == MAX_PPS => return Put::Bad,
            _ => {}
        }
        self.pps.insert(id, Bytes::copy_from_slice(nal));
        self.changed(Key::Pps(id))
    }

    fn changed(&mut self, key: Key) -> Put {
        self.stale = true;
        self.version += 1;
        Put::Changed(key)
    }

    /// The bytes of a parameter set.
    pub(super) fn get(&self, key: Key) -> Option<&Bytes> {
        match key {
            Key::Sps(id) => self.sps.get(&id),
            Key::Pps(id) => self.pps.get(&id),
        }
    }

    /// The parameter sets parsed, for reading slice headers; and how many PPS turned out to be damaged and were dropped.
    pub(super) fn context(&mut self) -> (&Context, u64) {
        let mut bad = 0;
        if self.stale {
            self.stale = false;
            let mut context = Context::new();
            for nal in self.sps.values() {
                if let Some(sps) = parse_sps(nal) {
                    context.put_seq_param_set(sps);
                }
            }
            self.pps.retain(|_, nal| {
                let bits = Bits::new(RefNal::new(nal, &[], true).rbsp_bits());
                match PicParameterSet::from_bits(&context, bits) {
                    Ok(pps) => context.put_pic_param_set(pps),
                    // Its SPS may still come.
                    Err(PpsError::UnknownSeqParamSetId(_)) => {}
                    Err(_) => {
                        bad += 1;
                        return false;
                    }
                }
                true
            });
            self.context = context;
        }
        (&self.context, bad)
    }

    /// The parsed SPS that `context` was made with.
    pub(super) fn sps(&self, id: SeqParamSetId) -> Option<&SeqParameterSet> {
        self.context.sps_by_id(id)
    }

    /// What a coded video sequence needs whose first picture refers to this SPS: it, and every PPS that refers to it.
    pub(super) fn in_force(&self, id: SeqParamSetId) -> Option<ParameterSets> {
        let sps = self.sps.get(&id.id())?.clone();
        let pps = self
            .pps
            .iter()
            .filter(|(pps_id, _)| {
                PicParamSetId::from_u32(u32::from(**pps_id))
                    .ok()
                    .and_then(|pps_id| self.context.pps_by_id(pps_id))
                    .is_some_and(|pps| pps.seq_parameter_set_id == id)
            })
            .map(|(_, nal)| nal.clone())
            .collect();
        ParameterSets::new(vec![sps], pps).ok()
    }
}
