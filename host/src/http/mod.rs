//! Serves documents, media and the page over HTTP/1.1 and HTTP/2.
