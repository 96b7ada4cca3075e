use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Instant,
};

use super::{
    ending::Ending,
    outlet::{Gone, Outlet},
};
use crate::{
    h264::{Loss, Reader},
    time::Monotonic,
};

/// Read at once at most. A pipe holds 64 KiB unless it was made larger.
const CHUNK: usize = 256 << 10;

/// Without a picture in so many bytes, somebody should be told.
const PATIENCE: u64 = 4 << 20;

/// How a stream ended.
#[derive(Debug)]
pub(super) enum Stop {
    /// The writer closed it.
    End,
    /// It can't be read.
    Failed(io::Error),
    /// Nobody wants pictures any more.
    Gone,
}

/// Reads an H.264 byte stream from a pipe to its end, and sends its pictures.
///
/// `name` is for the log: `the command "…"`.
pub(super) async fn pump(
    mut input: impl AsyncRead + Unpin,
    outlet: &mut Outlet,
    name: &str,
) -> Stop {
    let mut pump = Pump {
        reader: Reader::new(),
        ending: Ending::default(),
        loss: Loss::default(),
        name,
        told: false,
    };
    let stop = match pump.run(&mut input, outlet).await {
        Ok(stop) => stop,
        Err(Gone) => Stop::Gone,
    };
    outlet.reader_is_done(pump.reader.loss());
    stop
}

struct Pump<'a> {
    reader: Reader<Monotonic>,
    ending: Ending,
    /// What the reader had lost when last looked at.
    loss: Loss,
    name: &'a str,
    told: bool,
}

impl Pump<'_> {
    async fn run(
        &mut self,
        input: &mut (impl AsyncRead + Unpin),
        outlet: &mut Outlet,
    ) -> Result<Stop, Gone> {
        let mut buffer = vec![0; CHUNK];
        let mut dry_since = Instant::now();
        loop {
            let settle = self
                .reader
                .may_end_here()
                .and_then(|len| self.ending.settle(len));
            let read = tokio::select! {
                biased;
                read = input.read(&mut buffer) => read,
                () = outlet.closed() => return Err(Gone),
                () = tokio::time::sleep_until(dry_since + settle.unwrap_or_default()), if settle.is_some() => {
                    self.reader.flush();
                    self.send(outlet).await?;
                    continue;
                }
            };
            match read {
                Ok(0) => {
                    self.reader.flush();
                    self.send(outlet).await?;
                    return Ok(Stop::End);
                }
                Ok(len) => self.push(&buffer[..len], dry_since.elapsed()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Stop::Failed(error)),
            }
            self.send(outlet).await?;
            dry_since = Instant::now();
        }
    }

    fn push(&mut self, bytes: &[u8], wait: Duration) {
        self.ending.waited(self.reader.offset(), wait);
        self.reader.push(bytes, Monotonic::now());
    }

    /// Sends what became complete.
    async fn send(&mut self, outlet: &mut Outlet) -> Result<(), Gone> {
        let loss = self.reader.loss();
        if loss != self.loss {
            outlet.loss(loss);
            if loss.false_ends != self.loss.false_ends && self.ending.wrong() {
                tracing::warn!(
                    "{} wrote an access unit in pieces, with an unusual pause between them: a picture was broken, and from \
                     now on each waits for the next one, which adds a frame of delay",
                    self.name
                );
            }
        }
        while let Some(found) = self.reader.take() {
            self.ending
                .unit(found.end, found.unit.idr, found.unit.data.len(), found.mark);
            outlet.picture(found.unit, found.mark).await?;
        }
        if loss.dropped_units != self.loss.dropped_units {
            self.ending.disturbed(self.reader.offset());
        }
        self.loss = loss;
        if outlet.pictures == 0 && self.reader.offset() > PATIENCE && !self.told {
            self.told = true;
            tracing::warn!(
                "{} wrote {} bytes without an H.264 key frame that can be used ({} NAL units were bad): it has to write an \
                 H.264 byte stream (Annex B) with SPS, PPS and IDR pictures",
                self.name,
                self.reader.offset(),
                loss.bad_nals,
            );
        }
        Ok(())
    }
}
