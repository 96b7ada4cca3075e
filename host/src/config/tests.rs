use std::time::Duration;

use clap::Parser as _;

use super::*;
use crate::overlay::Mask;
use crate::plugin::{NamingFailure, OverlayFailure, PlaylistFailure, Storage};
use crate::source::SourceSpec;

fn read(text: &str) -> Result<Config, String> {
    Config::read(Path::new("dir/picam.toml"), text).map_err(|error| error.to_string())
}

/// The error of a text that must have one.
fn wrong(text: &str) -> String {
    match read(text) {
        Ok(config) => panic!("{text:?} reads as {config:?}"),
        Err(error) => error,
    }
}

fn cli(arguments: &[&str]) -> Cli {
    Cli::try_parse_from([&["picam-host"], arguments].concat())
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_annotated_example_says_what_the_defaults_are() {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/picam.toml"
    ));
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        Config::read(path, &text).unwrap(),
        Config::default(),
        "as it lies there, everything but defaults is a comment"
    );

    // With every commented-out key brought in, it must read as well.
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = Config::read(path, &all).unwrap_or_else(|error| panic!("{error}\n{all}"));
    assert_eq!(config.plugins.len(), 3);
    for key in PLUGIN
        .iter()
        .chain(&STREAM)
        .chain(&[
            "listen",
            "operator",
            "operator-token",
            "tls",
            "output",
            "log",
        ])
        .chain(&["plugin-dirs", "cache-dir", "state-dir"])
        .chain(&FAILURE_POLICY)
    {
        assert!(
            all.lines()
                .any(|line| line.starts_with(&format!("{key} = "))),
            "{key} is not in the example"
        );
    }
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(read(""), Ok(Config::default()));
}

#[test]
fn everything_can_be_said_in_the_file() {
    let config = read(
        r#"
        listen = ["127.0.0.1:80", "[::]:8080"]
        operator = "127.0.0.1:9"
        plugin-dirs = ["plugins", "/opt/plugins"]
        cache-dir = "/var/cache/x"
        state-dir = "state"
        [stream]
        source = "exec:rpicam-vid -t 0 --inline -o -"
        size = "1920x1080"
        fps = 25
        bitrate = "2.5M"
        [[plugin]]
        file = "ll-hls.wasm"
        memory = "16MiB"
        call-time = "50ms"
        grants = ["clock"]
        kv = "persistent"
        restart-budget = 10
        restart-backoff = "1s"
        bench-time = "1.5s"
        [plugin.failure-policy]
        playlist = "unavailable"
        auth = "deny"
        [plugin.config]
        window-s = 60
        part-ms = 100
        title = "Bird, box"
        "#,
    )
    .unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.operator.address.port(), 9);
    assert_eq!(
        config.plugin_dirs,
        [Path::new("dir/plugins"), Path::new("/opt/plugins")]
    );
    assert_eq!(config.cache_dir, Path::new("/var/cache/x"));
    assert_eq!(config.state_dir, Path::new("dir/state"));
    assert_eq!(
        config.stream.source,
        SourceSpec::Exec("rpicam-vid -t 0 --inline -o -".into())
    );
    assert_eq!(config.stream.size.to_string(), "1920x1080");
    assert_eq!((config.stream.fps, config.stream.bitrate), (25, 2_500_000));
    let [plugin] = &config.plugins[..] else {
        panic!("{config:?}")
    };
    assert_eq!(plugin.limits.memory, 16 << 20);
    assert_eq!(plugin.limits.call, Duration::from_millis(50));
    assert_eq!(plugin.limits.output, Limits::default().output);
    assert!(plugin.grants.clock && !plugin.grants.kv);
    assert_eq!(plugin.storage, Storage::Persistent);
    assert_eq!(
        plugin.restarts,
        Restarts {
            budget: 10,
            backoff: Duration::from_secs(1),
            bench: Duration::from_millis(1_500),
        }
    );
    assert_eq!(
        plugin.failure_policy,
        FailurePolicy {
            playlist: Some(PlaylistFailure::Unavailable),
            ..FailurePolicy::default()
        }
    );
    let pairs = [
        ("window-s", "60"),
        ("part-ms", "100"),
        ("title", "Bird, box"),
    ];
    assert_eq!(
        plugin.config,
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())),
        "in the order in which they were written"
    );
}

#[test]
fn a_secret_is_long_enough_and_a_log_filter_can_be_read() {
    let error = wrong("operator-token = \"letmein\"");
    assert!(
        error.contains("`operator-token`") && error.contains("openssl rand"),
        "{error}"
    );
    let config = read("operator-token = \"0123456789abcdef\"\nlog = \"picam_host=debug\"").unwrap();
    assert!(config.operator_token.is_some());
    assert_eq!(config.log, "picam_host=debug");
    let error = wrong("log = \"picam_host=loud\"");
    assert!(error.contains("picam_host=debug,warn"), "{error}");
}

#[test]
fn relative_paths_are_seen_from_the_files_directory() {
    let source = |text| read(text).map(|config| config.stream.source);
    assert_eq!(
        source("[stream]\nsource = \"file:birds.mp4\""),
        Ok(SourceSpec::File("dir/birds.mp4".into()))
    );
    assert_eq!(
        source("[stream]\nsource = \"file:/birds.mp4\""),
        Ok(SourceSpec::File("/birds.mp4".into()))
    );
}

#[test]
fn the_command_line_wins_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("picam.toml");
    std::fs::write(
        &path,
        "listen = \"0.0.0.0:1\"\n[stream]\nfps = 25\nbitrate = \"1M\"\n\
         [[plugin]]\nfile = \"dash.wasm\"\n\
         [[plugin]]\nfile = \"ll-hls.wasm\"\nmemory = \"8MiB\"\n[plugin.config]\npart-ms = 200\nwindow-s = 60\n",
    )
    .unwrap();
    let config = path.to_str().unwrap();

    let alone = Config::load(cli(&["--config", config])).unwrap();
    assert_eq!((alone.stream.fps, alone.plugins.len()), (25, 2));

    let arguments = [
        "--fps",
        "15",
        "--listen",
        "127.0.0.1:2",
        "--listen",
        "127.0.0.1:3",
        "--plugin",
        "ll-hls.wasm,part-ms=100",
    ];
    let both = Config::load(cli(&[&["--config", config], &arguments[..]].concat())).unwrap();
    assert_eq!((both.stream.fps, both.stream.bitrate), (15, 1_000_000));
    assert_eq!(
        both.listen
            .iter()
            .map(|listen| listen.address.port())
            .collect::<Vec<_>>(),
        [2, 3]
    );
    let [plugin] = &both.plugins[..] else {
        panic!("{both:?}")
    };
    assert_eq!(plugin.limits.memory, 8 << 20, "only a table can say this");
    assert_eq!(plugin.config[0].1, "100");
    assert_eq!(plugin.config[1], ("window-s".into(), "60".into()));
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_what_was_meant() {
    assert_eq!(
        wrong("\n[stream]\nsource = \"auto\"\nbit_rate = 5\n"),
        "dir/picam.toml, line 4: there is no key `bit_rate` in [stream]; did you mean `bitrate`?"
    );
    assert_eq!(
        wrong("fps = 30"),
        "dir/picam.toml, line 1: there is no key `fps`; it belongs below [stream]"
    );
    assert_eq!(
        wrong("colour = 1"),
        "dir/picam.toml, line 1: there is no key `colour`; there are `stream`, `plugin`, `listen`, `operator`, `operator-token`, `tls`, `output`, `log`, `plugin-dirs`, `cache-dir` and `state-dir`"
    );
    let plugin = wrong("[[plugin]]\nfile = \"a\"\ngrant = [\"clock\"]");
    assert!(
        plugin.contains("line 3") && plugin.contains("did you mean `grants`?"),
        "{plugin}"
    );
    let file = wrong("[[plugin]]\nfiel = \"a\"");
    assert!(file.contains("did you mean `file`?"), "{file}");
    assert!(wrong("[[plugin]]\nmemory = 1").contains("file = \"ll-hls.wasm\""));
}

#[test]
fn masks_are_read_from_either_place_and_none_takes_anothers() {
    let text = "[stream]\nmasks = [{ left = 0, top = 700, right = 250, bottom = 1000 }]\noverlay = \"transcode\"\n\
                fonts = \"a.ttf\"\n";
    let stream = read(text).unwrap().stream;
    let corner = Mask::new(0, 700, 250, 1_000).unwrap();
    assert_eq!(stream.masks, [corner]);
    assert_eq!(stream.overlay, Overlay::Transcode);
    assert_eq!(stream.fonts, [Path::new("dir/a.ttf")]);
    let tables = "[[stream.masks]]\nleft = 0\ntop = 700\nright = 250\nbottom = 1000\n[[stream.masks]]\nleft = 0\n\
                  top = 0\nright = 1\nbottom = 1\n";
    assert_eq!(read(tables).unwrap().stream.masks.len(), 2);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("picam.toml");
    std::fs::write(&path, text.lines().take(2).collect::<Vec<_>>().join("\n")).unwrap();
    let arguments = ["--config", path.to_str().unwrap(), "--mask", "10,20,30,40"];
    let both = Config::load(cli(&arguments)).unwrap();
    assert_eq!(
        both.stream.masks,
        [corner, Mask::new(10, 20, 30, 40).unwrap()]
    );
}

#[test]
fn a_mask_that_would_hide_nothing_or_something_else_is_an_error() {
    let mask = |text: &str| wrong(&format!("[stream]\nmasks = [{text}]"));
    let typed = mask("{ left = 0, top = 0, rigth = 5, bottom = 5 }");
    assert!(
        typed.contains("line 2") && typed.contains("did you mean `right`?"),
        "{typed}"
    );
    let more = mask("{ left = 0, top = 0, right = 5, bottom = 5, width = 5 }");
    assert!(
        more.contains("no key `width` in [[stream.masks]]"),
        "{more}"
    );
    let turned = mask("{ left = 5, top = 0, right = 5, bottom = 5 }");
    assert!(turned.contains("between 5 and 5"), "{turned}");
    let beyond = mask("{ left = 0, top = 0, right = 1920, bottom = 5 }");
    assert!(
        beyond.contains("1920 lies outside") && beyond.contains("thousandths"),
        "{beyond}"
    );
    let text = wrong("[stream]\nmasks = \"0,0,5,5\"");
    assert!(text.contains("[[stream.masks]]"), "{text}");
    for written in ["0,0,5", "0,0,5,5,5", "a,0,5,5", "0,0,5,5%", ""] {
        let error = values::mask(written).unwrap_err();
        assert!(error.contains("0,700,250,1000"), "{written}: {error}");
    }
    assert!(wrong("[stream]\noverlay = \"burn\"").contains("\"page\" or \"transcode\""));
}

#[test]
fn a_wrong_value_is_told_with_its_key_and_what_would_be_accepted() {
    assert_eq!(
        wrong("[stream]\nsize = \"720p\""),
        "dir/picam.toml, line 2: `size` is \"720p\"; expected WIDTHxHEIGHT in pixels, as in 1280x720, both even and 16 to 16384"
    );
    assert!(wrong("[stream]\nfps = 0").contains("`fps` is 0; expected a whole number"));
    assert!(wrong("[stream]\nfps = [30]").contains("`fps` is [30]; expected a whole number"));
    let list = wrong("listen = [\n\"0.0.0.0:80\",\n8080]");
    assert!(
        list.contains("line 3: `listen` is 8080; expected IP:PORT, as in 0.0.0.0:8080"),
        "{list}"
    );
    let source = wrong("[stream]\nsource = \"camera\"");
    assert!(
        source.contains("line 2: `source` is \"camera\"; ") && source.contains("`pattern`"),
        "{source}"
    );
    assert!(wrong("stream = 1").contains("write [stream] above its keys"));
    assert!(wrong("[plugin]\nfile = \"a\"").contains("write [[plugin]]"));
    let nested = wrong("[[plugin]]\nfile = \"a\"\n[plugin.config]\nx = [1]");
    assert!(
        nested.contains("line 4: `x` in [plugin.config] is array"),
        "{nested}"
    );
    assert!(wrong("a = ").starts_with("dir/picam.toml, line 1: "));
}

#[test]
fn a_failure_policy_is_a_choice_for_each_hook_but_auth_which_never_opens() {
    let policy = |text: &str| format!("[[plugin]]\nfile = \"a\"\n[plugin.failure-policy]\n{text}");
    let config = read(&policy("naming = \"random\"\noverlay = \"keep\"")).unwrap();
    let read = config.plugins[0].failure_policy;
    assert_eq!(read.naming, Some(NamingFailure::Random));
    assert_eq!(read.overlay, Some(OverlayFailure::Keep));
    assert_eq!(
        wrong(&policy("playlist = \"503\"")),
        "dir/picam.toml, line 4: `playlist` is \"503\"; expected \"stale-if-error\" or \"unavailable\""
    );
    for open in ["open", "allow", "fail-open", "true"] {
        let error = wrong(&policy(&format!("auth = \"{open}\"")));
        assert!(
            error.contains("line 4: `auth`") && error.contains("lets nobody in, whatever is set"),
            "{error}"
        );
    }
    let error = wrong(&policy("overlays = \"keep\""));
    assert!(error.contains("did you mean `overlay`?"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(cli(&["--config", "/nowhere/picam.toml"]))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/nowhere/picam.toml: the configuration can't be read"),
        "{error}"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "([a-z\\[\\]=\"'{}.,0-9 \n#-]{0,60})") {
        let _ = Config::read(Path::new("x"), &text);
    }

    #[test]
    fn what_the_command_line_says_the_file_says_alike(
        fps in 1u32..=240, side in 8u32..8_000, bits in 10_000u32..=1_000_000_000, port: u16,
    ) {
        let size = format!("{}x{}", 2 * side, 2 * side);
        let (fps, bits, address) = (fps.to_string(), bits.to_string(), format!("127.0.0.1:{port}"));
        let line = Config::load(cli(&["--fps", &fps, "--size", &size, "--bitrate", &bits, "--listen", &address, "--operator", &address]));
        let file = read(&format!(
            "listen = \"{address}\"\noperator = \"{address}\"\n[stream]\nfps = {fps}\nsize = \"{size}\"\nbitrate = {bits}\n"
        ));
        proptest::prop_assert_eq!(line.map_err(|error| error.to_string()), file);
    }
}

#[test]
fn controls_of_a_camera_keep_their_order_and_are_text() {
    let config =
        read("[stream.controls]\nexposure_auto = \"manual\"\nbrightness = -5\nflip = true\n");
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let wanted = [
        ("exposure_auto", "manual"),
        ("brightness", "-5"),
        ("flip", "true"),
    ]
    .map(pair);
    assert_eq!(config.unwrap().stream.controls, wanted);
    let error = wrong("[stream.controls]\nbrightness = [1]\n");
    assert!(
        error.contains("`brightness` in [stream.controls] is array"),
        "{error}"
    );
}
