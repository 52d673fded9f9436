// SPDX-License-Identifier: Apache-2.0
//! Books that outlast the process: each change is in the file, on the disk, before anybody hears of it.

use super::{AdoptError, Book, SizeError, TakeError, text};
use crate::range::Range;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a file that is read: 65,533 pods take some 4 MB.
const FILE_MAX: u64 = 16 << 20;

/// Books, and their file. Calls wait for the disk.
#[derive(Debug)]
pub struct AddressBook {
    path: PathBuf,
    book: Mutex<Book>,
}

/// What the file said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// There was none.
    New,
    /// The books of before.
    Kept,
    /// The books of before were of another range, and are empty.
    OtherRange(Range),
    /// It cannot be read as books, which are empty: what the engine has is to be adopted. It is kept beside, as `….bad`.
    Unreadable(String),
}

/// Why a change was not made. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The range does not do.
    #[error(transparent)]
    Size(SizeError),
    /// There is no address.
    #[error(transparent)]
    Take(TakeError),
    /// The address is not that pod's.
    #[error(transparent)]
    Adopt(AdoptError),
    /// The file cannot be read or written.
    #[error("cannot keep the addresses of pods in {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl AddressBook {
    /// Opens the books of a range. Its folder must be there.
    pub fn open(path: &Path, range: Range) -> Result<(Self, Opened), BookError> {
        let mut book = Book::new(range).map_err(BookError::Size)?;
        let failed = |source| BookError::File { path: path.to_owned(), source };
        let opened = match read(path).map_err(failed)? {
            None => Opened::New,
            Some(Ok(found)) if found.range() == range => {
                book = found;
                Opened::Kept
            }
            Some(Ok(found)) => Opened::OtherRange(found.range()),
            Some(Err(why)) => {
                std::fs::rename(path, beside(path, "bad")).map_err(failed)?;
                Opened::Unreadable(why)
            }
        };
        let opened_book = Self { path: path.to_owned(), book: Mutex::new(book) };
        opened_book.change(|_| Ok(()))?;
        Ok((opened_book, opened))
    }

    /// The bridge's address.
    pub fn gateway(&self) -> Ipv4Addr {
        self.lock().gateway()
    }

    /// The address of a pod.
    pub fn get(&self, uid: &str) -> Option<Ipv4Addr> {
        self.lock().get(uid)
    }

    /// Uids of pods that have an address.
    pub fn uids(&self) -> Vec<String> {
        self.lock().iter().map(|(uid, _)| uid.to_owned()).collect()
    }

    /// As [`Book::take`]. An address that a pod has is told without a write.
    pub fn take(&self, uid: &str, now: i64) -> Result<Ipv4Addr, BookError> {
        if let Some(address) = self.get(uid) {
            return Ok(address);
        }
        self.change(|book| book.take(uid, now).map_err(BookError::Take))
    }

    /// As [`Book::adopt`].
    pub fn adopt(&self, uid: &str, address: Ipv4Addr, now: i64) -> Result<(), BookError> {
        if self.get(uid) == Some(address) {
            return Ok(());
        }
        self.change(|book| book.adopt(uid, address, now).map_err(BookError::Adopt))
    }

    /// As [`Book::give_back`].
    pub fn give_back(&self, uid: &str, now: i64) -> Result<Option<Ipv4Addr>, BookError> {
        if self.get(uid).is_none() {
            return Ok(None);
        }
        self.change(|book| Ok(book.give_back(uid, now)))
    }

    fn change<T>(
        &self,
        make: impl FnOnce(&mut Book) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        let mut book = self.lock();
        let mut next = book.clone();
        let made = make(&mut next)?;
        let written = write(&self.path, &text::write(&next));
        written.map_err(|source| BookError::File { path: self.path.clone(), source })?;
        *book = next;
        Ok(made)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The books in a file, or what is wrong with it; none if there is no file.
fn read(path: &Path) -> io::Result<Option<Result<Book, String>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Ok(Some(Err("it is no file".to_owned())));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Ok(Some(Err(format!("it has more than {FILE_MAX} bytes"))));
    }
    let book =
        String::from_utf8(bytes).map_err(|_| "it is no text").and_then(|all| text::read(&all));
    Ok(Some(book.map_err(str::to_owned)))
}

/// Whole or not at all, whenever the machine stops.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, "new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    std::fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}
