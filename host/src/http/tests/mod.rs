//! The server as viewers see it: a real one, asked over sockets, or over a pipe where time is made to pass.

mod addresses;
mod counting;
mod documents;
mod endless;
mod limits;
mod media;
mod overlay;
mod permission;
mod stage;
