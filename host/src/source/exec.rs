//! `exec:COMMAND`: a command that writes an H.264 byte stream to its standard output, run by `sh -c` and started again
//! whenever it ends.
//!
//! A command line is often a pipeline, so the command has a process group of its own, which is ended as a whole: asked
//! first, then killed. If the task itself is dropped, as when the runtime ends, the group is killed at once. What the
//! command says on its standard error goes to the log, not faster than people can read.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, Command},
    time::{Instant, timeout},
};

use super::{
    Nominal, Source,
    complaints::Complaints,
    outlet::{Gone, Outlet},
    pipe::{Stop, pump},
    stdin::enlarge,
};

/// Waited before the first new start; twice as long before each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A command that gave pictures for this long was well: the next pause is the first again.
const HEALTHY: Duration = Duration::from_secs(10);
/// How long a command that was asked to end may take.
const GRACE: Duration = Duration::from_secs(1);

/// Starts the command.
///
/// # Errors
///
/// If there is no shell to run it. A command that doesn't work isn't one: it is started again and again, and the events
/// say what came of it.
pub fn open(command: &str) -> anyhow::Result<Source> {
    ensure!(
        !command.trim().is_empty(),
        "`exec:` needs a command, such as `exec:rpicam-vid -t 0 --inline --flush -o -`"
    );
    let running = Running::start(command)?;
    let (outlet, source) = Outlet::new(
        "command",
        format_args!("`{command}`, H264"),
        Nominal::default(),
    );
    tokio::spawn(supervise(command.to_owned(), running, outlet));
    Ok(source)
}

async fn supervise(command: String, first: Running, mut outlet: Outlet) {
    let name = format!("the command `{command}`");
    let mut pause = FIRST_PAUSE;
    let mut next = Ok(first);
    loop {
        let began = Instant::now();
        let reason = match next {
            Ok(mut running) => {
                let stop = pump(&mut running.stdout, &mut outlet, &name).await;
                // One that closed its output is about to end by itself; how it does is worth knowing.
                let patience = if matches!(stop, Stop::End) {
                    GRACE
                } else {
                    Duration::ZERO
                };
                let status = running.end(patience).await;
                match stop {
                    Stop::Gone => return,
                    Stop::Failed(error) => format!("{name} can't be read from: {error}"),
                    Stop::End => format!("{name} ended{}", describe(status, &running.complaints)),
                }
            }
            Err(error) => format!("{error:#}"),
        };
        if began.elapsed() >= HEALTHY && outlet.pictures > 0 {
            pause = FIRST_PAUSE;
        }
        let reason = format!("{reason}; starting it again in {pause:?}");
        if outlet.lost(reason).await == Err(Gone) {
            return;
        }
        tokio::select! {
            () = outlet.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        next = Running::start(&command);
    }
}

fn describe(status: io::Result<ExitStatus>, complaints: &Complaints) -> String {
    let status = match status {
        Ok(status) if status.success() => String::new(),
        Ok(status) => format!(" with {status}"),
        Err(error) => format!(" (it isn't known how: {error})"),
    };
    match complaints.last() {
        Some(last) => format!("{status}; the last it said was {last:?}"),
        None => status,
    }
}

/// A command that runs.
struct Running {
    child: Child,
    stdout: tokio::process::ChildStdout,
    complaints: Complaints,
    group: Group,
}

impl Running {
    fn start(command: &str) -> anyhow::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start `sh -c` to run `{command}`"))?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
        let (stdout, stderr) = child
            .stdout
            .take()
            .zip(child.stderr.take())
            .context("the command's output was not connected")?;
        enlarge(&stdout);
        Ok(Self {
            child,
            stdout,
            complaints: Complaints::listen(stderr),
            group,
        })
    }

    /// Ends the command if it doesn't end by itself within `patience`, and all that belongs to it.
    async fn end(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let status = match timeout(patience, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.group.signal(Signal::TERM);
                match timeout(GRACE, self.child.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        self.group.signal(Signal::KILL);
                        self.child.wait().await
                    }
                }
            }
        };
        // What else is left of a pipeline. While any of it lives nobody else gets the group's number, and if nothing does,
        // it isn't given out again at once.
        self.group.signal(Signal::KILL);
        self.group.0 = None;
        self.complaints.finish().await;
        status
    }
}

/// A process group, killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It may be gone already, which is as good.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::source::{Event, Picture, pipe::tests::units};

    const STREAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/h264/small.h264");
    /// Access units in it.
    const UNITS: usize = 8;
    /// Far more than anything here takes, so that a test that hangs fails.
    const GUARD: Duration = Duration::from_secs(120);

    /// Pictures until the command ends, and what is said of its end.
    async fn until_lost(source: &mut Source) -> (Vec<Picture>, String) {
        let mut pictures = Vec::new();
        loop {
            let event = timeout(GUARD, source.events.recv())
                .await
                .expect("the source says something");
            match event.expect("the source goes on") {
                Event::Picture(picture) => pictures.push(picture),
                Event::Lost { reason } => return (pictures, reason),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_command_that_ends_is_lost_with_its_last_words_and_comes_back() {
        let command = format!("cat {STREAM}; echo the lens cap is on >&2; exit 3");
        let mut source = open(&command).unwrap();
        for restarts in 0..3 {
            let (pictures, reason) = until_lost(&mut source).await;
            assert_eq!(pictures.len(), UNITS);
            assert!(pictures[0].unit.idr);
            assert!(reason.contains("exit status: 3"), "{reason}");
            assert!(reason.contains("the lens cap is on"), "{reason}");
            assert!(reason.contains(&command), "{reason}");
            assert_eq!(source.damage.borrow().restarts, restarts);
        }
    }

    #[tokio::test]
    async fn viewers_are_not_told_the_command() {
        let source = open("sleep 60 # --password=secret").unwrap();
        assert!(source.description.contains("secret"));
        assert_eq!(source.name, "command");
    }

    #[tokio::test]
    async fn a_command_that_does_not_exist_says_so_and_is_tried_again_later_and_later() {
        let mut source = open("/nowhere/rpicam-vid -o -").unwrap();
        for pause in ["200ms", "400ms", "800ms"] {
            let (pictures, reason) = until_lost(&mut source).await;
            assert!(pictures.is_empty());
            assert!(reason.contains("/nowhere/rpicam-vid"), "{reason}");
            assert!(reason.ends_with(pause), "{reason}");
        }
        assert_eq!(source.damage.borrow().restarts, 0);
    }

    /// Puts each access unit into a file of its own, and returns a shell's list of them.
    fn in_files(directory: &Path) -> String {
        for (number, unit) in units().iter().enumerate() {
            fs::write(directory.join(format!("{number:03}")), unit).unwrap();
        }
        format!("{}/*", directory.display())
    }

    #[tokio::test]
    async fn what_another_process_writes_whole_comes_out_whole() {
        let directory = tempfile::tempdir().unwrap();
        let files = in_files(directory.path());
        let mut source = open(&format!("for f in {files}; do cat $f; sleep 0.02; done")).unwrap();
        let (pictures, _) = until_lost(&mut source).await;
        let damage = *source.damage.borrow();
        // `cat` writes up to 128 KiB at once, and the key frames have more: on a busy machine one may be ended between.
        assert_eq!(
            pictures.len() as u64 + damage.dropped_units,
            units().len() as u64
        );
        assert!(
            pictures
                .windows(2)
                .all(|pair| pair[0].captured <= pair[1].captured)
        );
    }

    #[tokio::test]
    async fn what_another_process_writes_in_pieces_is_either_whole_or_counted() {
        let directory = tempfile::tempdir().unwrap();
        let files = in_files(directory.path());
        let pieces = "split -b 32768 --filter='cat; sleep 0.004'";
        let mut source = open(&format!(
            "for f in {files}; do {pieces} $f; sleep 0.02; done"
        ))
        .unwrap();
        let (pictures, _) = until_lost(&mut source).await;
        let damage = *source.damage.borrow();
        assert_eq!(
            pictures.len() as u64 + damage.dropped_units,
            units().len() as u64
        );
    }

    #[tokio::test]
    async fn what_another_process_dribbles_comes_out_whole() {
        let mut source = open(&format!("dd if={STREAM} bs=1 status=none")).unwrap();
        let (pictures, _) = until_lost(&mut source).await;
        assert_eq!(pictures.len(), UNITS);
        assert_eq!(source.damage.borrow().bad_nals, 0);
    }

    #[tokio::test]
    async fn dropping_the_source_ends_every_process_of_the_command() {
        let directory = tempfile::tempdir().unwrap();
        let pids = directory.path().join("pids");
        // One that ignores being asked, in a pipeline, below a shell that waits.
        let mut source = open(&format!(
            "sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' > {} & (cat {STREAM}; sleep 1000) | cat; wait",
            pids.display()
        ))
        .unwrap();
        let first = timeout(GUARD, source.events.recv()).await.unwrap();
        assert!(matches!(first, Some(Event::Picture(_))));
        let pid = timeout(GUARD, async {
            loop {
                if let Ok(pid) = fs::read_to_string(&pids)
                    .unwrap_or_default()
                    .trim()
                    .parse::<i32>()
                {
                    return pid;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        drop(source);
        let stat = format!("/proc/{pid}/stat");
        timeout(GUARD, async {
            // Gone, or dead and not yet waited for.
            while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("the process ends");
    }

    #[tokio::test]
    async fn an_empty_command_is_refused() {
        let error = open(" ").unwrap_err().to_string();
        assert!(error.contains("rpicam-vid"), "{error}");
    }
}
