// SPDX-License-Identifier: Apache-2.0
//! A server that only has the bytes: hyper over rustls as the apiserver has them, and one answer to everything. What an answer takes
//! beyond this is the apiserver's own doing.
//!
//! It is this very program, with the hidden command `serve-bytes FOLDER`: a process of its own, whose CPU can be told. It prints its
//! address, and ends when its input does.

use crate::api::wire::{Door, Identity};
use crate::error::Error;
use ::bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The hidden command.
pub const COMMAND: &str = "serve-bytes";
// Files of its folder.
const ANSWER: &str = "answer";
const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

/// The process.
#[derive(Debug)]
pub struct Responder {
    child: Child,
    _folder: TempDir,
    /// How to enter.
    pub door: Door,
}

impl Responder {
    /// Starts one that answers with these bytes.
    pub fn start(answer: &[u8]) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(Error::Folder)?;
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])
            .map_err(|error| Error::Api(format!("no certificate can be made: {error}")))?;
        let certificate = made.cert.pem();
        let key = made.signing_key.serialize_pem();
        for (name, content) in
            [(ANSWER, answer), (CERTIFICATE, certificate.as_bytes()), (KEY, key.as_bytes())]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, content).map_err(|source| Error::Write { path, source })?;
        }
        let program = std::env::current_exe().map_err(Error::Spawn)?;
        let mut child = Command::new(program)
            .arg(COMMAND)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::Spawn)?;
        let mut line = String::new();
        if let Some(output) = child.stdout.as_mut() {
            BufReader::new(output).read_line(&mut line).map_err(Error::Spawn)?;
        }
        let door = Door::new(line.trim_end(), certificate.as_bytes(), &Identity::Nobody);
        match door {
            Ok(door) => Ok(Self { child, _folder: folder, door }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Seconds of CPU so far.
    pub fn cpu_seconds(&self) -> f64 {
        crate::balance::usage::cpu_seconds(self.child.id()).unwrap_or(f64::NAN)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the hidden command does.
pub fn run(folder: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|source| Error::Read { path, source })
    };
    let (answer, certificate, key) = (Bytes::from(read(ANSWER)?), read(CERTIFICATE)?, read(KEY)?);
    let acceptor = TlsAcceptor::from(Arc::new(config(&certificate, &key)?));
    // As many threads as the apiserver's runtime takes: one a processor.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Error::Runtime)?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).map_err(Error::Load)?;
    let address = listener.local_addr().map_err(Error::Load)?;
    writeln!(out, "{address}").and_then(|()| out.flush()).map_err(Error::Output)?;
    runtime.spawn(accept(listener, acceptor, answer));
    // The end of the input is the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    runtime.shutdown_background();
    Ok(())
}

fn config(certificate: &[u8], key: &[u8]) -> Result<ServerConfig, Error> {
    let general = |error: tokio_rustls::rustls::pki_types::pem::Error| {
        Error::Tls(tokio_rustls::rustls::Error::General(error.to_string()))
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate).map_err(general)?];
    let key = PrivateKeyDer::from_pem_slice(key).map_err(general)?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(Error::Tls)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, answer: Bytes) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|_: http::Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let mut response = Response::new(Full::new(answer));
                    let json = http::HeaderValue::from_static("application/json");
                    response.headers_mut().insert(CONTENT_TYPE, json);
                    Ok::<_, Infallible>(response)
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
