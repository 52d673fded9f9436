// SPDX-License-Identifier: Apache-2.0
//! Handshakes of TLS between a server and clients of one CA, in memory and at a time of our own: whom the server lets in and under
//! which name, and that it goes on with a new certificate.
#![allow(
    clippy::unwrap_used,
    reason = "a handshake that cannot be set up is a failure of the test"
)]

use berth_cluster_auth::pki::{Options, Pair, Pki};
use berth_cluster_auth::{User, certificate};
use core::sync::atomic::{AtomicI64, Ordering};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 60 * 60;

/// A clock that the test sets.
#[derive(Debug)]
struct Clock(AtomicI64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed).unsigned_abs();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A cluster: its CA, its server's TLS, its clock.
struct Cluster {
    pki: Pki,
    server: Arc<ServerConfig>,
    clock: Arc<Clock>,
    _folder: tempfile::TempDir,
}

type Ends = (server::TlsStream<DuplexStream>, client::TlsStream<DuplexStream>);

impl Cluster {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), &Options::default(), NOW).unwrap();
        let clock = Arc::new(Clock(AtomicI64::new(NOW)));
        let mut server = pki.server_config().unwrap();
        server.time_provider = Arc::<Clock>::clone(&clock);
        Self { pki, server: Arc::new(server), clock, _folder: folder }
    }

    fn set(&self, now: i64) {
        self.clock.0.store(now, Ordering::Relaxed);
    }

    /// TLS of a client that trusts this CA, with a certificate or without.
    fn client(&self, pair: Option<&Pair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pki.ca_pem().as_bytes()).unwrap()).unwrap();
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.time_provider = Arc::<Clock>::clone(&self.clock);
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    /// Both ends after a handshake, in which the client calls the server by a name.
    async fn shake(&self, client: ClientConfig, host: &'static str) -> io::Result<Ends> {
        let (near, far) = duplex(64 * 1024);
        let accept = TlsAcceptor::from(Arc::clone(&self.server)).accept(near);
        let connect = TlsConnector::from(Arc::new(client)).connect(host.try_into().unwrap(), far);
        let (server, client) = tokio::join!(accept, connect);
        Ok((server?, client?))
    }

    /// Who the server says the client is.
    async fn who(&self, pair: Option<&Pair>) -> io::Result<User> {
        let (mut server, mut client) =
            self.shake(self.client(pair), "kubernetes.default.svc").await?;
        talk(&mut server, &mut client).await?;
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let shown = server.get_ref().1.peer_certificates().and_then(<[_]>::first);
        Ok(shown.map_or_else(User::anonymous, |shown| certificate::user(shown).unwrap()))
    }
}

/// Each end says something to the other.
async fn talk(
    server: &mut server::TlsStream<DuplexStream>,
    client: &mut client::TlsStream<DuplexStream>,
) -> io::Result<()> {
    let (mut asked, mut answered) = ([0; 4], [0; 4]);
    client.write_all(b"ping").await?;
    client.flush().await?;
    server.read_exact(&mut asked).await?;
    server.write_all(b"pong").await?;
    server.flush().await?;
    client.read_exact(&mut answered).await?;
    assert_eq!((&asked, &answered), (b"ping", b"pong"));
    Ok(())
}

/// The certificate that the server showed.
fn shown(ends: &Ends) -> CertificateDer<'static> {
    ends.1.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_client_is_who_its_certificate_says() {
    let cluster = Cluster::new();
    let admin = cluster.pki.admin(NOW).unwrap();
    let user = cluster.who(Some(&admin)).await.unwrap();
    assert_eq!(user.name, "kubernetes-admin");
    assert_eq!(user.groups, ["system:masters", "system:authenticated"]);
    let node = cluster.pki.node("n1", NOW).unwrap();
    let user = cluster.who(Some(&node)).await.unwrap();
    assert_eq!(user.name, "system:node:n1");
    assert_eq!(user.groups, ["system:nodes", "system:authenticated"]);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_nobody() {
    let user = Cluster::new().who(None).await.unwrap();
    assert_eq!(user, User::anonymous());
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let stranger = theirs.pki.admin(NOW).unwrap();
    assert!(ours.who(Some(&stranger)).await.is_err());
    // and the server of another CA, though it has the same name, is not taken for ours
    assert!(ours.shake(theirs.client(None), "localhost").await.is_err());
}

#[tokio::test]
async fn a_certificate_has_its_time() {
    let cluster = Cluster::new();
    let spent = cluster.pki.issue_client("old", "", NOW - 366 * DAY).unwrap();
    let early = cluster.pki.issue_client("new", "", NOW + DAY).unwrap();
    for pair in [&spent, &early] {
        assert!(cluster.who(Some(pair)).await.is_err());
    }
    let ending = cluster.pki.issue_client("ending", "", NOW - 364 * DAY).unwrap();
    assert_eq!(cluster.who(Some(&ending)).await.unwrap().name, "ending");
    cluster.set(NOW + 2 * DAY);
    assert!(cluster.who(Some(&ending)).await.is_err());
    assert_eq!(cluster.who(Some(&early)).await.unwrap().name, "new");
}

#[tokio::test]
async fn a_server_has_the_names_of_its_certificate() {
    let cluster = Cluster::new();
    for host in
        ["localhost", "kubernetes", "kubernetes.default.svc.cluster.local", "127.0.0.1", "10.0.0.1"]
    {
        cluster.shake(cluster.client(None), host).await.unwrap();
    }
    assert!(cluster.shake(cluster.client(None), "example.com").await.is_err());
}

#[tokio::test]
async fn a_server_goes_on_with_a_new_certificate() {
    let cluster = Cluster::new();
    let mut before = cluster.shake(cluster.client(None), "localhost").await.unwrap();
    assert!(!cluster.pki.renew_if_due(NOW + DAY).unwrap());
    let same = cluster.shake(cluster.client(None), "localhost").await.unwrap();
    assert_eq!(shown(&same), shown(&before));
    // without renewal clients would turn away
    cluster.set(NOW + 366 * DAY);
    assert!(cluster.shake(cluster.client(None), "localhost").await.is_err());
    assert!(cluster.pki.renew_if_due(NOW + 366 * DAY).unwrap());
    let after = cluster.shake(cluster.client(None), "localhost").await.unwrap();
    assert_ne!(shown(&after), shown(&before));
    // who was connected stays so
    talk(&mut before.0, &mut before.1).await.unwrap();
    let admin = cluster.pki.admin(NOW + 366 * DAY).unwrap();
    assert_eq!(cluster.who(Some(&admin)).await.unwrap().name, "kubernetes-admin");
}
