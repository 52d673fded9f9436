// SPDX-License-Identifier: Apache-2.0
//! What an agent keeps of its own: where its cluster is, its certificates, and what tells it from others of its name.

use super::request::Kind;
use anyhow::Context;
use berth_cluster_auth::pki::{Pair, kubeconfig, write_text};
use berth_cluster_client::Api;
use std::fs;
use std::path::PathBuf;

/// A cluster: where it is called, and by which CA it is known (PEM).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) url: String,
    pub(super) ca: String,
}

impl Cluster {
    /// The API as who has this certificate.
    pub(super) async fn api(&self, pair: &Pair) -> anyhow::Result<Api> {
        let text = kubeconfig(&self.url, "agent", &self.ca, pair);
        Ok(Api::of_kubeconfig(&text, "of the agent").await?)
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where pods' files are.
    pub(super) fn pods(&self) -> PathBuf {
        self.root.join("agent")
    }

    fn own(&self, name: &str) -> PathBuf {
        self.root.join("pki").join(name)
    }

    /// The cluster that this node is of; none if it has not joined.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        let url = fs::read_to_string(self.own("server")).ok()?;
        let ca = fs::read_to_string(self.own("ca.crt")).ok()?;
        Some(Cluster { url: url.trim().to_owned(), ca })
    }

    pub(super) fn keep_cluster(&self, cluster: &Cluster) -> anyhow::Result<()> {
        write_text(&self.own("ca.crt"), &cluster.ca)?;
        Ok(write_text(&self.own("server"), &format!("{}\n", cluster.url))?)
    }

    /// A certificate that is not over yet; none if there is none.
    pub(super) fn pair(&self, kind: Kind, now: i64) -> anyhow::Result<Option<Pair>> {
        let pair = Pair::read(&self.own(kind.file()))?;
        Ok(pair.filter(|pair| pair.validity().is_some_and(|(_, ends)| ends > now)))
    }

    /// Whether there is one, be it over.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.own(kind.file()).exists()
    }

    pub(super) fn keep(&self, kind: Kind, pair: &Pair) -> anyhow::Result<()> {
        Ok(pair.write(&self.own(kind.file()))?)
    }

    /// By what this agent is told from others of its name: made once, and kept.
    pub(super) fn id(&self) -> anyhow::Result<String> {
        let path = self.own("id");
        if let Ok(id) = fs::read_to_string(&path)
            && !id.trim().is_empty()
        {
            return Ok(id.trim().to_owned());
        }
        let id = format!("{:016x}{:016x}", crate::scheduler::random(), crate::scheduler::random());
        write_text(&path, &format!("{id}\n"))?;
        Ok(id)
    }

    /// Removes all of it.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.root)
            .with_context(|| format!("files are left in {}", self.root.display()))
    }
}
