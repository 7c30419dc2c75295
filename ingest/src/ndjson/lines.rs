//! The lines of one file, with bounded memory whatever their length.
//!
//! In: a file. Out: each line without its end (`\n` or `\r\n`), cut beyond what any record may
//! have, with its true size. Empty lines count; a last line without an end counts. Lines stay
//! where they were read, several at a time, until they are dealt with.

use std::fs::File;
use std::io::Read;
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
    name: String,
    file: File,
    length: u64,
    /// What was read and not dealt with: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    /// The first line was too long to be kept: its true length, end included.
    giant: Option<usize>,
    /// Of the first line that is not dealt with, from 0.
    number: i64,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Its bytes, cut at [`LINE_BYTES_MAX`].
    pub(super) kept: &'a [u8],
    /// Its bytes without the end of line (of a line that was cut: with it).
    pub(super) size: usize,
    /// What it takes in the buffer.
    pub(super) taken: usize,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|it| it.metadata().map(|meta| (it, meta.len())));
        let (file, length) =
            opened.map_err(|source| SourceError::File { file: name.clone(), source })?;
        Ok(Self {
            name,
            file,
            length,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            is_at_end: false,
            giant: None,
            number: 0,
        })
    }

    /// Bytes of the file when it was opened.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The number of the first line that is not dealt with, from 0.
    pub(super) const fn number(&self) -> i64 {
        self.number
    }

    /// The first bytes of the first line, as text.
    pub(super) fn first(&mut self) -> Result<String, SourceError> {
        self.fill()?;
        let kept = self.at(0).map_or(&[][..], |line| line.kept);
        Ok(String::from_utf8_lossy(&kept[..kept.len().min(FIRST_BYTES_MAX)]).into_owned())
    }

    /// Skips the lines before `number`, all of which must be there.
    pub(super) fn skip_to(&mut self, number: i64) -> Result<(), SourceError> {
        while self.number < number {
            self.fill()?;
            let Some(line) = self.at(0) else {
                let (file, lines) = (self.name.clone(), self.number);
                return Err(SourceError::FileShorter { file, lines, wanted: number });
            };
            let taken = line.taken;
            self.done(1, taken);
        }
        Ok(())
    }

    /// Reads until one whole line is there, if there is one.
    pub(super) fn fill(&mut self) -> Result<(), SourceError> {
        self.read().map_err(|source| SourceError::File { file: self.name.clone(), source })
    }

    /// The line that begins so many bytes behind what is dealt with, if it is there as a whole.
    pub(super) fn at(&self, offset: usize) -> Option<Line<'_>> {
        let bytes = &self.buffer[self.start + offset..self.end];
        if let Some(size) = self.giant.filter(|_| offset == 0) {
            return Some(Line { kept: &bytes[..LINE_BYTES_MAX], size, taken: LINE_BYTES_MAX });
        }
        let end = match memchr::memchr(b'\n', bytes) {
            Some(end) => end,
            None if self.is_at_end && !bytes.is_empty() => bytes.len(),
            None => return None,
        };
        let kept = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        // A carriage return alone is no end of line.
        let kept = if end < bytes.len() { kept } else { bytes };
        Some(Line { kept, size: kept.len(), taken: (end + 1).min(bytes.len()) })
    }

    /// Bytes of a line that [`Lines::at`] has found: so many, so many bytes behind what is dealt
    /// with.
    pub(super) fn kept(&self, offset: usize, length: usize) -> &[u8] {
        &self.buffer[self.start + offset..][..length]
    }

    /// So many lines, of so many bytes in all, have been dealt with.
    pub(super) fn done(&mut self, count: usize, taken: usize) {
        if count > 0 {
            self.giant = None;
        }
        self.start += taken;
        self.number += count as i64;
    }

    fn read(&mut self) -> std::io::Result<()> {
        let mut searched = 0;
        loop {
            let bytes = &self.buffer[self.start..self.end];
            if self.giant.is_some() || memchr::memchr(b'\n', &bytes[searched..]).is_some() {
                return Ok(());
            }
            searched = bytes.len();
            if searched >= LINE_BYTES_MAX {
                return self.pass_over(searched);
            }
            if self.is_at_end {
                return Ok(());
            }
            self.read_more()?;
        }
    }

    /// Reads once into free room, of which there is at least half a buffer then.
    fn read_more(&mut self) -> std::io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < self.end + BUFFER_BYTES / 2 {
            self.buffer.resize(self.end + BUFFER_BYTES, 0);
        }
        let read = self.file.read(&mut self.buffer[self.end..])?;
        self.end += read;
        self.is_at_end = read == 0;
        Ok(())
    }

    /// Passes over what is too long to be kept, `searched` bytes of which hold no end of line.
    fn pass_over(&mut self, searched: usize) -> std::io::Result<()> {
        let mut length = searched;
        let kept = self.start..self.start + LINE_BYTES_MAX;
        self.buffer.copy_within(kept, 0);
        (self.start, self.end) = (0, LINE_BYTES_MAX);
        self.buffer.resize(LINE_BYTES_MAX + BUFFER_BYTES, 0);
        loop {
            let read = self.file.read(&mut self.buffer[LINE_BYTES_MAX..])?;
            let bytes = LINE_BYTES_MAX..LINE_BYTES_MAX + read;
            let newline = memchr::memchr(b'\n', &self.buffer[bytes.clone()]);
            if let Some(at) = newline {
                self.giant = Some(length + at + 1);
                // What follows the line goes behind what is kept of it.
                self.buffer.copy_within(bytes.start + at + 1..bytes.end, LINE_BYTES_MAX);
                self.end = bytes.end - at - 1;
                return Ok(());
            }
            length += read;
            if read == 0 {
                self.is_at_end = true;
                self.giant = Some(length);
                return Ok(());
            }
        }
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
        loop {
            lines.fill().expect("just written");
            let (mut count, mut taken) = (0, 0);
            while let Some(line) = lines.at(taken) {
                found.push((line.kept.to_vec(), line.size));
                (count, taken) = (count + 1, taken + line.taken);
            }
            if count == 0 {
                break;
            }
            lines.done(count, taken);
        }
        assert_eq!(lines.number(), found.len() as i64);
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
        check("return", b"a\r", &[b"a\r"]);
        check("nothing", b"", &[]);
    }

    #[test]
    fn lines_across_reads_stay_whole() {
        let long = vec![b'y'; BUFFER_BYTES - 7];
        let lines: Vec<&[u8]> =
            (0..40).map(|at| if at % 3 == 0 { &long[..] } else { b"z" }).collect();
        check("across", &lines.join(&b"\n"[..]), &lines);
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
        // The same without anything behind it.
        let found = read("giant-end", &giant);
        assert_eq!((found.len(), found[0].1), (1, giant.len()));
    }
}
