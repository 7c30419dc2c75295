//! A folder of files through [`NdjsonSource`]: what comes out, in which order, from where.

#![expect(clippy::expect_used, reason = "a test that cannot set its scene fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingest::{Lane, NdjsonLane, NdjsonSource, Next, Source, SourceError, SourceEvent, Start};
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
    read_by(1, folder, from)
}

/// The same by several lanes, which take turns of one run.
fn read_by(count: usize, folder: &Path, from: Start) -> Result<Vec<String>, SourceError> {
    let mut source = NdjsonSource::open(folder)?;
    let mut lanes = source.lanes(count)?;
    let short = |it: Stream| format!("{}{}", &it.kind.name()[..1], it.partition);
    let mut words = Vec::new();
    loop {
        if let Some(SourceEvent::Assigned(streams)) = source.next()? {
            words.extend(streams.iter().map(|stream| format!("+{}", short(*stream))));
            for (number, stream) in streams.into_iter().enumerate() {
                lanes[number % count].begin(stream, from)?;
            }
            continue;
        }
        let before = words.len();
        for lane in &mut lanes {
            match lane.next(Duration::ZERO)? {
                Next::Run(stream) => {
                    let run = lane.run();
                    let mut newest = 0;
                    // Now all of a run, now half of it.
                    let all = run.records().len();
                    let done = if words.len() % 3 == 0 { all } else { all.div_ceil(2) };
                    for record in &run.records()[..done] {
                        assert_eq!(record.stream, stream);
                        words.push(format!("{}:{}", short(stream), record.offset));
                        let text = std::str::from_utf8(record.value.expect("lines have values"));
                        newest = text.expect("written as text").parse().unwrap_or(0).max(newest);
                    }
                    lane.done(done);
                    lane.progress(stream, Timestamp(newest));
                }
                Next::EndOfPartition { stream, offset } => {
                    words.push(format!("{}${offset}", short(stream)));
                }
                Next::Quiet => {}
                Next::Down(reason) => panic!("{reason} from files"),
            }
        }
        if words.len() == before {
            return Ok(words);
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

/// Two files whose lines are so many microseconds apart: how far they were from each other in event
/// time at most while both were read, and the most lines of one before another followed.
fn together(name: &str, count: i64, steps: [i64; 2]) -> (i64, usize) {
    let file = |number: usize| {
        let lines: Vec<_> = (0..count).map(|it| (it * steps[number]).to_string()).collect();
        (["telemetry-0.ndjson", "telemetry-1.ndjson"][number], lines.join("\n"))
    };
    let folder = Folder::with(name, &[file(0), file(1)]);
    let words = read(&folder.0, Start::Earliest).expect("readable");
    assert_eq!(words, read(&folder.0, Start::Earliest).expect("readable"), "the same order again");
    assert_eq!(words.len() as i64, 2 * count + 4, "every line, two assignments, two ends");
    let (mut at, mut apart, mut turn, mut longest) = ([0; 2], 0, (0, 0), 0);
    for (part, line) in words.iter().filter_map(|word| word.split_once(':')) {
        let part = usize::from(part == "t1");
        at[part] = line.parse::<i64>().expect("a number") * steps[part];
        apart = apart.max((at[0] - at[1]).abs());
        turn = if turn.0 == part { (part, turn.1 + 1) } else { (part, 1) };
        longest = longest.max(turn.1);
        if at[part] == (count - 1) * steps[part] {
            break;
        }
    }
    (apart, longest)
}

#[test]
fn telemetry_files_advance_together_by_event_time() {
    let minute_us = 60_000_000;
    // A line a second and one each four: after 1,024 lines the other's turn comes.
    let (apart, longest) = together("sparse", 5_000, [1_000_000, 4_000_000]);
    assert!(apart <= 2 * 1_024 * 4_000_000, "{apart}");
    assert!((1_024..=4 * 1_024 + 64).contains(&longest), "{longest}");
    // A hundred a second and fifty: after a minute of events.
    let (apart, longest) = together("dense", 20_000, [10_000, 20_000]);
    assert!(apart <= minute_us + 64 * 20_000, "{apart}");
    assert!((5_000..7_000).contains(&longest), "{longest}");
    // All at once: after so many lines.
    let (_, longest) = together("at once", 70_000, [1, 1]);
    assert_eq!(longest, 32_768);
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
fn lanes_wait_for_the_registry_and_for_each_other() {
    let lines = |step: i64| -> String {
        let lines: Vec<String> = (0..5_000).map(|it| (it * step).to_string()).collect();
        lines.join("\n")
    };
    let files = [
        ("changes.ndjson", "{}\n".repeat(100)),
        ("telemetry-0.ndjson", lines(1)),
        // A second a line: half an hour is 1,800 lines.
        ("telemetry-1.ndjson", lines(1_000_000)),
    ];
    let folder = Folder::with("lanes", &files);
    let words = read_by(2, &folder.0, Start::Earliest).expect("readable");
    assert_eq!(words, read_by(2, &folder.0, Start::Earliest).expect("readable"), "the same again");
    let at = |word: &str| words.iter().position(|it| it == word).expect("read");
    assert!(at("c0$100") < at("t0:0"));
    // 30 min of event time, and the runs under way.
    assert!(at("t0:4999") < at("t1:3000"), "{}", at("t1:3000"));
    assert_eq!(words.len(), 100 + 10_000 + 6);
}

#[test]
fn a_file_that_is_stopped_waits_and_begins_where_it_is_told() {
    let folder = Folder::with("pause", &[("telemetry.ndjson", "1\n2\n".to_owned())]);
    let stream = Stream { kind: StreamKind::Telemetry, partition: 0 };
    let mut source = NdjsonSource::open(&folder.0).expect("readable");
    let mut lane = source.lanes(1).expect("one").remove(0);
    assert!(matches!(source.next(), Ok(Some(SourceEvent::Assigned(_)))));
    let next = |lane: &mut NdjsonLane, source: &mut NdjsonSource| {
        assert!(matches!(source.next(), Ok(None)));
        lane.next(Duration::ZERO).expect("readable")
    };
    lane.begin(stream, Start::Earliest).expect("readable");
    assert!(matches!(next(&mut lane, &mut source), Next::Run(_)));
    lane.done(1);
    lane.stop(&[stream]);
    assert!(matches!(next(&mut lane, &mut source), Next::Quiet));
    lane.begin(stream, Start::At(1)).expect("readable");
    assert!(matches!(next(&mut lane, &mut source), Next::Run(_)));
    assert_eq!(lane.run().records()[0].offset, 1);
    lane.done(1);
    let end = next(&mut lane, &mut source);
    assert!(matches!(end, Next::EndOfPartition { offset: 2, .. }), "{end:?}");
}
