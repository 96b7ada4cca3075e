//! What is told, of a stream that stands still. What a real one tells, and who may ask, is tested with the binary.

use std::{collections::BTreeMap, sync::Arc};

use prometheus::proto::MetricType;
use tokio::sync::watch;

use super::{
    Plugins, Reloading, SourceFacts, State, exposition::Exposition, metrics, plugins::Plugin,
    process::Started, status::Status,
};
use crate::{
    figures::{Distribution, Times},
    plugin::{
        BadValue, Hook, HookStatus, LastReload, Metric, Outcome, PluginOrigin, PluginStatus,
        ReloadError, Reloads,
    },
    source::Damage,
    stream::Health,
    time::Wall,
};

struct OnePlugin;

impl Plugins for OnePlugin {
    fn status(&self) -> Vec<PluginStatus> {
        vec![PluginStatus {
            name: "clock".into(),
            version: "1.2.0".into(),
            summary: "Says \"when\"".into(),
            hooks: vec![HookStatus {
                hook: Hook::Overlay,
                times: Distribution {
                    count: 4,
                    seconds: 0.004,
                    within: vec![(0.001, 3), (0.01, 4)],
                },
                failures: 2,
                traps: 1,
            }],
            origin: PluginOrigin::Stock("clock.wasm"),
            generation: 3,
            on_probation: true,
            from_cache: false,
            calls: 4,
            failures: 2,
            traps: 1,
            restarts: 1,
            benched: 0,
            cache_hits: 0,
            last_error: Some("plugin clock: it trapped".into()),
            memory: 65_536,
            metrics: BTreeMap::from([("drawn".into(), Metric::Counter(7.0))]),
            reloads: Reloads {
                succeeded: 2,
                refused: 1,
                rolled_back: 0,
                last: Some(LastReload {
                    at: Wall(1_700_000_000_000_000),
                    outcome: Outcome::Refused {
                        cause: "no such file".into(),
                    },
                }),
            },
        }]
    }

    fn reload<'a>(&'a self, name: &'a str) -> Reloading<'a> {
        Box::pin(async move { Err(ReloadError::unknown(name, || ["clock"].into_iter())) })
    }

    fn set_value(&self, _: &str, _: Option<&[u8]>) -> Result<(), BadValue> {
        Err(BadValue::NoPlugin)
    }
}

fn state(health: Health) -> State {
    let damage = Damage {
        dropped_units: 5,
        late_units: 2,
        bad_nals: 1,
        restarts: 4,
    };
    State {
        output: None,
        plugins: Arc::new(OnePlugin),
        live: Arc::default(),
        health: watch::Sender::new(health).subscribe(),
        stream: Arc::default(),
        source: SourceFacts {
            name: "a command".into(),
            description: "exec:camera --password x".into(),
            damage: watch::Sender::new(damage).subscribe(),
            controls: None,
        },
        viewers: Arc::default(),
        token: None,
    }
}

fn lost() -> Health {
    Health::Lost {
        since: Wall(1_700_000_000_000_000),
        reason: "no pictures come from a command".into(),
        cause: "`camera` ended with code 3".into(),
    }
}

fn collected() -> Exposition {
    metrics::collect(&state(lost()), &Started::now())
}

/// What `promtool check metrics` asks for, and what Prometheus' guide on naming says.
#[test]
fn names_and_units_keep_to_the_conventions_of_prometheus() {
    let collected = collected();
    let mut names: Vec<&str> = Vec::new();
    for family in collected.families() {
        let (name, kind) = (family.name(), family.get_field_type());
        names.push(name);
        assert!(
            name.starts_with("picam_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            kind == MetricType::COUNTER,
            "{name}"
        );
        for other in [
            "_ms", "_millis", "_kb", "_percent", "_count", "_sum", "_bucket",
        ] {
            assert!(
                !name.ends_with(other),
                "{name}: seconds and bytes are the units"
            );
        }
        assert!(family.help().ends_with('.'), "{name}: {}", family.help());
        let labels: Vec<Vec<_>> = family
            .get_metric()
            .iter()
            .map(|metric| {
                let labels = metric.get_label().iter();
                labels
                    .map(|label| (label.name().to_owned(), label.value().to_owned()))
                    .collect()
            })
            .collect();
        for (at, sample) in labels.iter().enumerate() {
            assert!(
                !labels[..at].contains(sample),
                "{name} has {sample:?} twice"
            );
        }
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "every family is told once: {names:?}");
}

#[test]
fn metrics_tell_what_the_plugins_and_the_source_count() {
    let text = collected().text().unwrap();
    for line in [
        r#"picam_stream_state{state="camera-lost"} 1"#,
        r#"picam_stream_state{state="live"} 0"#,
        r#"picam_stream_dropped_pictures_total{cause="damaged"} 3"#,
        r#"picam_stream_dropped_pictures_total{cause="late"} 2"#,
        "picam_source_restarts_total 4",
        r#"picam_plugin_calls_total{plugin="clock",hook="overlay"} 4"#,
        r#"picam_plugin_call_duration_seconds_bucket{plugin="clock",hook="overlay",le="0.001"} 3"#,
        r#"picam_plugin_traps_total{plugin="clock",hook="overlay"} 1"#,
        r#"picam_plugin_generation{plugin="clock"} 3"#,
        r#"picam_plugin_memory_bytes{plugin="clock"} 65536"#,
        r#"picam_plugin_reloads_total{plugin="clock",outcome="refused"} 1"#,
        r#"picam_plugin_custom{plugin="clock",name="drawn"} 7"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(
        !text.contains("picam_stream_window_bytes"),
        "there is no window yet"
    );
}

#[test]
fn the_operator_learns_why_the_camera_is_lost_and_viewers_words_are_not_repeated() {
    let status = Status::of(&state(lost()), &Started::now());
    let status = serde_json::to_value(&status).unwrap();
    assert_eq!(status["stream"]["state"], "camera-lost");
    assert_eq!(status["stream"]["cause"], "`camera` ended with code 3");
    assert_eq!(status["stream"]["lost_since"], "2023-11-14T22:13:20.000Z");
    assert_eq!(status["stream"]["window"], serde_json::Value::Null);
    assert_eq!(
        status["stream"]["source"]["description"],
        "exec:camera --password x"
    );
}

#[test]
fn a_plugin_is_told_with_the_outcome_of_its_last_reload() {
    let [plugin] = OnePlugin.status().try_into().unwrap();
    let plugin = serde_json::to_value(Plugin::from(plugin)).unwrap();
    assert_eq!(plugin["hooks"][0]["name"], "overlay");
    assert_eq!(plugin["hooks"][0]["p50_seconds"], 0.001);
    assert_eq!(plugin["reloads"]["last"]["outcome"], "refused");
    assert_eq!(plugin["reloads"]["last"]["cause"], "no such file");
    assert_eq!(plugin["metrics"]["drawn"], 7.0);
    assert_eq!(plugin["origin"], "clock.wasm (built in)");
}

#[test]
fn a_plugin_that_was_never_called_has_no_mean() {
    let mut status = OnePlugin.status().remove(0);
    status.hooks[0].times = Times::new(&[0.1]).get();
    let plugin = serde_json::to_value(Plugin::from(status)).unwrap();
    assert_eq!(plugin["hooks"][0]["mean_seconds"], serde_json::Value::Null);
    assert_eq!(plugin["hooks"][0]["p99_seconds"], serde_json::Value::Null);
}
