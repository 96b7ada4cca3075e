//! Stands in for the H.264 reader until that is in: one buffer, one access unit; no check of anything.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use crate::h264::{AccessUnit, ParameterSets};

#[derive(Default)]
pub(super) struct Reader {
    sets: Option<Arc<ParameterSets>>,
}

impl Reader {
    pub(super) fn push(&mut self, bytes: &[u8], units: &mut Vec<AccessUnit>) {
        let mut data = BytesMut::new();
        let mut idr = false;
        let (mut sps, mut pps) = (Vec::new(), Vec::new());
        let mut start = None;
        let mut at = 0;
        let mut nals = Vec::new();
        while at + 3 <= bytes.len() {
            if bytes[at..at + 3] == [0, 0, 1] {
                if let Some(start) = start {
                    nals.push(&bytes[start..at]);
                }
                start = Some(at + 3);
                at += 3;
            } else {
                at += 1;
            }
        }
        if let Some(start) = start {
            nals.push(&bytes[start..]);
        }
        for nal in nals {
            let mut nal = nal;
            while nal.last() == Some(&0) {
                nal = &nal[..nal.len() - 1];
            }
            match nal.first().map_or(0, |byte| byte & 31) {
                7 => sps.push(bytes::Bytes::copy_from_slice(nal)),
                8 => pps.push(bytes::Bytes::copy_from_slice(nal)),
                9 | 0 => {}
                kind => {
                    idr |= kind == 5;
                    data.put_u32(nal.len() as u32);
                    data.put_slice(nal);
                }
            }
        }
        if !sps.is_empty() {
            self.sets = Some(Arc::new(ParameterSets {
                profile: [sps[0][1], sps[0][2], sps[0][3]],
                sps,
                pps,
                width: 0,
                height: 0,
                sample_aspect_ratio: (1, 1),
                frame_rate: None,
                chroma: [1, 0, 0],
            }));
        }
        if let (Some(sets), false) = (&self.sets, data.is_empty()) {
            units.push(AccessUnit {
                data: data.freeze(),
                idr,
                parameter_sets: Arc::clone(sets),
                display_shift: 0,
            });
        }
    }

    pub(super) fn flush(&mut self, _units: &mut Vec<AccessUnit>) {}
}
