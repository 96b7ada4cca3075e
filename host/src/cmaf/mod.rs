//! CMAF as bytes: init segments and chunks (ISO/IEC 23000-19), and the timing of samples.
