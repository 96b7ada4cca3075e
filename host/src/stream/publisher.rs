use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{sync::watch, time::Instant};

use super::{
    clock::Clock,
    counts::Counts,
    packager::Packager,
    probe::{Finding, Probe},
};
use crate::{
    cmaf::{Timing, Wish},
    h264::ParameterSets,
    live::{Kind, Live, Names, Naming},
    picture::Slate,
    source::{Event, Nominal, Picture, Source},
    time::{Monotonic, Wall},
};

/// After so long without a picture a slate takes over.
const SILENCE: Duration = Duration::from_secs(2);

/// How often a key frame that is overdue is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long the first pictures of a presentation wait for the names of their objects: a call of a plugin takes
/// microseconds, and one that has no end is ended after 200 ms.
const FIRST_NAMES: Duration = Duration::from_millis(300);

/// What the publisher is told.
#[derive(Clone)]
pub struct Settings {
    /// What is wished of the timing. Another wish begins another presentation.
    pub wishes: watch::Receiver<Wish>,
    /// How many bytes of media the window may hold.
    pub window_bytes: u64,
    /// Who names objects; they are numbered if nobody does.
    pub naming: Option<Arc<dyn Naming>>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("wishes", &self.wishes)
            .field("window_bytes", &self.window_bytes)
            .finish_non_exhaustive()
    }
}

/// How the stream is, for people and for `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing has been published: the source hasn't shown enough yet.
    Waiting,
    /// Pictures come.
    Live,
    /// No pictures come; viewers see the slate, or the last picture until it takes over.
    Lost {
        /// When the last picture was captured.
        since: Wall,
        /// One line that viewers may read.
        reason: String,
        /// One line for the person who runs the host; it may hold a command line.
        cause: String,
    },
    /// The source came to its end.
    Ended,
}

/// Publishes one source.
#[derive(Debug)]
pub struct Publisher {
    source: Source,
    live: Arc<Live>,
    settings: Settings,
    health: watch::Sender<Health>,
    clock: Clock,
    /// Of the presentation that is to come; the packager has those of the one that runs.
    names: Names,
    /// What the presentation that runs was planned by.
    wish: Wish,
    phase: Phase,
    /// What was held back until the timing was fixed, and is to be published now, as long as somebody waits for names.
    held: VecDeque<Event>,
    names_due: Instant,
    silence: Silence,
    asked: Option<Instant>,
    /// Of the last picture: what a slate has to look like.
    last: Option<(Arc<ParameterSets>, Monotonic)>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Phase {
    Probing(Probe),
    Publishing(Box<Packager>),
}

/// What is shown while no pictures come.
#[derive(Debug)]
enum Silence {
    /// Pictures come. The slate takes over at this moment if none does until then.
    Awaiting(Instant),
    Slate {
        slate: Slate,
        /// When the last picture was captured.
        since: Wall,
        shown: u64,
        next: Instant,
    },
}

impl Publisher {
    /// A publisher of `source` into `live`, and how it does.
    pub fn new(
        source: Source,
        live: Arc<Live>,
        settings: Settings,
    ) -> (Self, watch::Receiver<Health>) {
        let (health, receiver) = watch::channel(Health::Waiting);
        let probe = Probe::new(source.nominal);
        let names = Names::new(settings.naming.clone(), Wall::now());
        let wish = *settings.wishes.borrow();
        let publisher = Self {
            source,
            live,
            settings,
            health,
            clock: Clock::start(),
            names,
            wish,
            phase: Phase::Probing(probe),
            held: VecDeque::new(),
            names_due: Instant::now(),
            silence: Silence::Awaiting(Instant::now() + SILENCE),
            asked: None,
            last: None,
            counts: Arc::default(),
        };
        (publisher, receiver)
    }

    /// Where it counts what it does.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Runs until the source ends.
    ///
    /// # Errors
    /// Pictures that can't be published at all; the message says why.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut wishes = self.settings.wishes.clone();
        loop {
            let wake = match &self.silence {
                Silence::Awaiting(at) => *at,
                Silence::Slate { next, .. } => *next,
            };
            let publishing = matches!(self.phase, Phase::Publishing(_)) && self.held.is_empty();
            // While the slate is shown there is nothing to begin another presentation with.
            let pictures = publishing && matches!(self.silence, Silence::Awaiting(_));
            tokio::select! {
                biased;
                event = self.next_event() => match event {
                    None | Some(Event::Ended) => break,
                    Some(event) => self.event(event)?,
                },
                Ok(()) = wishes.changed(), if pictures => self.follow(*wishes.borrow_and_update()),
                () = tokio::time::sleep_until(wake), if publishing => self.silent().await?,
            }
        }
        if let Phase::Probing(probe) = &mut self.phase
            && let Some(finding) = probe.end()
        {
            self.begin(finding)?;
            while !self.held.is_empty() {
                if let Some(event) = self.next_event().await {
                    self.event(event)?;
                }
            }
        }
        if let Phase::Publishing(packager) = &mut self.phase {
            packager.end(false);
        }
        tracing::info!("the source ended: players see the end of the stream");
        self.health.send_replace(Health::Ended);
        Ok(())
    }

    /// What was held back, then what the source reports. Dropping the future loses nothing.
    async fn next_event(&mut self) -> Option<Event> {
        if self.held.is_empty() {
            return self.source.events.recv().await;
        }
        if let Phase::Publishing(packager) = &mut self.phase {
            // In time or not: what has no name is numbered.
            let _ = tokio::time::timeout_at(self.names_due, packager.names().ready()).await;
        }
        self.held.pop_front()
    }

    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Picture(picture) => self.picture(picture),
            Event::Break { ref reason } => {
                tracing::info!("{reason}");
                match &mut self.phase {
                    Phase::Probing(probe) => probe.break_here(event),
                    Phase::Publishing(packager) => packager.break_here(),
                }
                Ok(())
            }
            Event::Lost { reason } => {
                tracing::warn!("{reason}");
                match &mut self.phase {
                    Phase::Probing(probe) => probe.forget(),
                    Phase::Publishing(packager) => packager.break_here(),
                }
                if self.last.is_some() {
                    self.lost(reason);
                }
                Ok(())
            }
            // The caller's loop ends with it.
            Event::Ended => Ok(()),
        }
    }

    fn picture(&mut self, picture: Picture) -> anyhow::Result<()> {
        self.last = Some((picture.unit.parameter_sets.clone(), picture.captured));
        match &mut self.phase {
            Phase::Probing(probe) => {
                let wish = *self.settings.wishes.borrow();
                let captured = self.clock.wall(picture.captured);
                for (kind, step) in [
                    (Kind::Init, wish.segment),
                    (Kind::Segment, wish.segment),
                    (Kind::Part, wish.part),
                ] {
                    self.names.foresee(kind, captured, step);
                }
                match probe.picture(picture) {
                    Some(finding) => self.begin(finding),
                    None => Ok(()),
                }
            }
            Phase::Publishing(_) => self.publish(&picture),
        }
    }

    /// Fixes the timing. What was held back is published next.
    fn begin(&mut self, finding: Finding) -> anyhow::Result<()> {
        self.wish = *self.settings.wishes.borrow();
        let timing = Timing::plan(&self.wish, &finding.observed);
        let id = presentation_id()?;
        tracing::info!(
            "presentation {id}: {:.3} pictures a second, key frames every {:?}; segments of {:?}, parts of up to {:?}",
            1.0 / timing.frame.as_secs_f64(),
            finding.observed.key_interval,
            timing.segment,
            timing.part_target,
        );
        self.counts.presentations.one();
        let packager = Packager::new(
            self.live.clone(),
            id,
            timing,
            std::mem::take(&mut self.names),
            self.settings.window_bytes,
            self.clock,
            finding.reorders,
        );
        let packager = packager.counting(self.counts.clone());
        self.phase = Phase::Publishing(Box::new(packager));
        self.held = finding.held.into();
        self.names_due = Instant::now() + FIRST_NAMES;
        Ok(())
    }

    fn publish(&mut self, picture: &Picture) -> anyhow::Result<()> {
        let Phase::Publishing(packager) = &mut self.phase else {
            return Ok(());
        };
        if matches!(self.silence, Silence::Slate { .. }) && !picture.unit.idr {
            // The slate has other parameter sets, so only an IDR picture can follow it.
            self.counts.after_slate.one();
            self.ask_for_key_frame();
            return Ok(());
        }
        self.silence = Silence::Awaiting(Instant::now() + SILENCE);
        let outgrown = packager
            .picture(picture)
            .context("can't publish the source's pictures")?;
        if packager.wants_key_frame() {
            self.ask_for_key_frame();
        }
        if *self.health.borrow() != Health::Live {
            if matches!(*self.health.borrow(), Health::Lost { .. }) {
                tracing::info!("pictures come again");
            }
            self.health.send_replace(Health::Live);
        }
        match outgrown {
            Ok(()) => Ok(()),
            Err(why) => {
                // What was known beforehand has turned out wrong.
                self.start_over(why.reason(), Nominal::default());
                Ok(())
            }
        }
    }

    /// Another timing is wished: it takes another presentation, since that of a presentation never changes.
    fn follow(&mut self, wish: Wish) {
        if wish != self.wish {
            self.start_over("plugins ask for another timing", self.source.nominal);
        }
    }

    /// Ends the presentation, whose timing can't hold, and probes for the next.
    fn start_over(&mut self, why: &str, nominal: Nominal) {
        let Phase::Publishing(packager) = &mut self.phase else {
            return;
        };
        packager.end(true);
        self.names = std::mem::take(packager.names());
        self.clock = packager.clock();
        tracing::warn!(
            "a new presentation begins with the next key frame, since {why}: players that don't follow `live.m3u8` have to \
             reopen it"
        );
        self.phase = Phase::Probing(Probe::new(nominal));
        self.ask_for_key_frame();
    }

    fn ask_for_key_frame(&mut self) {
        let now = Instant::now();
        if self.asked.is_none_or(|asked| now - asked >= ASK_AGAIN) {
            self.asked = Some(now);
            self.source.key_frames.ask();
        }
    }

    /// No picture came for long enough, or the slate's next part is due.
    async fn silent(&mut self) -> anyhow::Result<()> {
        if matches!(self.silence, Silence::Awaiting(_)) {
            self.show_slate().await?;
        }
        let Phase::Publishing(packager) = &mut self.phase else {
            return Ok(());
        };
        let Silence::Slate {
            slate,
            since,
            shown,
            next,
        } = &mut self.silence
        else {
            return Ok(());
        };
        let part = packager.part_target();
        // A part of a camera is published with its last picture: so is this one, that no date runs ahead of the clock.
        let began = Monotonic(Monotonic::now().0.saturating_sub(part.as_micros() as u64));
        packager.still(&slate.unit(*shown), began, *since)?;
        *shown += 1;
        *next = (*next + part).max(Instant::now());
        Ok(())
    }

    async fn show_slate(&mut self) -> anyhow::Result<()> {
        let (Some((sets, captured)), Phase::Publishing(packager)) =
            (self.last.clone(), &self.phase)
        else {
            return Ok(());
        };
        let group = packager.parts_a_segment();
        let (since, camera) = (self.clock().wall(captured), self.source.name.clone());
        if !matches!(*self.health.borrow(), Health::Lost { .. }) {
            let cause = format!(
                "no picture for {} s from {}",
                SILENCE.as_secs(),
                self.source.description
            );
            tracing::warn!("{cause}: the slate takes over");
            self.lost(cause);
        }
        let slate = tokio::task::spawn_blocking(move || {
            Slate::new(sets.width, sets.height, group, &camera, since)
        })
        .await
        .context("the slate could not be drawn")?
        .context("the slate could not be encoded")?;
        if let Phase::Publishing(packager) = &mut self.phase {
            packager.break_here();
        }
        self.silence = Silence::Slate {
            slate,
            since,
            shown: 0,
            next: Instant::now(),
        };
        Ok(())
    }

    /// The clock with the label that is in force.
    fn clock(&self) -> Clock {
        match &self.phase {
            Phase::Probing(_) => self.clock,
            Phase::Publishing(packager) => packager.clock(),
        }
    }

    /// Tells viewers. The cause is for the log and the operator alone: it may hold a command line.
    fn lost(&self, cause: String) {
        let since = self
            .last
            .as_ref()
            .map_or_else(Wall::now, |(_, captured)| self.clock().wall(*captured));
        let reason = format!("no pictures come from {}", self.source.name);
        self.health.send_replace(Health::Lost {
            since,
            reason,
            cause,
        });
    }
}

/// A name that never repeats, not even when the host starts anew with a clock that says 1970: 50 random bits.
fn presentation_id() -> anyhow::Result<Arc<str>> {
    let mut random = [0; 10];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .context("the kernel has no random numbers")?;
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let id: String = random
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect();
    Ok(id.into())
}
