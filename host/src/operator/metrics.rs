//! What `/metrics` says: names and units after Prometheus' conventions.

use super::{
    State,
    exposition::{Exposition, Labels},
    plugins::value,
    process::Started,
    status::{Drops, STATES, Window, name},
};
use crate::plugin::PluginStatus;

/// All of it, as of now.
pub(super) fn collect(state: &State, started: &Started) -> Exposition {
    let mut to = Exposition::default();
    to.gauge(
        "picam_build_info",
        "Always 1; the label says which picam-host this is.",
        [(label("version", env!("CARGO_PKG_VERSION")), 1.0)],
    );
    stream(state, &mut to);
    viewers(state, &mut to);
    files(state, &mut to);
    plugins(&state.plugins.status(), &mut to);
    started.expose(&mut to);
    to
}

fn label(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

fn alone(value: u64) -> [(Labels, f64); 1] {
    [(Vec::new(), value as f64)]
}

fn stream(state: &State, to: &mut Exposition) {
    let counts = &state.stream;
    let current = name(&state.health.borrow());
    to.gauge(
        "picam_stream_state",
        "1 for the state that the stream is in, 0 for the others.",
        STATES.map(|known| (label("state", known), f64::from(known == current))),
    );
    for (name, help, value) in [
        (
            "picam_stream_pictures_total",
            "Pictures (access units) of the source that were published.",
            counts.pictures.get(),
        ),
        (
            "picam_stream_key_frames_total",
            "IDR pictures among them.",
            counts.key_frames.get(),
        ),
        (
            "picam_stream_published_bytes_total",
            "Bytes of the pictures that were published.",
            counts.bytes.get(),
        ),
        (
            "picam_stream_discontinuities_total",
            "Segments that don't continue the one before.",
            counts.discontinuities.get(),
        ),
        (
            "picam_stream_presentations_total",
            "Presentations that were begun: stretches of the stream over which timing holds.",
            counts.presentations.get(),
        ),
    ] {
        to.counter(name, help, alone(value));
    }
    to.counter(
        "picam_stream_slate_seconds_total",
        "How long the slate was shown instead of the camera.",
        [(Vec::new(), counts.slate().as_secs_f64())],
    );
    let drops = Drops::of(state);
    to.counter(
        "picam_stream_dropped_pictures_total",
        "Pictures that were not published: damaged or of no use without a key frame, not taken in time, or behind the slate \
         before a key frame.",
        [
            ("damaged", drops.damaged),
            ("late", drops.late),
            ("after_slate", drops.after_slate),
        ]
        .map(|(cause, count)| (label("cause", cause), count as f64)),
    );
    let damage = *state.source.damage.borrow();
    to.counter(
        "picam_stream_bad_nal_units_total",
        "Runs of bytes that belong to no NAL unit, and NAL units that can't be parsed.",
        alone(damage.bad_nals),
    );
    to.counter(
        "picam_source_restarts_total",
        "Times the source was lost and came back.",
        alone(damage.restarts),
    );
    to.histogram(
        "picam_stream_publish_delay_seconds",
        "From a picture's capture to the end of its part, when viewers can have it.",
        [(Vec::new(), counts.delay.get())],
    );
    let Some(window) = state.live.current().map(|window| Window::of(&window)) else {
        return;
    };
    for (name, help, value) in [
        (
            "picam_stream_window_seconds",
            "Length of the media that is listed.",
            window.seconds,
        ),
        (
            "picam_stream_window_segments",
            "Segments that are listed, with the growing one.",
            window.segments as f64,
        ),
        (
            "picam_stream_window_bytes",
            "Bytes of media that can be asked for: listed, or listed lately.",
            window.bytes as f64,
        ),
        (
            "picam_stream_position_sequence",
            "Media sequence number of the growing segment.",
            window.position.sequence as f64,
        ),
        (
            "picam_stream_position_parts",
            "Parts of the growing segment that are complete.",
            f64::from(window.position.parts),
        ),
    ] {
        to.gauge(name, help, [(Vec::new(), value)]);
    }
}

fn viewers(state: &State, to: &mut Exposition) {
    let counts = &state.viewers;
    let traffic = &counts.traffic;
    to.gauge(
        "picam_http_connections",
        "Connections of viewers that are open.",
        alone(traffic.connections.now()),
    );
    to.gauge(
        "picam_http_requests_waiting",
        "Requests of viewers that are held, or being worked out.",
        alone(counts.waiting.now()),
    );
    to.counter(
        "picam_http_requests_total",
        "Requests of viewers that were answered, by what was asked for and status.",
        counts.requests.get().map(|(kind, code, count)| {
            let labels = vec![("kind", kind.name().to_owned()), ("code", code.to_string())];
            (labels, count as f64)
        }),
    );
    for (name, help, value) in [
        (
            "picam_http_accepted_connections_total",
            "Connections of viewers that were accepted.",
            traffic.connections.ever(),
        ),
        (
            "picam_http_refused_connections_total",
            "Connections of viewers beyond the limit.",
            traffic.turned_away.get(),
        ),
        (
            "picam_http_failed_handshakes_total",
            "Connections of viewers that never came to agree on TLS.",
            traffic.failed_handshakes.get(),
        ),
        (
            "picam_http_sent_bytes_total",
            "Bytes sent to viewers, header fields included.",
            traffic.sent.get(),
        ),
        (
            "picam_http_document_renders_total",
            "Calls of plugins to write a document.",
            counts.renders.get(),
        ),
        (
            "picam_http_document_cache_hits_total",
            "Requests for documents that shared what was written for others.",
            counts.shared_documents.get(),
        ),
    ] {
        to.counter(name, help, alone(value));
    }
}

fn files(state: &State, to: &mut Exposition) {
    let Some(counts) = &state.output else { return };
    for (name, help, value) in [
        (
            "picam_output_written_files_total",
            "Files of the stream that were put in their place.",
            counts.written.get(),
        ),
        (
            "picam_output_failures_total",
            "Segments with which something of the files couldn't be written.",
            counts.failures.get(),
        ),
    ] {
        to.counter(name, help, alone(value));
    }
}

fn plugins(all: &[PluginStatus], to: &mut Exposition) {
    let plugin = |status: &PluginStatus| label("plugin", status.name.as_str());
    let hooks = || {
        all.iter().flat_map(|status| {
            status.hooks.iter().map(move |hook| {
                let labels = vec![
                    ("plugin", status.name.clone()),
                    ("hook", hook.hook.name().to_owned()),
                ];
                (labels, hook)
            })
        })
    };
    to.gauge(
        "picam_plugin_info",
        "Always 1; the labels say which version of the plugin serves, and where it came from.",
        all.iter().map(|status| {
            let labels = vec![
                ("plugin", status.name.clone()),
                ("version", status.version.clone()),
                ("origin", status.origin.to_string()),
            ];
            (labels, 1.0)
        }),
    );
    to.counter(
        "picam_plugin_calls_total",
        "Calls of the plugin.",
        hooks().map(|(labels, hook)| (labels, hook.times.count as f64)),
    );
    to.histogram(
        "picam_plugin_call_duration_seconds",
        "How long calls of the plugin took.",
        hooks().map(|(labels, hook)| (labels, hook.times.clone())),
    );
    to.counter(
        "picam_plugin_failures_total",
        "Calls without a usable answer.",
        hooks().map(|(labels, hook)| (labels, hook.failures as f64)),
    );
    to.counter(
        "picam_plugin_traps_total",
        "Failures that cost the instance its life: traps, loops, too much memory.",
        hooks().map(|(labels, hook)| (labels, hook.traps as f64)),
    );
    to.counter(
        "picam_plugin_restarts_total",
        "Instances started to replace one that died.",
        all.iter()
            .map(|status| (plugin(status), status.restarts as f64)),
    );
    to.gauge(
        "picam_plugin_benched_instances",
        "Instances of the plugin that died more often in a row than they may, and have not run since.",
        all.iter()
            .map(|status| (plugin(status), status.benched as f64)),
    );
    to.counter(
        "picam_plugin_answer_cache_hits_total",
        "Questions of who may watch that an answer from before covered, so that there was no call.",
        all.iter()
            .map(|status| (plugin(status), status.cache_hits as f64)),
    );
    to.gauge(
        "picam_plugin_generation",
        "Which one of the plugin's generations serves, counted from 1.",
        all.iter()
            .map(|status| (plugin(status), status.generation as f64)),
    );
    to.gauge(
        "picam_plugin_on_probation",
        "1 while the generation is new and would be rolled back if it failed.",
        all.iter()
            .map(|status| (plugin(status), f64::from(status.on_probation))),
    );
    to.gauge(
        "picam_plugin_code_from_cache",
        "1 if the code of the generation that serves did not have to be compiled.",
        all.iter()
            .map(|status| (plugin(status), f64::from(status.from_cache))),
    );
    to.gauge(
        "picam_plugin_memory_bytes",
        "Linear memory of the instance that runs.",
        all.iter()
            .map(|status| (plugin(status), status.memory as f64)),
    );
    to.counter(
        "picam_plugin_reloads_total",
        "Reloads of the plugin; one that was published and then rolled back counts twice.",
        all.iter().flat_map(|status| {
            let reloads = &status.reloads;
            [
                ("published", reloads.succeeded),
                ("refused", reloads.refused),
                ("rolled_back", reloads.rolled_back),
            ]
            .map(|(outcome, count)| {
                let mut labels = plugin(status);
                labels.push(("outcome", outcome.to_owned()));
                (labels, count as f64)
            })
        }),
    );
    to.gauge(
        "picam_plugin_custom",
        "Figures that plugins report of themselves.",
        all.iter().flat_map(|status| {
            status.metrics.iter().map(|(name, metric)| {
                let labels = vec![("plugin", status.name.clone()), ("name", name.clone())];
                (labels, value(*metric))
            })
        }),
    );
}
