// SPDX-License-Identifier: Apache-2.0
//! etcd, one member, without TLS and without users, which is in its favour: puts over gRPC, as many at once as we have clients.

use crate::api::storm::{Latencies, Tally, own_cpu_seconds};
use crate::error::Error;
use prost::Message;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

/// Connections that the clients share; with one for each client etcd does less.
const CONNECTIONS: usize = 8;
/// How long it may take to answer first.
const PATIENCE: Duration = Duration::from_secs(20);

/// `etcdserverpb.PutRequest`: the fields that are used.
#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: bytes::Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: bytes::Bytes,
}

/// `etcdserverpb.PutResponse`: that it came is all that is asked.
#[derive(Clone, PartialEq, Message)]
struct PutResponse {}

/// An etcd that runs.
#[derive(Debug)]
pub struct Etcd {
    child: Child,
    channels: Vec<Channel>,
    numbers: Arc<AtomicU64>,
    _folder: TempDir,
}

/// Where it is, if it is installed.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file())
}

impl Etcd {
    /// Starts one whose data lie below `folder`.
    pub async fn start(program: &PathBuf, folder: &std::path::Path) -> Result<Self, Error> {
        let folder = tempfile::tempdir_in(folder).map_err(Error::Folder)?;
        let [client, peer] = [free_address()?, free_address()?].map(|at| format!("http://{at}"));
        let child = Command::new(program)
            .args(["--log-level", "error", "--name", "one", "--data-dir"])
            .arg(folder.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .arg(format!("--initial-cluster=one={peer}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| Error::Start { program: "etcd".to_owned(), source })?;
        let endpoint = Endpoint::from_shared(client.clone())
            .map_err(|source| Error::Connect { address: client, source })?;
        let channels = (0..CONNECTIONS).map(|_| endpoint.connect_lazy()).collect();
        let etcd = Self { child, channels, numbers: Arc::default(), _folder: folder };
        let began = Instant::now();
        loop {
            match put(&etcd.channels[0], 0, &bytes::Bytes::from_static(b"ready")).await {
                Ok(()) => return Ok(etcd),
                Err(error) if began.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Seconds of CPU so far.
    pub fn cpu_seconds(&self) -> f64 {
        crate::balance::usage::cpu_seconds(self.child.id()).unwrap_or(f64::NAN)
    }

    /// Puts values under keys of their own, so many at once, for so long.
    pub async fn puts(&self, clients: usize, value: usize, time: Duration) -> Result<Tally, Error> {
        let value = bytes::Bytes::from(vec![b'x'; value]);
        let (began, own) = (Instant::now(), own_cpu_seconds());
        let mut working = JoinSet::new();
        for client in 0..clients {
            let channel = self.channels[client % self.channels.len()].clone();
            let (numbers, value) = (Arc::clone(&self.numbers), value.clone());
            working.spawn(async move {
                let mut latencies = Latencies::default();
                while began.elapsed() < time {
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    let one = Instant::now();
                    put(&channel, number, &value).await?;
                    latencies.add(one.elapsed());
                }
                Ok::<_, Error>(latencies)
            });
        }
        let mut tally = Tally::default();
        while let Some(ended) = working.join_next().await {
            let ended = ended.map_err(|error| Error::Api(format!("a client ended: {error}")))?;
            tally.one.join(&ended?);
        }
        tally.seconds = began.elapsed().as_secs_f64();
        tally.client_seconds = own_cpu_seconds() - own;
        Ok(tally)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn put(channel: &Channel, number: u64, value: &bytes::Bytes) -> Result<(), Error> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|source| Error::Connect { address: "etcd".into(), source })?;
    let key = format!("/registry/configmaps/load/object-{number:012}").into();
    let request = tonic::Request::new(PutRequest { key, value: value.clone() });
    let codec = tonic_prost::ProstCodec::<PutRequest, PutResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/etcdserverpb.KV/Put");
    client.unary(request, path, codec).await.map(drop).map_err(Error::call("Put"))
}

/// An address that is free now.
fn free_address() -> Result<std::net::SocketAddr, Error> {
    let socket = TcpListener::bind(("127.0.0.1", 0));
    socket.and_then(|socket| socket.local_addr()).map_err(Error::Load)
}
