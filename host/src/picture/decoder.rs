use std::sync::Arc;

use openh264::{
    OpenH264API,
    decoder::{DecodedYUV, DecoderConfig, Flush},
};

use crate::h264::ParameterSets;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Why an access unit gave no picture.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The decoder said no. Until the next IDR picture nothing can be made of what follows.
    #[error("openh264 can't decode this stream (profile {profile:02x}, {width}x{height})")]
    Decoder {
        /// `profile_idc`, constraints and level of the SPS.
        profile: u32,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// What it said.
        source: openh264::Error,
    },
    /// The length of a NAL unit is more than what is left of the access unit.
    #[error("an access unit is cut off")]
    CutOff,
}

/// Turns access units back into pictures, one in, one out, in decoding order.
pub struct Decoder {
    decoder: openh264::decoder::Decoder,
    /// Those that the decoder knows.
    sets: Option<Arc<ParameterSets>>,
    /// The access unit as a byte stream.
    stream: Vec<u8>,
}

impl Decoder {
    /// Sets a decoder up.
    ///
    /// # Errors
    ///
    /// If the library can't.
    pub fn open() -> Result<Self, openh264::Error> {
        let api = OpenH264API::from_source();
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        Ok(Self {
            decoder: openh264::decoder::Decoder::with_api_config(api, config)?,
            sets: None,
            stream: Vec::new(),
        })
    }

    /// Decodes an access unit (NAL units, each behind its length in four bytes). `None`: the picture comes later, behind one
    /// that is shown before it.
    ///
    /// # Errors
    ///
    /// If it can't be decoded, or refers to what can't: then the next one has to be an IDR picture.
    pub fn decode(
        &mut self,
        sets: &Arc<ParameterSets>,
        idr: bool,
        unit: &[u8],
    ) -> Result<Option<DecodedYUV<'_>>, DecodeError> {
        self.stream.clear();
        let known = |known: &Arc<ParameterSets>| Arc::ptr_eq(known, sets);
        if idr || !self.sets.as_ref().is_some_and(known) {
            for nal in sets.sps.iter().chain(&sets.pps) {
                push(&mut self.stream, nal);
            }
            self.sets = Some(sets.clone());
        }
        let mut rest = unit;
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let nal;
            (nal, rest) = after
                .split_at_checked(u32::from_be_bytes(*length) as usize)
                .ok_or(DecodeError::CutOff)?;
            push(&mut self.stream, nal);
        }
        self.decoder
            .decode(&self.stream)
            .map_err(|source| DecodeError::Decoder {
                profile: u32::from_be_bytes([0, sets.profile[0], sets.profile[1], sets.profile[2]]),
                width: sets.width,
                height: sets.height,
                source,
            })
    }
}

/// Annex B, B.1.1.
fn push(stream: &mut Vec<u8>, nal: &[u8]) {
    stream.extend_from_slice(&START_CODE);
    stream.extend_from_slice(nal);
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}
