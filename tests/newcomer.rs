//! A newcomer's path: the commands of the documents, as they stand there, from an empty folder.
//!
//! What is to be fetched and built is not: a clone is made up in which the binary under test stands
//! where the release build puts its own, and the oracle's Python where `.venv` is made. That what
//! the documents install is what is there is checked by name.

#![allow(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ringwatch::config::Config;
use serde_json::Value;
use tempfile::TempDir;
use xtask::fixture::{Finished, finish, free_address, page, python, spawn};
use xtask::kafka::Broker;
use xtask::{produce, repository};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Beginnings of the commands that fetch and build.
const NOT_RUN: [&str; 4] = ["sudo apt-get ", "cargo build ", "python3 -m venv ", "pip install "];

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect(path)
}

/// A document's code blocks with a mark, each with its language, in their order.
fn blocks(document: &str, mark: &str) -> Vec<(String, String)> {
    let text = read(document);
    let mut found = Vec::new();
    let mut rest = &*text;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (opening, after) = after.split_once('\n').expect("a line");
        let (block, after) = after.split_once("\n```").expect("the end of a block");
        let (language, marks) = opening.split_once(' ').unwrap_or((opening, ""));
        if marks == mark {
            found.push((language.to_owned(), block.to_owned()));
        }
        rest = after;
    }
    found
}

/// The only block of a document with a mark.
fn block(document: &str, mark: &str) -> String {
    let [(_, block)] = &blocks(document, mark)[..] else { panic!("one {mark} in {document}") };
    block.clone()
}

/// A clone, and beside it the new folder that a newcomer works in.
struct World(TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().expect("a temporary folder"));
        let release = world.0.path().join("clone/target/release");
        fs::create_dir_all(&release).expect("a folder");
        symlink(env!("CARGO_BIN_EXE_ringwatch"), release.join("ringwatch")).expect("a link");
        let environment = python().ancestors().nth(2).expect("its folder").to_owned();
        symlink(environment, world.0.path().join("clone/.venv")).expect("a link");
        fs::create_dir(world.folder()).expect("a folder");
        world
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("new")
    }

    /// A block after the installation, in the same shell.
    fn command(&self, language: &str, block: &str) -> Command {
        let install = block_lines(&blocks("README.md", "install")[0].1);
        let install =
            install.into_iter().filter(|line| !NOT_RUN.iter().any(|it| line.starts_with(it)));
        let install = install.collect::<Vec<_>>().join("\n");
        let run = if language == "python" { "python -c \"$BLOCK\"" } else { block };
        let mut command = Command::new("sh");
        command.args(["-c", &format!("set -e\ncd ../clone\n{install}\ncd ../new\nset +e\n{run}")]);
        command.env("BLOCK", block).current_dir(self.folder());
        command
    }

    fn run(&self, language: &str, block: &str) -> Finished {
        finish(&mut self.command(language, block))
    }
}

fn block_lines(block: &str) -> Vec<String> {
    block.lines().map(str::to_owned).collect()
}

#[test]
fn from_own_records_to_the_first_answer_by_the_documents_alone() {
    let world = World::new();
    let started = Instant::now();
    let mut told = String::new();
    for (language, block) in blocks("docs/telemetry.md", "run") {
        told += &world.run(&language, &block).with_code(0).stdout;
    }
    let took = started.elapsed();
    assert!(took < Duration::from_mins(1), "{took:?}");
    assert!(told.contains("every offset is covered exactly once"), "{told}");
    assert!(told.contains("`time` is missing"), "{told}");
    let refused = told.lines().filter(|line| line.contains("VALIDATE")).count();
    assert_eq!(refused, 1, "only the one that should be: {told}");
    let crash = told.lines().find(|line| line.contains("os_crash")).expect("the crash");
    assert!(crash.contains("test") && crash.contains("treated"), "{told}");

    // The README's first query, over this folder in place of the demo's.
    let (_, query) = blocks("README.md", "").into_iter().find(|(it, _)| it == "sql").expect("SQL");
    let query = query.replace("/tmp/ringwatch-demo/", "data/");
    let query = format!("import duckdb\nprint(duckdb.sql(\"\"\"{query}\"\"\"))");
    let told = world.run("python", &query).with_code(0).stdout;
    let crash = told.lines().find(|line| line.contains("os_crash")).expect("the crash");
    assert!(crash.contains("kb5040442") && crash.contains("treated"), "{told}");
}

#[test]
fn what_the_documents_install_is_what_the_build_and_the_snippets_ask_for() {
    let install = block("README.md", "install");
    assert_eq!(install, block("docs/telemetry.md", "install"));
    assert!(install.contains("\ncargo build --release\n"), "{install}");
    assert!(install.contains("\npython3 -m venv .venv\n"), "{install}");
    let named = |text: &str, command: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(command));
        lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
    };

    let dev = read("dev");
    let (_, missing) = dev.split_once("missing_to_build() {").expect("what ./dev asks for");
    let (missing, _) = missing.split_once("\n}").expect("its end");
    let missing = missing.split("echo ").skip(1).filter_map(|it| it.split_whitespace().next());
    assert_eq!(named(&install, "sudo apt-get install "), missing.map(str::to_owned).collect());

    let wanted = read("tests/oracle/requirements.txt");
    let tested: BTreeSet<&str> = wanted.lines().filter_map(|it| it.split("==").next()).collect();
    let data = block("docs/data.md", "install");
    for (document, installed) in [("docs/telemetry.md", &install), ("docs/data.md", &data)] {
        let packages = named(installed, "pip install ");
        assert!(packages.iter().all(|it| tested.contains(&**it)), "{packages:?}");
        let text = read(document);
        let imports = text
            .lines()
            .filter_map(|line| line.strip_prefix("import ").or_else(|| line.strip_prefix("from ")));
        for module in imports.filter_map(|rest| rest.split([' ', '.']).next()) {
            let own = ["pathlib", "sys", "ringwatch_tables"].contains(&module);
            assert!(own || packages.contains(module), "{document} does not install {module}");
        }
    }
}

/// The topics as the document makes them, though not by the scripts that it names.
fn make_topics(broker: &Broker) {
    for command in block("docs/telemetry.md", "topics").lines() {
        let words: Vec<&str> = command.split_whitespace().collect();
        let option = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1).copied()
        };
        let partitions = option("--partitions").expect("partitions").parse().expect("a number");
        let config: Vec<_> =
            option("--config").and_then(|it| it.split_once('=')).into_iter().collect();
        let topic = option("--topic").expect("a topic");
        broker.create_topic(topic, partitions, &config).expect("created");
    }
}

#[test]
fn with_kafka_as_the_document_says() {
    let world = World::new();
    let (language, records) = &blocks("docs/telemetry.md", "run")[0];
    world.run(language, records).with_code(0);
    let commands = block("docs/telemetry.md", "kafka");
    let (check, run) = commands.rsplit_once("\nringwatch run").expect("`run` comes last");
    let broker = Broker::start().expect("a broker");
    let address = free_address().to_string();
    // In place of what every machine has at most once.
    let command = |block: &str| {
        let mut command = world.command("sh", block);
        command.env("RINGWATCH__KAFKA__BROKERS", broker.bootstrap());
        command.env("RINGWATCH__HTTP__LISTEN", &address);
        command
    };
    let refused = finish(&mut command(check));
    assert!(!refused.status.success() && refused.stderr.contains("topic"), "{refused}");

    make_topics(&broker);
    produce::ndjson_folder(broker.bootstrap(), &world.folder().join("my-records")).expect("sent");
    let told = finish(&mut command(check)).with_code(0).stdout;
    assert!(told.contains("28 records: 27 accepted"), "{told}");
    // `exec`: what is stopped below must be the service, not its shell.
    let export = check.lines().next().expect("the data folder");
    let mut service = spawn(&mut command(&format!("{export}\nexec ringwatch run{run}")));
    service.wait_until("everything read", PATIENCE, |_| {
        let fleet = page(&address, "/api/v1/fleet");
        let fleet = fleet.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        fleet.is_some_and(|fleet| fleet["counts"]["received"] == 28)
    });
    service.terminate(PATIENCE).with_code(0);

    let own = read("README.md");
    let own: Vec<&str> = own.lines().filter(|line| line.ends_with(" ringwatch.toml")).collect();
    let [same, list] = own[..] else { panic!("{own:?}") };
    assert!(commands.ends_with(same), "the README says `{same}`");
    finish(&mut command(&format!("{export}\n{list}"))).with_code(0);
}

#[test]
fn every_configuration_in_the_documents_is_taken() {
    let mut taken = 0;
    for entry in fs::read_dir(repository().join("docs")).expect("the documents") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let page = path.display().to_string();
        let blocks = blocks(&page, "");
        for (_, block) in blocks.iter().filter(|(language, _)| language == "toml") {
            if let Err(error) = Config::parse(block, std::iter::empty()) {
                panic!("{page}: {error}\n{block}");
            }
            taken += 1;
        }
    }
    assert!(taken > 7, "{taken} configurations");
}

#[test]
fn a_scenario_of_ones_own_is_run_as_the_document_says() {
    let world = World::new();
    symlink(repository().join("scenarios"), world.folder().join("scenarios")).expect("a link");
    let blocks = blocks("docs/scenarios.md", "run");
    let [(_, scenario), (_, commands)] = &blocks[..] else { panic!("{blocks:?}") };
    fs::write(world.folder().join("my-fleet.toml"), scenario).expect("written");
    // `replay` ends with 3: the regression is found.
    for (command, code) in commands.lines().zip([0, 3, 0]) {
        let finished = world.run("sh", command).with_code(code);
        if command.contains("evaluate") {
            assert!(finished.stdout.contains("5 of 5 as expected"), "{finished}");
        }
    }
}
