//! See `picam_host::fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| picam_host::fuzzing::picture(data));
