//! A folder of files through [`NdjsonSource`]: what comes out, in which order, from where.

#![expect(clippy::expect_used, reason = "a test that cannot set its scene fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingest::{NdjsonSource, Source, SourceError, SourceEvent, Start};
use schemas::{Stream, StreamKind, Timestamp};

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, files: &[(&str, String)]) -> Self {
        let path = std::env::temp_dir().join(format!("ndjson-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        for (file, content) in files {
            fs::write(path.join(file), content).expect("the temporary folder is writable");
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("created by this test");
    }
}

/// What a source says until it is quiet, one word each: `t0:3` is line 3 of the first telemetry
/// file, `t0$4` its end. The time reported of a line is the number it holds.
fn read(folder: &Path, from: Start) -> Result<Vec<String>, SourceError> {
    let mut source = NdjsonSource::open(folder)?;
    let short = |it: Stream| format!("{}{}", &it.kind.name()[..1], it.partition);
    let mut words = Vec::new();
    loop {
        let progress = match source.next(Duration::ZERO)? {
            SourceEvent::Record(record) => {
                words.push(format!("{}:{}", short(record.stream), record.offset));
                let text = std::str::from_utf8(record.value.expect("lines have values"));
                let time = text.expect("written as text").parse().unwrap_or(0);
                Some((record.stream, Timestamp(time)))
            }
            SourceEvent::EndOfPartition { stream, offset } => {
                words.push(format!("{}${offset}", short(stream)));
                None
            }
            SourceEvent::Assigned(streams) => {
                words.extend(streams.iter().map(|stream| format!("+{}", short(*stream))));
                let starts: Vec<_> = streams.into_iter().map(|stream| (stream, from)).collect();
                source.start(&starts)?;
                None
            }
            SourceEvent::Quiet => return Ok(words),
            other => panic!("{other:?} from files"),
        };
        if let Some((stream, time)) = progress {
            source.progress(stream, time);
        }
    }
}

#[test]
fn the_registry_comes_first_and_whole_and_other_files_are_ignored() {
    let folder = Folder::with(
        "order",
        &[
            ("telemetry-b.ndjson", "1\r\n\n3".to_owned()),
            ("telemetry-a.ndjson", "1\n".to_owned()),
            ("support.ndjson", String::new()),
            ("changes.ndjson", "{}\n{}\n".to_owned()),
            ("telemetry.txt", "no".to_owned()),
            ("truth.ndjson", "no".to_owned()),
        ],
    );
    let words = read(&folder.0, Start::Earliest).expect("readable");
    let expected = "+c0 +s0 +t0 +t1 c0:0 c0:1 c0$2 s0$0 t0:0 t0$1 t1:0 t1:1 t1:2 t1$3";
    assert_eq!(words.join(" "), expected);
}

#[test]
fn telemetry_files_advance_together_by_event_time() {
    let lines = |step: i64| {
        let lines: Vec<_> = (0..5_000).map(|it| (it * step).to_string()).collect();
        lines.join(
            "
",
        )
    };
    let files = [("telemetry-0.ndjson", lines(1)), ("telemetry-1.ndjson", lines(4))];
    let folder = Folder::with("together", &files);
    let words = read(&folder.0, Start::Earliest).expect("readable");
    assert_eq!(words, read(&folder.0, Start::Earliest).expect("readable"), "the same order again");
    let mut at = BTreeMap::new();
    for word in &words {
        let Some((part, line)) = word.split_once(':') else { continue };
        let step = if part == "t0" { 1 } else { 4 };
        at.insert(part, line.parse::<i64>().expect("a number") * step);
        if word == "t0:4999" {
            break;
        }
        let apart =
            at.values().max().copied().unwrap_or(0) - at.values().min().copied().unwrap_or(0);
        assert!(apart <= 1_024 * 4, "{word}: {at:?}");
    }
    assert_eq!(words.len(), 10_000 + 4, "every line, two assignments, two ends");
}

#[test]
fn a_file_is_resumed_at_its_line_and_one_that_shrank_is_refused() {
    let folder = Folder::with("resume", &[("telemetry.ndjson", "1\n2\n3\n".to_owned())]);
    assert_eq!(read(&folder.0, Start::At(2)).expect("readable").join(" "), "+t0 t0:2 t0$3");
    assert_eq!(read(&folder.0, Start::At(3)).expect("readable").join(" "), "+t0 t0$3");
    let error = read(&folder.0, Start::At(4)).expect_err("shorter").to_string();
    assert!(error.contains("has 3 lines, and line 4"), "{error}");
}

#[test]
fn a_folder_without_telemetry_is_refused_by_name() {
    let folder = Folder::with("empty", &[("changes.ndjson", String::new())]);
    let error = read(&folder.0, Start::Earliest).expect_err("no telemetry").to_string();
    assert!(error.contains("no file telemetry*.ndjson"), "{error}");
    assert!(matches!(NdjsonSource::open(&folder.0.join("nowhere")), Err(SourceError::File { .. })));
}

#[test]
fn identity_tells_inputs_apart() {
    let identity = |name: &str, content: &str| {
        let folder = Folder::with(name, &[("telemetry.ndjson", content.to_owned())]);
        NdjsonSource::open(&folder.0).expect("readable").identity()
    };
    assert_eq!(identity("same-1", "1\n2\n"), identity("same-2", "1\n2\n"));
    assert_ne!(identity("other-1", "1\n2\n"), identity("other-2", "2\n2\n"));
    assert_ne!(identity("long-1", "1\n2\n"), identity("long-2", "1\n2\n3\n"));
}

#[test]
fn a_paused_file_waits_and_ends_are_known_when_read() {
    let folder = Folder::with("pause", &[("telemetry.ndjson", "1\n2\n".to_owned())]);
    let stream = Stream { kind: StreamKind::Telemetry, partition: 0 };
    let mut source = NdjsonSource::open(&folder.0).expect("readable");
    let next = |source: &mut NdjsonSource| {
        format!("{:?}", source.next(Duration::ZERO).expect("readable"))
            .chars()
            .take(6)
            .collect::<String>()
    };
    assert_eq!((next(&mut source), next(&mut source)), ("Assign".to_owned(), "Record".to_owned()));
    source.pause(&[stream]).expect("files can wait");
    assert_eq!(next(&mut source), "Quiet");
    assert!(source.end_offsets().expect("known").is_empty());
    source.resume(&[stream]).expect("files can wait");
    assert_eq!((next(&mut source), next(&mut source)), ("Record".to_owned(), "EndOfP".to_owned()));
    assert_eq!(source.end_offsets().expect("known"), BTreeMap::from([(stream, 2)]));
}
