//! Whatever a viewer puts into a query or a path: see `picam_host::http::fuzzing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| picam_host::http::fuzzing::query(data));
