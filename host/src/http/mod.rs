//! Serves documents, media and the page over HTTP/1.1 and HTTP/2.
//!
//! A connection is admitted (`listen`), secured (`secure`, where TLS is spoken), watched (`connection`, `activity`) and asked (`route`). What is asked for is
//! looked up by name, never joined to a file path: a document that a plugin writes (`documents`, which makes one unit of
//! work of all who ask the same), a media object of the live window (`media`), the stream without an end (`endless`), a file
//! of the page, or `/healthz`. `body` sends media out of the memory that the window shares; nothing here copies it.
//!
//! Before any of it but `/healthz` is looked up, whoever decides who may watch is asked (`knock` reads what of the request
//! that depends on, `pass` asks): without a permission, nobody learns so much as which addresses there are.
//!
//! A request may be *held* until the window reaches what it asks for. It ends with that, with the viewer hanging up,
//! after three target durations, or when the server stops, whichever is first.

mod activity;
mod body;
mod conditions;
mod connection;
mod counts;
mod document;
mod documents;
mod endless;
pub(crate) mod fuzzing;
mod hold;
mod knock;
mod letter;
mod listen;
mod media;
mod overlay;
mod pass;
mod query;
mod range;
mod reply;
mod route;
mod secure;
mod server;
mod state;

pub use counts::{Counts, Kind, Requests, Traffic};
pub use documents::{Documents, Rendering};
pub use listen::{At, Place};
pub use pass::{Asking, Guard};
pub use server::Server;
pub use state::{Health, Limits, Page, PageFile, State};
pub(crate) use {
    hold::Phase,
    listen::{Listeners, Peer, Site, could_listen},
    reply::{Response, header_only},
};

/// The fields of a query, decoded, in its order; `None` if they can't be.
pub(crate) fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    query::all(query).ok()
}

#[cfg(test)]
mod tests;
