//! The lines of one file, with bounded memory whatever their length.
//!
//! In: a file. Out: each line without its end (`\n` or `\r\n`), cut beyond what any record may
//! have, with its true size. Empty lines count; a last line without an end counts.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::RECORD_BYTES_MAX;
use crate::source::SourceError;

/// Read ahead of each file: large enough for few system calls, small enough for many files.
const BUFFER_BYTES: usize = 128 << 10;
/// What is kept of a line, its end included: enough that one byte beyond what a record may have is
/// seen, and refused for its size.
const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + 3;
/// What of the first line goes into the identity of the input.
const FIRST_BYTES_MAX: usize = 200;

/// A file, read line by line.
pub(super) struct Lines {
    file: String,
    reader: BufReader<File>,
    line: Vec<u8>,
    length: u64,
    next_number: i64,
}

/// One line.
pub(super) struct Line<'a> {
    /// Its bytes, cut at [`LINE_BYTES_MAX`].
    pub(super) kept: &'a [u8],
    /// Its bytes without the end of line (of a line that was cut: with it).
    pub(super) size: usize,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let file = path.display().to_string();
        let opened = File::open(path).and_then(|it| it.metadata().map(|meta| (it, meta.len())));
        let (handle, length) =
            opened.map_err(|source| SourceError::File { file: file.clone(), source })?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, handle);
        Ok(Self { file, reader, line: Vec::new(), length, next_number: 0 })
    }

    /// Bytes of the file when it was opened.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The number of the next line, from 0.
    pub(super) const fn next_number(&self) -> i64 {
        self.next_number
    }

    /// The first bytes of the first line, as text; the file is then at its start again.
    pub(super) fn first(&mut self) -> Result<String, SourceError> {
        let kept = self.next()?.map_or(&[][..], |line| line.kept);
        let first = String::from_utf8_lossy(&kept[..kept.len().min(FIRST_BYTES_MAX)]).into_owned();
        let rewound = self.reader.seek(SeekFrom::Start(0));
        rewound.map_err(|source| self.failed(source))?;
        self.next_number = 0;
        Ok(first)
    }

    /// Skips the lines before `number`, all of which must be there.
    pub(super) fn skip_to(&mut self, number: i64) -> Result<(), SourceError> {
        while self.next_number < number {
            if self.next()?.is_none() {
                let (file, lines) = (self.file.clone(), self.next_number);
                return Err(SourceError::FileShorter { file, lines, wanted: number });
            }
        }
        Ok(())
    }

    /// The next line; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, SourceError> {
        let read = self.read().map_err(|source| self.failed(source))?;
        if read == 0 {
            return Ok(None);
        }
        self.next_number += 1;
        if self.line.ends_with(b"\n") {
            self.line.pop();
            if self.line.ends_with(b"\r") {
                self.line.pop();
            }
        }
        let size = if read > LINE_BYTES_MAX { read } else { self.line.len() };
        Ok(Some(Line { kept: &self.line, size }))
    }

    /// Reads a line with its end into `line`, as much of it as is kept; returns its true length.
    fn read(&mut self) -> std::io::Result<usize> {
        self.line.clear();
        let mut head = (&mut self.reader).take(LINE_BYTES_MAX as u64);
        let read = head.read_until(b'\n', &mut self.line)?;
        if read < LINE_BYTES_MAX || self.line.ends_with(b"\n") {
            return Ok(read);
        }
        Ok(read + self.reader.skip_until(b'\n')?)
    }

    fn failed(&self, source: std::io::Error) -> SourceError {
        SourceError::File { file: self.file.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &[u8]) -> Vec<(Vec<u8>, usize)> {
        let path = std::env::temp_dir().join(format!("lines-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("the temporary folder is writable");
        let mut lines = Lines::open(&path).expect("just written");
        let mut found = Vec::new();
        while let Some(line) = lines.next().expect("just written") {
            found.push((line.kept.to_vec(), line.size));
        }
        std::fs::remove_file(&path).expect("just written");
        found
    }

    fn check(name: &str, content: &[u8], expected: &[&[u8]]) {
        let expected: Vec<_> = expected.iter().map(|it| (it.to_vec(), it.len())).collect();
        assert_eq!(read(name, content), expected);
    }

    #[test]
    fn every_line_counts_with_any_end() {
        check("ends", b"a\r\nbc\n\n\r\nd", &[b"a", b"bc", b"", b"", b"d"]);
        check("one-end", b"a\n", &[b"a"]);
        check("nothing", b"", &[]);
    }

    #[test]
    fn a_line_of_the_largest_size_is_whole_and_a_longer_one_is_cut() {
        let whole = vec![b'x'; RECORD_BYTES_MAX];
        let one_more = vec![b'x'; RECORD_BYTES_MAX + 1];
        let giant = vec![b'x'; 5 * RECORD_BYTES_MAX];
        let content = [&whole[..], b"\r\n", &one_more, b"\n", &giant, b"\nlast"].concat();
        let found = read("giant", &content);
        assert_eq!((found.len(), found[0].1, &found[0].0), (4, RECORD_BYTES_MAX, &whole));
        assert_eq!((found[1].1, found[1].0.len()), (RECORD_BYTES_MAX + 1, RECORD_BYTES_MAX + 1));
        assert_eq!((found[2].1, found[2].0.len()), (giant.len() + 1, LINE_BYTES_MAX));
        assert_eq!(found[3], (b"last".to_vec(), 4));
    }
}
