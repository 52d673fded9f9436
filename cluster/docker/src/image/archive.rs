// SPDX-License-Identifier: Apache-2.0
//! An image as `docker load` takes it, made in memory. Pure: the same content gives the same bytes, and so the same id.

use crate::body::hex;
use ring::digest;
use serde_json::json;
use std::io::{Error, Read};

/// What an image is made of: one layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFiles {
    /// `repository:tag`.
    pub reference: String,
    /// Paths without a leading slash, rights, content.
    pub files: Vec<(String, u32, Vec<u8>)>,
    /// Symbolic links: path, and where to.
    pub links: Vec<(String, String)>,
    /// Empty folders, with their rights.
    pub folders: Vec<(String, u32)>,
    /// ENTRYPOINT.
    pub entrypoint: Vec<String>,
    /// CMD.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// USER.
    pub user: String,
    /// WORKDIR.
    pub working_dir: String,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Volumes' paths.
    pub volumes: Vec<String>,
}

/// What processors are called in images.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

impl ImageFiles {
    /// The archive, for [`crate::Engine::load_image`].
    pub fn archive(&self) -> Result<Vec<u8>, Error> {
        let layer = self.layer()?;
        let config = self.config(&layer).to_string();
        let name = format!("{}.json", sha256(config.as_bytes()));
        let tags: &[&str] = if self.reference.is_empty() { &[] } else { &[&self.reference] };
        let manifest = json!([{"Config": name, "RepoTags": tags, "Layers": ["layer.tar"]}]);
        let mut archive = tar::Builder::new(Vec::new());
        file(&mut archive, &name, 0o644, config.as_bytes())?;
        file(&mut archive, "layer.tar", 0o644, layer.as_slice())?;
        file(&mut archive, "manifest.json", 0o644, manifest.to_string().as_bytes())?;
        archive.into_inner()
    }

    fn layer(&self) -> Result<Vec<u8>, Error> {
        let mut layer = tar::Builder::new(Vec::new());
        for (path, rights) in &self.folders {
            let mut header = header(*rights, 0);
            header.set_entry_type(tar::EntryType::Directory);
            layer.append_data(&mut header, path, std::io::empty())?;
        }
        for (path, rights, content) in &self.files {
            file(&mut layer, path, *rights, content.as_slice())?;
        }
        for (path, to) in &self.links {
            let mut header = header(0o777, 0);
            header.set_entry_type(tar::EntryType::Symlink);
            layer.append_link(&mut header, path, to)?;
        }
        layer.into_inner()
    }

    fn config(&self, layer: &[u8]) -> serde_json::Value {
        let set = |texts: &[String]| -> serde_json::Map<String, serde_json::Value> {
            texts.iter().map(|text| (text.clone(), json!({}))).collect()
        };
        let labels: serde_json::Map<String, serde_json::Value> =
            self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        json!({
            "architecture": ARCHITECTURE,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Entrypoint": self.entrypoint,
                "Cmd": self.cmd,
                "Env": self.env,
                "User": self.user,
                "WorkingDir": self.working_dir,
                "Labels": labels,
                "Volumes": set(&self.volumes),
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(layer))]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "berth"}],
        })
    }
}

/// The digest that an engine knows content by.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn header(rights: u32, length: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(rights);
    header.set_size(length);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn file(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    rights: u32,
    content: impl AsRef<[u8]>,
) -> Result<(), Error> {
    let content = content.as_ref();
    let mut header = header(rights, content.len() as u64);
    archive.append_data(&mut header, path, content.take(content.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let image = ImageFiles {
            reference: "a:b".to_owned(),
            files: vec![("x".to_owned(), 0o755, b"one".to_vec())],
            links: vec![("y".to_owned(), "x".to_owned())],
            ..ImageFiles::default()
        };
        let archive = image.archive().unwrap();
        assert_eq!(archive, image.archive().unwrap());
        let other = ImageFiles { files: vec![("x".to_owned(), 0o755, b"two".to_vec())], ..image };
        assert_ne!(archive, other.archive().unwrap());
        let mut read = tar::Archive::new(archive.as_slice());
        let paths: Vec<String> = read
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(paths.len(), 3);
        assert_eq!(paths[1..], ["layer.tar", "manifest.json"]);
    }
}
