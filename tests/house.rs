//! What a newcomer meets: the README's commands, the container recipe, the generated documents.

#![expect(clippy::expect_used, reason = "a test that cannot read the tree must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use xtask::fixture::{Program, finish};

fn ringwatch() -> Program {
    Program::new(env!("CARGO_BIN_EXE_ringwatch"))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Lines of the code blocks marked `sh`, comments taken off.
fn commands(path: &str) -> Vec<String> {
    let text = read(path);
    let blocks = text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or(line));
    lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// A command of ours exists, with every option that is used.
#[track_caller]
fn check_command(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_verb = |word: &&str| word.chars().all(char::is_lowercase);
    let verbs: Vec<&str> = words[1..].iter().copied().take_while(is_verb).collect();
    let help = match words[0] {
        "./dev" => return assert!(read("dev").contains(&format!("./dev {}", words[1])), "{line}"),
        "ringwatch" => ringwatch().run(verbs.iter().copied().chain(["--help"])).with_code(0).stdout,
        "cargo" if words.get(1) == Some(&"xtask") => return check_task(&words),
        _ => return,
    };
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(option), "`{line}`: no {option} in\n{help}");
    }
}

#[track_caller]
fn check_task(words: &[&str]) {
    let main = read("xtask/src/main.rs").to_lowercase();
    assert!(main.contains(&format!("\n    {}", words[2])), "no task `{}`", words[2]);
}

/// Every document that people read.
fn documents() -> Vec<String> {
    let mut found = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(str::to_owned).to_vec();
    for folder in ["docs", "docs/decisions", "docs/runbook"] {
        let entries = fs::read_dir(folder).expect(folder).map(|entry| entry.expect("an entry"));
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let pages = names.filter(|name| Path::new(name).extension().is_some_and(|it| it == "md"));
        found.extend(pages.map(|name| format!("{folder}/{name}")));
    }
    found
}

#[test]
fn every_command_of_the_documents_exists() {
    for needed in ["./dev demo", "./dev test"] {
        let commands = commands("README.md");
        assert!(commands.iter().any(|command| command == needed), "README.md lacks {needed}");
    }
    let commands: Vec<_> = documents().iter().flat_map(|path| commands(path)).collect();
    assert!(commands.len() > 100, "{} commands", commands.len());
    for command in commands {
        check_command(&command);
    }
}

#[test]
fn the_documents_that_follow_from_the_code_are_fresh() {
    let stale = xtask::docs::stale().expect("the documents");
    assert!(stale.is_empty(), "stale, run `cargo xtask docs`: {stale:?}");
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut links = 0;
    for path in documents() {
        let text = read(&path);
        let folder = Path::new(&path).parent().expect("a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let outside = target.contains("://") || target.is_empty();
            let there = outside || fs::exists(folder.join(target)).expect("a path");
            assert!(there, "{path}: no {target}");
            links += 1;
        }
    }
    assert!(links > 100, "{links} links");
}

#[test]
fn the_licence_is_apache_2() {
    assert!(read("LICENSE").contains("Apache License\n                           Version 2.0"));
    assert!(read("Cargo.toml").contains("license = \"Apache-2.0\""));
}

#[test]
fn the_example_configuration_is_accepted() {
    for path in ["config/example.toml", "deploy/ringwatch.toml"] {
        let mut command = ringwatch().command(["check", "--config", path]);
        // The container's address; the files' own is that of the first reader's machine.
        command.env("RINGWATCH__KAFKA__BROKERS", "kafka:9092");
        let data = tempfile::tempdir().expect("a temporary folder");
        finish(command.env("RINGWATCH__STORE__DATA", data.path())).with_code(0);
    }
}

/// Names of the services that belong to a profile, or to none.
fn services(compose: &Value, profile: Option<&str>) -> BTreeSet<String> {
    let all = compose["services"].as_object().expect("services");
    let belongs = |service: &Value| service["profiles"][0].as_str() == profile;
    all.iter().filter(|(_, service)| belongs(service)).map(|(name, _)| name.clone()).collect()
}

/// Parsed and looked at; no container is run here.
#[test]
fn the_compose_file_starts_kafka_before_ringwatch_and_monitoring_on_demand() {
    let compose = yaml("docker-compose.yml");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let always: BTreeSet<String> = names(&["kafka", "ringwatch", "topics"]);
    let monitoring: BTreeSet<String> = names(&["alertmanager", "grafana", "prometheus"]);
    assert_eq!(services(&compose, None), always);
    assert_eq!(services(&compose, Some("monitoring")), monitoring);
    let kafka = &compose["services"]["kafka"];
    assert_eq!(kafka["environment"]["KAFKA_PROCESS_ROLES"], "broker,controller");
    assert!(kafka["healthcheck"]["test"].is_array());
    assert!(compose["volumes"].as_object().expect("volumes").contains_key("kafka"));
    let ringwatch = &compose["services"]["ringwatch"];
    assert_eq!(ringwatch["build"], ".");
    assert_eq!(ringwatch["depends_on"]["kafka"]["condition"], "service_healthy");
}

#[test]
fn what_the_compose_file_mounts_exists_and_what_it_keeps_is_declared() {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().expect("services");
    let mut mounts = 0;
    for service in services.values() {
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let source = mount.as_str().expect("a mount").split(':').next().expect("its source");
            mounts += 1;
            match source.strip_prefix("./") {
                Some(path) => assert!(fs::exists(path).expect("a path"), "no {path}"),
                None => assert!(compose["volumes"].get(source).is_some(), "no volume {source}"),
            }
        }
    }
    assert!(mounts >= 6, "the mounts were not read");
    for path in ["deploy/prometheus.yml", "deploy/alertmanager.yml"] {
        assert!(yaml(path).is_object(), "{path}");
    }
}

#[test]
fn the_image_builds_this_binary_and_runs_as_nobody_special() {
    let recipe = read("Dockerfile");
    assert!(recipe.contains("cargo build --release --locked --bin ringwatch"));
    let user = recipe.lines().filter_map(|line| line.strip_prefix("USER ")).next_back();
    assert_eq!(user, Some("ringwatch"));
    assert!(recipe.contains("COPY --from=build"));
}

#[test]
fn dev_says_what_it_can_and_refuses_the_rest() {
    let help = finish(Command::new("./dev").arg("help")).with_code(0).stdout;
    assert!(help.contains("./dev demo") && help.contains("./dev test"), "{help}");
    finish(Command::new("./dev").arg("launch")).with_code(2);
}
