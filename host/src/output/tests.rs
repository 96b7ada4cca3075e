use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;

use super::*;
use crate::{
    h264::ParameterSets,
    live::{InitSegment, Media, Period, Position, Presentation, Rendition, Segment, Timing},
    plugin::Inputs,
    time::{MediaTime, Monotonic, PresentationClock, Wall},
};

const LISTED: u64 = 5;

/// The last five of so many segments, and one that grows.
fn window(id: &str, complete: u64, ended: bool) -> Snapshot {
    let init = Arc::new(InitSegment {
        path: "init.mp4".into(),
        data: "init".into(),
        parameter_sets: Arc::new(ParameterSets::example(1280)),
    });
    let period = Arc::new(Period {
        sequence: 0,
        start: MediaTime(0),
        segment: None,
        chunk: Duration::from_millis(40),
        template: None,
    });
    let segment = |sequence: u64| {
        let name = format!("day/{sequence}.m4s");
        Arc::new(Segment {
            sequence,
            path: name.as_str().into(),
            init: init.clone(),
            period: period.clone(),
            start: MediaTime(sequence * 1_000_000),
            captured: Wall(sequence * 1_000_000),
            duration: Duration::from_secs(1),
            lost_since: None,
            discontinuity: false,
            complete: sequence < complete,
            parts: Vec::new(),
            media: Media {
                pieces: vec![name.clone().into(), name.clone().into()],
                len: 2 * name.len() as u64,
            },
        })
    };
    let last = if ended { complete } else { complete + 1 };
    Snapshot {
        presentation: Arc::new(Presentation {
            id: id.into(),
            clock: PresentationClock::new(Monotonic(0), Wall(0)),
            timing: Timing {
                part_target: Duration::from_millis(200),
                target_duration: 0,
                segment: Duration::from_secs(1),
                frame: Duration::from_millis(40),
                window: Duration::from_secs(5),
            },
        }),
        position: Position {
            sequence: complete,
            parts: 0,
        },
        ended,
        superseded: false,
        rendition: Rendition::default(),
        segments: (complete.saturating_sub(LISTED)..last)
            .map(segment)
            .collect(),
        discontinuity_sequence: 0,
        next_part: None,
        objects: Arc::default(),
    }
}

/// Lists segments. `top` says where.
#[derive(Default)]
struct Policy {
    broken: AtomicBool,
}

impl Documents for Policy {
    fn documents(&self) -> Vec<FileDocument> {
        [("top", Scope::Stream), ("list", Scope::Presentation)]
            .map(|(path, scope)| FileDocument {
                document: DocumentSpec {
                    path: path.into(),
                    scope,
                    content_type: "text/plain".into(),
                    reads: Inputs::default(),
                    stale_if_error: false,
                },
                request: Request::default(),
            })
            .to_vec()
    }

    fn render<'a>(
        &'a self,
        document: &'a FileDocument,
        window: &'a Arc<Snapshot>,
    ) -> Rendering<'a> {
        Box::pin(async move {
            if self.broken.load(Ordering::Relaxed) {
                return Ok(Answer::Refuse {
                    status: 503,
                    reason: "broken by the test".into(),
                });
            }
            let body = match document.document.scope {
                Scope::Stream => format!("{}/list", window.presentation.id),
                Scope::Presentation => {
                    let complete = window.segments.iter().filter(|segment| segment.complete);
                    let names: Vec<_> = complete.map(|segment| &*segment.path).collect();
                    format!("{} {}", names.join(" "), window.ended)
                }
            };
            Ok(Answer::Document {
                body: Bytes::from(body),
                max_age: 1,
            })
        })
    }
}

struct Stage {
    _parent: tempfile::TempDir,
    path: PathBuf,
    live: Arc<Live>,
    policy: Arc<Policy>,
    counts: Arc<Counts>,
}

impl Stage {
    fn start() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("out");
        let output = Output::open(&path).unwrap();
        let stage = Self {
            _parent: parent,
            path,
            live: Arc::default(),
            policy: Arc::default(),
            counts: output.counts().clone(),
        };
        tokio::spawn(output.run(stage.live.clone(), stage.policy.clone()));
        stage
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }

    /// Publishes a window, and waits until a condition holds.
    async fn publish(&self, window: Snapshot, condition: impl Fn(&Self) -> bool) {
        self.live.publish(window);
        self.until(condition).await;
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "it never happened"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn lists(&self, list: &str) -> bool {
        self.read("a/list").as_deref() == Some(list)
    }
}

#[tokio::test]
async fn documents_list_what_is_there_and_what_they_cease_to_list_goes() {
    let stage = Stage::start();
    for complete in 1..20 {
        let first = u64::saturating_sub(complete, LISTED);
        let names: Vec<_> = (first..complete)
            .map(|sequence| format!("day/{sequence}.m4s"))
            .collect();
        let list = format!("{} false", names.join(" "));
        stage
            .publish(window("a", complete, false), |stage| stage.lists(&list))
            .await;
        assert_eq!(stage.read("top").as_deref(), Some("a/list"));
        assert_eq!(stage.read("a/init.mp4").as_deref(), Some("init"));
        for name in names {
            assert_eq!(stage.read(&format!("a/{name}")), Some(name.repeat(2)));
        }
        // What left the list left the directory, with the target duration of nothing that is stated here.
        stage
            .until(|stage| {
                fs::read_dir(stage.path.join("a/day")).unwrap().count()
                    == (complete - first) as usize
            })
            .await;
        assert!(
            !stage.path.join(format!("a/day/{complete}.m4s")).exists(),
            "the growing one"
        );
    }
    assert_eq!(stage.counts.failures.get(), 0);
}

#[tokio::test]
async fn another_presentation_leaves_the_end_of_the_one_before_to_be_read() {
    let stage = Stage::start();
    stage
        .publish(window("a", 3, false), |stage| stage.read("top").is_some())
        .await;
    stage.live.publish(window("a", 4, true));
    stage
        .publish(window("b", 1, false), |stage| {
            stage.read("top").as_deref() == Some("b/list")
        })
        .await;
    let end = "day/0.m4s day/1.m4s day/2.m4s day/3.m4s true";
    assert!(stage.lists(end), "{:?}", stage.read("a/list"));
    assert!(stage.path.join("a/day/3.m4s").exists());
}

#[tokio::test]
async fn what_cannot_be_written_leaves_the_documents_and_is_made_up_for() {
    let stage = Stage::start();
    stage
        .publish(window("a", 2, false), |stage| {
            stage.lists("day/0.m4s day/1.m4s false")
        })
        .await;
    // Where a segment is to lie, there is a directory: root, too, fails at that.
    let obstacle = stage.path.join("a/day/2.m4s");
    fs::create_dir_all(obstacle.join("in the way")).unwrap();
    stage
        .publish(window("a", 3, false), |stage| {
            stage.counts.failures.get() == 1
        })
        .await;
    assert!(stage.lists("day/0.m4s day/1.m4s false"));
    fs::remove_dir_all(&obstacle).unwrap();
    stage
        .publish(window("a", 4, false), |stage| {
            stage.lists("day/0.m4s day/1.m4s day/2.m4s day/3.m4s false")
        })
        .await;
    assert!(obstacle.is_file());
}

#[tokio::test]
async fn a_plugin_that_fails_leaves_its_documents_as_they_are() {
    let stage = Stage::start();
    stage
        .publish(window("a", 2, false), |stage| stage.read("top").is_some())
        .await;
    stage.policy.broken.store(true, Ordering::Relaxed);
    stage
        .publish(window("a", 3, false), |stage| {
            stage.counts.failures.get() == 1
        })
        .await;
    assert!(stage.lists("day/0.m4s day/1.m4s false"));
    assert!(
        stage.path.join("a/day/2.m4s").exists(),
        "media is there when the plugin is back"
    );
    stage.policy.broken.store(false, Ordering::Relaxed);
    stage
        .publish(window("a", 4, false), |stage| {
            stage.lists("day/0.m4s day/1.m4s day/2.m4s day/3.m4s false")
        })
        .await;
}

#[tokio::test]
async fn a_directory_that_is_lost_is_made_anew_with_all_that_is_needed() {
    let stage = Stage::start();
    stage
        .publish(window("a", 3, false), |stage| stage.read("top").is_some())
        .await;
    fs::remove_dir_all(&stage.path).unwrap();
    stage
        .publish(window("a", 4, false), |stage| stage.read("top").is_some())
        .await;
    for name in ["a/list", "a/init.mp4", "a/day/0.m4s", "a/day/3.m4s"] {
        assert!(stage.path.join(name).exists(), "{name}");
    }
}
