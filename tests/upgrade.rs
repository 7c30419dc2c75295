//! Data folders of every layout that there was: that of this version is gone on with, one before it
//! is refused by name and left as it is.
//!
//! ```text
//! tests/fixtures/layout-<n>:  seen ─┬─► Kafka, same cluster id ─► run on a copy of data
//!                            after ─┘                              └─► DuckDB = Python model
//! ```

#![expect(clippy::expect_used, reason = "a test that cannot set up its world must fail")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use store::world::LAYOUT;
use xtask::fixture::{Finished, Program, copy, oracle};
use xtask::kafka::Broker;
use xtask::{produce, repository};

/// Of the broker beside which each folder was made.
const CLUSTER_ID: &str = "TGF5b3V0IDEgZml4dHVyZA";
/// Long enough for a busy machine; a run takes seconds.
const PATIENCE: Duration = Duration::from_mins(2);

fn layouts() -> Vec<PathBuf> {
    let fixtures = fs::read_dir(repository().join("tests/fixtures")).expect("the fixtures");
    let mut layouts: Vec<_> = fixtures.map(|entry| entry.expect("an entry").path()).collect();
    layouts.retain(|path| {
        path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"layout-"))
    });
    layouts.sort();
    layouts
}

/// The number in the name of a fixture's folder.
fn number(layout: &Path) -> u32 {
    let name = layout.file_name().and_then(|name| name.to_str()).expect("a plain name");
    name.trim_start_matches("layout-").parse().expect("a number")
}

/// A configuration file for a broker and a data folder.
fn configured(folder: &Path, broker: &Broker, data: &Path) -> PathBuf {
    let config = folder.join("ringwatch.toml");
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\n[store]\ndata = \"{}\"\n[http]\nlisten = \"\"\n",
        broker.bootstrap(),
        data.display()
    );
    fs::write(&config, text).expect("a configuration file");
    config
}

fn run(config: &Path) -> Finished {
    let run = ["run", "--until-end", "--json", "--config"].map(AsRef::as_ref);
    let run = run.into_iter().chain([config.as_os_str()]);
    Program::new(env!("CARGO_BIN_EXE_ringwatch")).spawn(run).finish(PATIENCE)
}

/// Refuses a folder of a layout before, and says which.
fn check_refused(layout: &Path) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    copy(&layout.join("data"), &data);
    let broker = Broker::start_as(CLUSTER_ID).expect("a broker");
    broker.create_topics(4).expect("the topics");
    let refused = run(&configured(folder.path(), &broker, &data));
    let expected = format!("layout is {} there and {LAYOUT} here", number(layout));
    assert!(!refused.status.success() && refused.stderr.contains(&expected), "{refused}");
}

/// Goes on with a folder: every record from its beginning to its end is in the tables once.
fn check(layout: &Path) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, input) = (folder.path().join("data"), folder.path().join("input"));
    copy(&layout.join("data"), &data);
    copy(&layout.join("seen"), &input);
    let broker = Broker::start_as(CLUSTER_ID).expect("a broker");
    broker.create_topics(4).expect("the topics");
    for part in ["seen", "after"] {
        produce::ndjson_folder(broker.bootstrap(), &layout.join(part)).expect("records sent");
    }
    for entry in fs::read_dir(layout.join("after")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let whole = input.join(path.file_name().expect("a file"));
        let mut whole = OpenOptions::new().append(true).open(whole).expect("it was seen in part");
        whole.write_all(&fs::read(&path).expect("a file")).expect("room for it");
    }
    let summary = run(&configured(folder.path(), &broker, &data)).with_code(0).json();
    assert_eq!(summary["records"], 800, "{}", layout.display());
    oracle("compare.py", [&data, &input]).with_code(0);
    let program = Program::new(env!("CARGO_BIN_EXE_ringwatch"));
    program.run(["verify".as_ref(), "--data".as_ref(), data.as_os_str()]).with_code(0);
}

#[test]
fn a_folder_of_this_layout_is_gone_on_with_and_one_of_a_layout_before_is_refused_by_name() {
    let layouts = layouts();
    assert!(!layouts.is_empty());
    for layout in layouts {
        if number(&layout) < LAYOUT { check_refused(&layout) } else { check(&layout) }
    }
}
