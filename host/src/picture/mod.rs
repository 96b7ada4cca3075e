//! Pictures that the host makes itself: drawing and encoding.
