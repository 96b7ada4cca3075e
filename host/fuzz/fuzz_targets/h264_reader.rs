//! Whatever bytes come in, in whatever pieces: see `picam_host::h264::fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| picam_host::h264::fuzzing::h264_reader(data));
