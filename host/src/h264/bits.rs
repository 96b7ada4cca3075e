use h264_reader::rbsp::{BitRead, BitReaderError};

/// No signed syntax element is larger. `h264-reader` 0.9 adds `slice_qp_delta` to other numbers unchecked, so that a
/// damaged one would overflow.
const SIGNED_LIMIT: i32 = 1 << 30;

/// The bits of a NAL unit, with extreme signed values refused, and, for a parameter set of an encoder that isn't strict,
/// with its end forgiven.
pub(super) struct Bits<R> {
    inner: R,
    lenient: bool,
}

impl<R: BitRead> Bits<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            lenient: false,
        }
    }

    /// Pretends that the SPS has no VUI and ends where its fields end. Some cameras state decoded picture buffers that
    /// their level doesn't allow, or leave a stray byte behind; pictures need neither.
    pub(super) fn lenient(inner: R) -> Self {
        Self {
            inner,
            lenient: true,
        }
    }
}

type Read<T> = Result<T, BitReaderError>;

impl<R: BitRead> BitRead for Bits<R> {
    fn read_ue(&mut self, name: &'static str) -> Read<u32> {
        self.inner.read_ue(name)
    }

    fn read_se(&mut self, name: &'static str) -> Read<i32> {
        let value = self.inner.read_se(name)?;
        if (-SIGNED_LIMIT..=SIGNED_LIMIT).contains(&value) {
            Ok(value)
        } else {
            Err(BitReaderError::ExpGolombTooLarge(name))
        }
    }

    fn read_bit(&mut self, name: &'static str) -> Read<bool> {
        if self.lenient && name == "vui_parameters_present_flag" {
            return Ok(false);
        }
        self.inner.read_bit(name)
    }

    fn read<const BITS: u32, I: h264_reader::rbsp::Integer>(
        &mut self,
        name: &'static str,
    ) -> Read<I> {
        self.inner.read::<BITS, I>(name)
    }

    fn read_var<I: h264_reader::rbsp::Integer>(
        &mut self,
        bit_count: u32,
        name: &'static str,
    ) -> Read<I> {
        self.inner.read_var(bit_count, name)
    }

    fn read_to<V: h264_reader::rbsp::Primitive>(&mut self, name: &'static str) -> Read<V> {
        self.inner.read_to(name)
    }

    fn skip(&mut self, bit_count: u32, name: &'static str) -> Read<()> {
        self.inner.skip(bit_count, name)
    }

    fn byte_aligned(&self) -> bool {
        self.inner.byte_aligned()
    }

    fn has_more_rbsp_data(&mut self, name: &'static str) -> Read<bool> {
        self.inner.has_more_rbsp_data(name)
    }

    fn finish_rbsp(self) -> Read<()> {
        if self.lenient {
            Ok(())
        } else {
            self.inner.finish_rbsp()
        }
    }

    fn finish_sei_payload(self) -> Read<()> {
        self.inner.finish_sei_payload()
    }
}
