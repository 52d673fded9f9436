// SPDX-License-Identifier: Apache-2.0
//! Names and paths that come from objects, held against what could lead elsewhere. The API refuses most of these; an agent may be told of
//! them nevertheless, by another API or a static file.

/// Bytes of a path, and of each name in it (`PATH_MAX`, `NAME_MAX` of Linux).
const PATH_BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 255;
/// Names in the path of a file that is written: each is a folder that is open meanwhile.
const NAMES_MAX: usize = 100;

/// Why a name or a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It would lead elsewhere, or is none.
    #[error(
        "{what} {name:?} cannot be the name of a folder: use letters, digits, '-', '_' and '.', at most 200, and begin with none of the last three"
    )]
    Name {
        /// Of what.
        what: &'static str,
        /// As it was written.
        name: String,
    },
    /// A path goes up.
    #[error("{what} {path:?} must not contain '..'")]
    Backsteps {
        /// Which.
        what: &'static str,
        /// As it was written.
        path: String,
    },
    /// A path has characters that no path of a pod has.
    #[error("{what} {path:?} must not be empty, nor hold control characters{}", if *.colon { " or ':'" } else { "" })]
    Characters {
        /// Which.
        what: &'static str,
        /// As it was written.
        path: String,
        /// Whether a colon is refused too.
        colon: bool,
    },
    /// A path begins at the wrong end.
    #[error("{what} {path:?} must be {} path", if *.wanted { "an absolute" } else { "a relative" })]
    Absolute {
        /// Which.
        what: &'static str,
        /// As it was written.
        path: String,
        /// Whether it has to be absolute.
        wanted: bool,
    },
    /// A path begins with what is kept for the swap of contents.
    #[error("{what} {path:?} must not start with '..'")]
    Reserved {
        /// Which.
        what: &'static str,
        /// As it was written.
        path: String,
    },
    /// A path, or a name in it, has no room.
    #[error(
        "{what} {path:?} is too long: at most 4096 bytes, 255 for each name, and 100 names where a file is written"
    )]
    Long {
        /// Which.
        what: &'static str,
        /// As it was written.
        path: String,
    },
}

/// The name of an object, as the name of a folder: one that says nothing to the system.
pub(crate) fn plain<'a>(what: &'static str, name: &'a str) -> Result<&'a str, NameError> {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let first = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if first && name.len() <= 200 && name.bytes().all(letters) {
        return Ok(name);
    }
    Err(NameError::Name { what, name: name.to_owned() })
}

/// A path below a volume, in its simplest form: `a//./b` is `a/b`. That of the volume itself is empty.
pub(crate) fn below(what: &'static str, path: &str) -> Result<String, NameError> {
    if path.starts_with('/') {
        return Err(NameError::Absolute { what, path: path.to_owned(), wanted: false });
    }
    simple(what, path, false)
}

/// The path of a file in a volume whose contents are swapped.
pub(crate) fn file(what: &'static str, path: &str) -> Result<String, NameError> {
    let simple = below(what, path)?;
    if simple.starts_with("..") {
        return Err(NameError::Reserved { what, path: path.to_owned() });
    }
    if simple.is_empty() {
        return Err(NameError::Characters { what, path: path.to_owned(), colon: false });
    }
    if simple.split('/').count() > NAMES_MAX {
        return Err(NameError::Long { what, path: path.to_owned() });
    }
    Ok(simple)
}

/// An absolute path of the host, in its simplest form.
pub(crate) fn host(what: &'static str, path: &str) -> Result<String, NameError> {
    if !path.starts_with('/') {
        return Err(NameError::Absolute { what, path: path.to_owned(), wanted: true });
    }
    Ok(format!("/{}", simple(what, path, false)?))
}

/// Where a container sees something, which is absolute however it is written.
pub(crate) fn inside(what: &'static str, path: &str) -> Result<String, NameError> {
    Ok(format!("/{}", simple(what, path, true)?))
}

fn simple(what: &'static str, path: &str, colon: bool) -> Result<String, NameError> {
    let refused = |c: char| c.is_control() || (colon && c == ':');
    if path.is_empty() || path.contains(refused) {
        return Err(NameError::Characters { what, path: path.to_owned(), colon });
    }
    if path.split('/').any(|name| name == "..") {
        return Err(NameError::Backsteps { what, path: path.to_owned() });
    }
    if path.len() > PATH_BYTES_MAX || path.split('/').any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(NameError::Long { what, path: path.to_owned() });
    }
    let names = path.split('/').filter(|name| !name.is_empty() && *name != ".");
    Ok(names.collect::<Vec<_>>().join("/"))
}

/// A label of RFC 1123: what a host can be called.
pub(crate) fn is_label(name: &str) -> bool {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = !name.starts_with('-') && !name.ends_with('-');
    !name.is_empty() && name.len() <= 63 && ends && name.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_something_to_the_system_are_refused() {
        for name in
            ["", ".", "..", "../x", "a/b", "-rf", ".hidden", "_x", "a\0b", "a\nb", "ä", " a"]
        {
            assert!(plain("uid", name).is_err(), "{name:?}");
        }
        assert!(plain("uid", &"a".repeat(201)).is_err());
        for name in ["a", "0-9_.", "8e1a6c1e-7b55-4c1e-9b3a-b0a7e7c0ffee", "A"] {
            assert_eq!(plain("uid", name), Ok(name));
        }
    }

    #[test]
    fn paths_are_simplified_or_refused() {
        let long = "a/".repeat(2049);
        let wide = "a".repeat(256);
        for path in
            ["", "..", "../x", "a/../b", "a/..", "/a", "a\nb", "a\0", "a\u{7f}", &long, &wide]
        {
            assert!(below("subPath", path).is_err(), "{path:?}");
        }
        for (path, want) in
            [("a", "a"), ("./a//b/", "a/b"), (".", ""), ("..a", "..a"), ("a,b:c", "a,b:c")]
        {
            assert_eq!(below("subPath", path).as_deref(), Ok(want), "{path:?}");
        }
        for path in ["..data", "..", "./..x", ".", "./."] {
            assert!(file("path", path).is_err(), "{path:?}");
        }
        assert!(file("path", &"a/".repeat(101)).is_err());
        assert!(file("path", &"a/".repeat(100)).is_ok());
        assert_eq!(file("path", "a/..b").as_deref(), Ok("a/..b"));
        for path in ["a", "", "/a/../b", "/..", "/a\tb"] {
            assert!(host("path", path).is_err(), "{path:?}");
        }
        assert_eq!(host("path", "/").as_deref(), Ok("/"));
        assert_eq!(host("path", "//a/./b:c").as_deref(), Ok("/a/b:c"));
        assert!(inside("mountPath", "/a:b").is_err());
        assert!(inside("mountPath", "/a/../../etc").is_err());
        assert_eq!(inside("mountPath", "a/b").as_deref(), Ok("/a/b"));
    }

    #[test]
    fn labels() {
        for name in ["a", "0a-b", &"a".repeat(63)] {
            assert!(is_label(name), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(64)] {
            assert!(!is_label(name), "{name}");
        }
    }
}
