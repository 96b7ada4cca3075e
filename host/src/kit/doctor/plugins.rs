use super::Finding;
use crate::{
    config::Config,
    plugin::{Environment, PluginSpec, Plugins, Storage, check_cache_dir, check_state_dir},
    run,
};

/// Plugins: each is loaded, then all together, as at a start; and the directories for what they are compiled to and what
/// they store.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![cache(config)];
    let mut environment = run::environment(config);
    if findings.iter().any(|finding| finding.mend.is_some()) {
        // It has been told once.
        environment.cache_dir = None;
    }
    // What is stored may belong to a host that runs, and is nothing to try things on.
    environment.state_dir = None;
    let persistent = |spec: &PluginSpec| spec.storage == Storage::Persistent;
    if config.plugins.iter().any(persistent) {
        findings.push(state(config));
    }
    let stock = run::STOCK.map(PluginSpec::new);
    let mut all_load = true;
    for spec in &config.plugins {
        let finding = one(spec, &environment);
        all_load &= finding.level == super::report::Level::Ok;
        findings.push(finding);
    }
    if all_load {
        findings.push(
            match Plugins::load_with(&config.plugins, &stock, &environment) {
                Ok(plugins) => {
                    let status = plugins.status();
                    let names: Vec<_> = status.iter().map(|plugin| &*plugin.name).collect();
                    Finding::ok("plugins", format!("{} go together", names.join(", ")))
                }
                Err(error) => Finding::wrong("plugins", format!("{error:#}")),
            },
        );
    }
    findings
}

fn one(spec: &PluginSpec, environment: &Environment) -> Finding {
    match Plugins::load(std::slice::from_ref(spec), environment) {
        Ok(plugins) => {
            let status = plugins.status();
            let said = status.first().map_or_else(
                || format!("{} loads", spec.file),
                |it| format!("{} {} from {} works", it.name, it.version, it.origin),
            );
            Finding::ok("plugin", said)
        }
        Err(error) => Finding::wrong("plugin", format!("{error:#}"))
            .mend(format!("`picam-host plugin check {}` says more", spec.file)),
    }
}

fn cache(config: &Config) -> Finding {
    let path = config.cache_dir.display();
    match check_cache_dir(&config.cache_dir) {
        Ok(()) => Finding::ok("cache", format!("compiled plugins are kept in {path}")),
        Err(error) => Finding::warn(
            "cache",
            format!("compiled plugins can't be kept: {error:#}"),
            "every start compiles them anew, which takes seconds on a small board; name another directory with \
             `cache-dir` in the configuration",
        ),
    }
}

fn state(config: &Config) -> Finding {
    let path = config.state_dir.display();
    match check_state_dir(&config.state_dir) {
        Ok(()) => Finding::ok("state", format!("what plugins store is kept in {path}")),
        Err(error) => Finding::wrong(
            "state",
            format!("what plugins store can't be kept: {error:#}"),
        )
        .mend("name another directory with `state-dir` in the configuration"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::{super::report::Level, *};

    fn config(plugins: &[&str]) -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            cache_dir: folder.path().join("cache"),
            plugins: plugins.iter().map(|file| PluginSpec::new(*file)).collect(),
            ..Config::default()
        };
        (folder, config)
    }

    #[test]
    fn a_plugin_that_does_not_load_is_wrong_and_the_others_are_still_tried() {
        let (_folder, config) = config(&["nothing.wasm", "ll-hls.wasm"]);
        let findings = look(&config);
        let levels: Vec<_> = findings.iter().map(|it| (it.subject, it.level)).collect();
        assert_eq!(
            levels,
            [
                ("cache", Level::Ok),
                ("plugin", Level::Wrong),
                ("plugin", Level::Ok)
            ]
        );
        assert!(findings[1].text.contains("nothing.wasm"), "{findings:?}");
    }

    #[test]
    fn plugins_that_work_alone_may_not_go_together() {
        let (_folder, config) = config(&["ll-hls.wasm", "ll-hls.wasm"]);
        let last = look(&config).pop().unwrap();
        assert_eq!((last.subject, last.level), ("plugins", Level::Wrong));
    }

    #[test]
    fn the_directory_for_what_is_stored_is_looked_at_where_something_is() {
        let (folder, mut config) = config(&["auth-basic.wasm"]);
        config.plugins[0].config = vec![("users".into(), "bob:x".into())];
        config.state_dir = folder.path().join("cache/no-directory");
        let subjects = |config: &Config| -> Vec<_> {
            let findings = look(config).into_iter();
            findings.map(|it| (it.subject, it.level)).collect()
        };
        assert!(subjects(&config).iter().all(|(it, _)| *it != "state"));
        config.plugins[0].storage = Storage::Persistent;
        assert!(subjects(&config).contains(&("state", Level::Ok)));
        fs::write(folder.path().join("file"), "").unwrap();
        config.state_dir = folder.path().join("file");
        assert!(subjects(&config).contains(&("state", Level::Wrong)));
    }

    #[test]
    fn a_cache_that_others_can_write_is_told_with_what_puts_it_right() {
        let (folder, config) = config(&[]);
        let cache = folder.path().join("cache");
        fs::create_dir(&cache).unwrap();
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
        let finding = super::cache(&config);
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.text.contains("chmod 700"), "{finding:?}");
    }
}
