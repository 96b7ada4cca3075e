//! How the capture thread sleeps: until the device has something, or until somebody wants something of it.
//!
//! Orders come through channels whose other ends are asynchronous. The thread has no runtime; it polls their futures
//! itself, with a waker that rings an eventfd, which it waits for together with the device in one poll(2).

use std::{
    future::Future,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use tokio::sync::{mpsc, watch};

use crate::source::Event;

/// Why the thread woke up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Nobody wants the pictures any more.
    Stop,
    /// Somebody wants a key frame.
    KeyFrame,
    /// The descriptor can be read.
    Readable {
        /// It also reports an error or the end; reading tells more.
        broken: bool,
    },
    /// The time has come.
    Deadline,
}

/// Everything the thread can be woken by except the device.
pub(super) struct Orders {
    bell: Arc<Bell>,
    waker: Waker,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// `None` once nobody can ask any more.
    key_frame: Option<KeyFrame>,
}

/// Resolves to the receiver when somebody asks, so as to listen on; to `None` when nobody can.
type KeyFrame = Pin<Box<dyn Future<Output = Option<watch::Receiver<u64>>> + Send>>;

impl Orders {
    /// Stop when the receiver of `events` is dropped; a key frame with every change of `key_frames`.
    pub(super) fn new(
        events: mpsc::Sender<Event>,
        key_frames: watch::Receiver<u64>,
    ) -> io::Result<Self> {
        let bell = Arc::new(Bell(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?));
        Ok(Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            stop: Box::pin(async move { events.closed().await }),
            key_frame: Some(next(key_frames)),
        })
    }

    /// Sleeps until there is an order, `fd` has something to read, or `deadline` passes.
    pub(super) fn wait(
        &mut self,
        fd: BorrowedFd<'_>,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        self.sleep(Some(fd), deadline)
    }

    /// Sleeps until there is an order or `deadline` passes.
    pub(super) fn wait_for_orders(&mut self, deadline: Option<Instant>) -> io::Result<Woken> {
        self.sleep(None, deadline)
    }

    fn sleep(
        &mut self,
        fd: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        loop {
            if let Some(order) = self.order() {
                return Ok(order);
            }
            let timeout = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Ok(Woken::Deadline),
                left => left,
            };
            let timeout = timeout.map(|left| Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            let bell = PollFd::new(&self.bell.0, PollFlags::IN);
            // Without a descriptor the bell is waited for twice.
            let other = fd.map_or(bell.clone(), |fd| {
                PollFd::from_borrowed_fd(fd, PollFlags::IN)
            });
            let mut fds = [bell, other];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let [from_bell, from_fd] = fds.map(|fd| fd.revents());
            if !from_bell.is_empty() {
                self.bell.hush();
            }
            if fd.is_some() && !from_fd.is_empty() {
                // An order, if there is one too, is found with the next call: the bell was rung, but its future is
                // still ready.
                let broken = from_fd.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
                return Ok(Woken::Readable { broken });
            }
        }
    }

    fn order(&mut self) -> Option<Woken> {
        let mut context = Context::from_waker(&self.waker);
        if self.stop.as_mut().poll(&mut context).is_ready() {
            return Some(Woken::Stop);
        }
        match self.key_frame.as_mut()?.as_mut().poll(&mut context) {
            Poll::Pending => None,
            Poll::Ready(receiver) => {
                self.key_frame = receiver.map(next);
                self.key_frame.is_some().then_some(Woken::KeyFrame)
            }
        }
    }
}

fn next(mut key_frames: watch::Receiver<u64>) -> KeyFrame {
    Box::pin(async move {
        key_frames.changed().await.ok()?;
        Some(key_frames)
    })
}

/// An eventfd that polls readable from the first ring until it is hushed.
struct Bell(OwnedFd);

impl Bell {
    fn hush(&self) {
        // It fails only if nobody has rung.
        let _ = rustix::io::read(self.0.as_fd(), &mut [0u8; 8]);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // It fails only if the count is full, and then it rings already.
        let _ = rustix::io::write(self.0.as_fd(), &1u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::pipe;

    use super::*;
    use crate::source::KeyFrames;

    fn orders() -> (Orders, mpsc::Receiver<Event>, KeyFrames) {
        let (events, receiver) = mpsc::channel(1);
        let (asking, key_frames) = KeyFrames::new();
        (Orders::new(events, key_frames).unwrap(), receiver, asking)
    }

    /// A hang guard: nothing here waits for it.
    fn never() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn a_thread_that_sleeps_is_woken_by_an_order() {
        let (mut orders, receiver, asking) = orders();
        let (silent, _writer) = pipe().unwrap();
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            scope.spawn(move || {
                for _ in 0..2 {
                    tell.send(orders.wait(silent.as_fd(), never()).unwrap())
                        .unwrap();
                }
            });
            asking.ask();
            assert_eq!(told.recv().unwrap(), Woken::KeyFrame);
            drop(receiver);
            assert_eq!(told.recv().unwrap(), Woken::Stop);
        });
    }

    #[test]
    fn what_the_device_sends_wakes_too() {
        let (mut orders, _receiver, _asking) = orders();
        let (reader, writer) = pipe().unwrap();
        rustix::io::write(&writer, b"x").unwrap();
        let woken = orders.wait(reader.as_fd(), never()).unwrap();
        assert_eq!(woken, Woken::Readable { broken: false });
        rustix::io::read(&reader, &mut [0u8; 1]).unwrap();
        drop(writer);
        let woken = orders.wait(reader.as_fd(), never()).unwrap();
        assert_eq!(woken, Woken::Readable { broken: true });
    }

    #[test]
    fn several_requests_for_a_key_frame_are_one() {
        let (mut orders, receiver, asking) = orders();
        let (silent, _writer) = pipe().unwrap();
        asking.ask();
        asking.ask();
        assert_eq!(
            orders.wait(silent.as_fd(), never()).unwrap(),
            Woken::KeyFrame
        );
        drop(receiver);
        assert_eq!(orders.wait(silent.as_fd(), never()).unwrap(), Woken::Stop);
    }

    #[test]
    fn one_who_can_no_longer_ask_does_not_wake_anybody() {
        let (mut orders, _receiver, asking) = orders();
        let (silent, _writer) = pipe().unwrap();
        drop(asking);
        let now = Some(Instant::now());
        assert_eq!(orders.wait(silent.as_fd(), now).unwrap(), Woken::Deadline);
    }
}
