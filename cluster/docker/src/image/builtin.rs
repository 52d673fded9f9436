// SPDX-License-Identifier: Apache-2.0
//! Images of this crate's own programs, which need no registry: `pause`, `echo` and `reach`. The build compiles the programs; the engine
//! gets them through its API.
//!
//! A name's tag is a digest of the program, so that two versions of the agent share an engine, and neither takes the other's name.

use crate::engine::Engine;
use crate::error::CallError;
use crate::image::archive::{ImageFiles, sha256};

static PAUSE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
static ECHO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/echo"));
static REACH: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reach"));

/// Says in an image which program it holds. It is none of the labels that containers are known by, for containers have their images'
/// labels too.
const PROGRAM: &str = "io.berth.image/program";

/// What images of these programs are called by, as far as the tag.
#[must_use]
pub fn echo_image() -> String {
    files("echo", ECHO).reference
}

impl Engine {
    /// Sees to it that the image of sandboxes is there, and gives its id.
    pub(crate) async fn ensure_pause(&self) -> Result<String, CallError> {
        self.ensure(files("pause", PAUSE)).await
    }

    /// Sees to it that the image of the program that answers over HTTP is there, and gives its name ([`echo_image`]).
    pub async fn ensure_echo(&self) -> Result<String, CallError> {
        let files = files("echo", ECHO);
        let reference = files.reference.clone();
        self.ensure(files).await.map(|_| reference)
    }

    /// Sees to it that the image of the program that ends execs is there, and gives its id.
    pub(crate) async fn ensure_reach(&self) -> Result<String, CallError> {
        self.ensure(files("reach", REACH)).await
    }

    async fn ensure(&self, files: ImageFiles) -> Result<String, CallError> {
        const CALL: &str = "load image";
        if let Some(id) = self.builtin(&files).await? {
            return Ok(id);
        }
        // Others wait for the first, and find what it loaded.
        let _one = self.loading.lock().await;
        if let Some(id) = self.builtin(&files).await? {
            return Ok(id);
        }
        let archive = files.archive();
        let archive = archive
            .map_err(|error| CallError::Unreadable { call: CALL, reason: error.to_string() })?;
        self.load_image(archive).await?;
        let id = self.builtin(&files).await?;
        let message = format!("it was loaded and is not there: {}", files.reference);
        id.ok_or(CallError::NotFound { call: CALL, message })
    }

    /// The id of one of ours, if it is there. One of the same name that is another's is left alone.
    async fn builtin(&self, files: &ImageFiles) -> Result<Option<String>, CallError> {
        let Some(image) = self.image_named(&files.reference).await? else { return Ok(None) };
        let wanted = files.labels.iter().all(|(key, value)| image.labels.get(key) == Some(value));
        if !wanted {
            let what = format!("image {}", files.reference);
            return Err(CallError::Foreign { call: "use image", what });
        }
        Ok(Some(image.id))
    }
}

fn files(name: &str, program: &[u8]) -> ImageFiles {
    let digest = sha256(program);
    ImageFiles {
        reference: format!("berth.local/{name}:{}", &digest[..16]),
        files: vec![(name.to_owned(), 0o755, program.to_vec())],
        entrypoint: vec![format!("/{name}")],
        labels: vec![(PROGRAM.to_owned(), digest)],
        ..ImageFiles::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::reference::Reference;

    #[test]
    fn the_programs_are_small_and_static() {
        for (program, bytes_max) in [(PAUSE, 4 << 10), (ECHO, 2 << 20), (REACH, 2 << 20)] {
            assert!(program.len() < bytes_max, "{} bytes", program.len());
            assert_eq!(&program[..4], b"\x7fELF");
            // A program that needs an interpreter names it.
            assert!(!program.windows(9).any(|part| part == b"/lib64/ld"));
        }
    }

    #[test]
    fn their_names_are_names_and_their_labels_are_not_those_of_containers() {
        for files in [files("pause", PAUSE), files("echo", ECHO), files("reach", REACH)] {
            let reference = Reference::parse(&files.reference).unwrap();
            assert_eq!(reference.to_string(), files.reference);
            assert!(files.labels.iter().all(|(key, _)| !key.starts_with("io.berth/")));
        }
        assert_ne!(files("a", b"1").reference, files("a", b"2").reference);
    }
}
