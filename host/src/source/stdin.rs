//! `-`: an H.264 byte stream on standard input. Its end is the end of the stream.

use std::{
    io::{self, IsTerminal},
    os::fd::{AsFd, OwnedFd},
};

use anyhow::{Context, ensure};
use rustix::fs::{FileType, fstat};
use tokio::{
    io::AsyncRead,
    net::{UnixStream, unix::pipe},
};

use super::{
    Nominal, Source,
    outlet::Outlet,
    pipe::{Stop, pump},
};

/// Starts reading standard input.
///
/// # Errors
///
/// If it is a terminal, or closed.
pub fn open() -> anyhow::Result<Source> {
    let stdin = io::stdin();
    ensure!(
        !stdin.is_terminal(),
        "standard input is a terminal: pipe an H.264 stream into it, such as `rpicam-vid -t 0 --inline --flush -o - | picam-host \
         --source -`"
    );
    let fd = stdin
        .as_fd()
        .try_clone_to_owned()
        .context("can't read standard input")?;
    open_fd(fd)
}

fn open_fd(fd: OwnedFd) -> anyhow::Result<Source> {
    let kind = FileType::from_raw_mode(fstat(&fd).context("can't read standard input")?.st_mode);
    let (outlet, source) =
        Outlet::new("standard input", "standard input, H264", Nominal::default());
    let wait = "can't wait for bytes on standard input";
    // Tokio's own standard input reads in a thread that can't be stopped, which would keep the host from ending.
    match kind {
        FileType::Fifo => {
            enlarge(&fd);
            start(pipe::Receiver::from_owned_fd(fd).context(wait)?, outlet);
        }
        FileType::Socket => {
            let socket = std::os::unix::net::UnixStream::from(fd);
            socket.set_nonblocking(true).context(wait)?;
            start(UnixStream::from_std(socket).context(wait)?, outlet);
        }
        _ => {
            if kind == FileType::RegularFile {
                tracing::warn!(
                    "standard input is a file, and read as fast as it can be: `--source file:PATH` plays one in real time"
                );
            }
            start(tokio::fs::File::from_std(fd.into()), outlet);
        }
    }
    Ok(source)
}

fn start(input: impl AsyncRead + Unpin + Send + 'static, mut outlet: Outlet) {
    tokio::spawn(async move {
        let stop = pump(input, &mut outlet, "the program that feeds standard input").await;
        finish(stop, outlet).await;
    });
}

async fn finish(stop: Stop, mut outlet: Outlet) {
    match stop {
        Stop::Gone => return,
        Stop::End => {}
        Stop::Failed(error) => tracing::error!("standard input can't be read any more: {error}"),
    }
    // Whether anybody hears it doesn't matter any more.
    let _ = outlet.ended().await;
}

/// Makes the pipe hold a whole key frame, so that its writer needn't wait for us in the middle of one. If that may not be
/// (a limit per user), or it is no pipe, it works as well, with more waits.
pub(super) fn enlarge(pipe: impl AsFd) {
    const ENOUGH: usize = 1 << 20;
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(pipe, ENOUGH) {
        tracing::debug!("the pipe stays as it is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::source::Event;

    const STREAM: &[u8] = include_bytes!("../../tests/data/h264/baseline.h264");

    async fn pictures(mut source: Source) -> usize {
        let mut pictures = 0;
        loop {
            match source.events.recv().await.expect("it says that it ended") {
                Event::Picture(_) => pictures += 1,
                Event::Ended => return pictures,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn the_end_of_a_pipe_ends_the_stream_with_its_last_picture() {
        let (reader, mut writer) = io::pipe().unwrap();
        let source = open_fd(reader.into()).unwrap();
        let thread = std::thread::spawn(move || writer.write_all(STREAM).unwrap());
        assert_eq!(pictures(source).await, 24);
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_file_on_standard_input_is_read_to_its_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(STREAM).unwrap();
        let source = open_fd(std::fs::File::open(file.path()).unwrap().into()).unwrap();
        assert_eq!(pictures(source).await, 24);
    }

    #[tokio::test]
    async fn a_socket_does_as_well_as_a_pipe() {
        let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let source = open_fd(reader.into()).unwrap();
        let thread = std::thread::spawn(move || writer.write_all(STREAM).unwrap());
        assert_eq!(pictures(source).await, 24);
        thread.join().unwrap();
    }
}
