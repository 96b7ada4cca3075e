use std::{fmt, mem, sync::Arc};

use tokio::sync::SetOnce;

use super::Chunk;

/// The chunks of a segment as they come: a place in a chain that one adds to and any number follow.
///
/// Whoever follows is woken by the very chunk he waits for, takes no lock to read, and shares the chunk's memory. What lies
/// before the place is kept by nobody, unless the window does.
#[derive(Clone)]
pub struct Chunks(Arc<Place>);

#[derive(Default)]
struct Place(SetOnce<Option<Step>>);

struct Step {
    chunk: Chunk,
    then: Chunks,
}

impl Chunks {
    /// The chunk that comes here and the place after it, once there is one; `None` once it is certain that none comes.
    pub async fn next(self) -> Option<(Chunk, Self)> {
        let step = self.0.0.wait().await.as_ref()?;
        Some((step.chunk.clone(), step.then.clone()))
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").finish_non_exhaustive()
    }
}

impl Drop for Place {
    /// One after the other: a chain as long as a segment would overflow the stack if each dropped the next.
    fn drop(&mut self) {
        let take = |place: &mut Self| mem::take(&mut place.0).into_inner().flatten();
        let mut step = take(self);
        while let Some(Step { then, .. }) = step {
            step = Arc::into_inner(then.0).and_then(|mut place| take(&mut place));
        }
    }
}

/// The end of the chain at which chunks are added. Dropping it is the end of the segment.
#[derive(Debug)]
pub(super) struct Growth {
    first: Chunks,
    end: Chunks,
}

impl Growth {
    pub(super) fn new() -> Self {
        let first = Chunks(Arc::default());
        Self {
            end: first.clone(),
            first,
        }
    }

    /// Where the segment begins.
    pub(super) fn first(&self) -> &Chunks {
        &self.first
    }

    /// Adds a chunk, and wakes those who wait for it.
    pub(super) fn push(&mut self, chunk: Chunk) {
        let then = Chunks(Arc::default());
        let end = mem::replace(&mut self.end, then.clone());
        end.set(Some(Step { chunk, then }));
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.end.set(None);
    }
}

impl Chunks {
    fn set(&self, step: Option<Step>) {
        let new = self.0.0.set(step).is_ok();
        debug_assert!(new, "the end of a chain is where nothing has come yet");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn chunk(text: &'static str) -> Chunk {
        Chunk {
            head: Bytes::from_static(b"head"),
            sample: Bytes::from_static(text.as_bytes()),
        }
    }

    async fn rest(mut at: Chunks) -> Vec<Bytes> {
        let mut samples = Vec::new();
        while let Some((chunk, then)) = at.next().await {
            samples.push(chunk.sample);
            at = then;
        }
        samples
    }

    #[tokio::test]
    async fn whoever_follows_sees_each_chunk_once_and_then_the_end() {
        let mut growth = Growth::new();
        growth.push(chunk("a"));
        let follower = tokio::spawn(rest(growth.first().clone()));
        tokio::task::yield_now().await;
        growth.push(chunk("b"));
        tokio::task::yield_now().await;
        growth.push(chunk("c"));
        let late = growth.first().clone();
        drop(growth);
        assert_eq!(follower.await.unwrap(), ["a", "b", "c"]);
        assert_eq!(rest(late).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn chunks_are_shared_and_not_copied() {
        let mut growth = Growth::new();
        let pushed = chunk("a");
        growth.push(pushed.clone());
        let (seen, _) = growth.first().clone().next().await.unwrap();
        assert_eq!(seen.sample.as_ptr(), pushed.sample.as_ptr());
    }

    #[test]
    fn a_chain_of_any_length_is_dropped_on_a_small_stack() {
        let mut growth = Growth::new();
        for _ in 0..1_000_000 {
            growth.push(chunk("a"));
        }
        std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || drop(growth))
            .unwrap()
            .join()
            .unwrap();
    }
}
