// SPDX-License-Identifier: Apache-2.0
//! Files of verdicts: one JSON object a line, plain or gzip. What a line is shows in its content.

use crate::case::OracleCase;
use crate::error::{Problem, ReadError};
use crate::preemption::OraclePreemption;
use crate::sequence::OracleSequence;
use flate2::bufread::MultiGzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// One line of a file.
#[derive(Debug, Clone)]
pub enum Record {
    /// One pod on one cluster.
    Case(Box<OracleCase>),
    /// A history of a cluster.
    Sequence(Box<OracleSequence>),
    /// One pod that fits nowhere.
    Preemption(Box<OraclePreemption>),
}

impl Record {
    /// Its unique name.
    pub fn name(&self) -> &str {
        match self {
            Self::Case(case) => &case.name,
            Self::Sequence(sequence) => &sequence.name,
            Self::Preemption(preemption) => &preemption.name,
        }
    }

    fn from_line(line: &str) -> Result<Self, Problem> {
        let value: Value = serde_json::from_str(line).map_err(Problem::Json)?;
        Ok(if value.get("events").is_some() {
            Self::Sequence(Box::new(OracleSequence::read(value)?))
        } else if value.pointer("/expect/eligible").is_some() {
            Self::Preemption(Box::new(OraclePreemption::read(value)?))
        } else {
            Self::Case(Box::new(OracleCase::read(value)?))
        })
    }
}

/// The records of a file, one after the other.
pub struct Records {
    file: PathBuf,
    line: usize,
    lines: Box<dyn BufRead>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("file", &self.file)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// Opens a file.
pub fn open(path: impl AsRef<Path>) -> Result<Records, ReadError> {
    let path = path.as_ref();
    let fail =
        |error| ReadError { file: path.to_owned(), line: 0, problem: Box::new(Problem::Io(error)) };
    let file = File::open(path).map_err(fail)?;
    read(path, file).map_err(|error| ReadError {
        file: path.to_owned(),
        line: 0,
        problem: Box::new(error),
    })
}

/// Reads from anything; `name` stands in errors.
pub fn read(name: impl AsRef<Path>, source: impl Read + 'static) -> Result<Records, Problem> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let mut source = BufReader::new(source);
    let packed = source.fill_buf().map_err(Problem::Io)?.starts_with(&GZIP);
    let lines: Box<dyn BufRead> = if packed {
        Box::new(BufReader::new(MultiGzDecoder::new(source)))
    } else {
        Box::new(source)
    };
    Ok(Records { file: name.as_ref().to_owned(), line: 0, lines })
}

impl Iterator for Records {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = String::new();
        loop {
            text.clear();
            self.line += 1;
            let record = match self.lines.read_line(&mut text) {
                Ok(0) => return None,
                Ok(_) if text.trim().is_empty() => continue,
                Ok(_) => Record::from_line(&text),
                Err(error) => {
                    // After an error of the source nothing sensible follows.
                    self.lines = Box::new(std::io::empty());
                    Err(Problem::Io(error))
                }
            };
            let (file, line) = (&self.file, self.line);
            return Some(record.map_err(|problem| ReadError {
                file: file.clone(),
                line,
                problem: Box::new(problem),
            }));
        }
    }
}
