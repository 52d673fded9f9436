// SPDX-License-Identifier: Apache-2.0
//! TLS, client certificates, health, reflection, metrics.

use crate::fixture::{apply_nodes, client, cpu, pod, start};
use berth_proto::v1;
use berth_proto::v1::scheduler_client::SchedulerClient;
use berth_scheduler_service::{Server, StartError, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// An authority, and certificates of it.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, PEM.
    fn issue(&self, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn files(folder: &Path, authority: &Authority, client_ca: Option<&Authority>) -> TlsFiles {
    let (certificate, key) = authority.issue(ExtendedKeyUsagePurpose::ServerAuth);
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    TlsFiles {
        certificate: write("server.pem", &certificate),
        key: write("server.key", &key),
        client_ca: client_ca.map(|authority| write("ca.pem", &authority.pem)),
    }
}

async fn stats_over(address: SocketAddr, tls: ClientTlsConfig) -> bool {
    let endpoint = Endpoint::from_shared(format!("https://localhost:{}", address.port())).unwrap();
    let Ok(channel) = endpoint.tls_config(tls).unwrap().connect().await else { return false };
    SchedulerClient::new(channel).stats(v1::StatsRequest {}).await.is_ok()
}

#[tokio::test]
async fn clients_without_the_right_certificate_are_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let server = start(Server::builder().tls(files(folder.path(), &servers, Some(&clients)))).await;
    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&servers.pem));
    let with = |authority: &Authority, usage| {
        let (certificate, key) = authority.issue(usage);
        trusting().identity(Identity::from_pem(certificate, key))
    };
    let address = server.address();
    assert!(stats_over(address, with(&clients, ExtendedKeyUsagePurpose::ClientAuth)).await);
    assert!(!stats_over(address, with(&others, ExtendedKeyUsagePurpose::ClientAuth)).await);
    assert!(!stats_over(address, with(&clients, ExtendedKeyUsagePurpose::ServerAuth)).await);
    assert!(!stats_over(address, trusting()).await);
    let plain = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await;
    if let Ok(channel) = plain {
        assert!(SchedulerClient::new(channel).stats(v1::StatsRequest {}).await.is_err());
    }
    server.stop().await;
}

#[tokio::test]
async fn tls_without_client_certificates_is_just_tls() {
    let folder = tempfile::tempdir().unwrap();
    let servers = Authority::new();
    let server = start(Server::builder().tls(files(folder.path(), &servers, None))).await;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&servers.pem));
    assert!(stats_over(server.address(), tls).await);
    let untrusting =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&Authority::new().pem));
    assert!(!stats_over(server.address(), untrusting).await);
    server.stop().await;
}

#[tokio::test]
async fn files_that_are_no_identity_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(folder.path(), &Authority::new(), None);
    fs::write(&files.key, "not a key").unwrap();
    let error = Server::builder().tls(files.clone()).start().await.unwrap_err();
    assert!(matches!(&error, StartError::Tls(wrong) if wrong.path == files.key), "{error}");
    files.certificate = folder.path().join("absent");
    let error = Server::builder().tls(files).start().await.unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
}

/// What a page answers: status line and body.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn metrics_and_health_say_how_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = start(Server::builder().metrics(local).data(folder.path())).await;
    let address = server.metrics_address().unwrap();
    let mut client = client(&server).await;
    apply_nodes(&mut client, 3, "4").await;
    let pods = vec![pod("u1", cpu("1")), pod("u2", cpu("100"))];
    client.schedule(v1::ScheduleRequest { options: None, pods }).await.unwrap();
    // The journal's counts are published now and then.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    client.stats(v1::StatsRequest {}).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let (status, page) = get(address, "/metrics").await;
    assert!(status.contains("200"), "{status}");
    for line in [
        "scheduler_schedule_attempts_total{result=\"scheduled\",profile=\"default-scheduler\"} 1",
        "scheduler_schedule_attempts_total{result=\"unschedulable\",profile=\"default-scheduler\"} 1",
        "berth_refusals_total{plugin=\"NodeResourcesFit\",profile=\"default-scheduler\"} 1",
        "scheduler_scheduling_attempt_duration_seconds_count{result=\"scheduled\"} 1",
        "scheduler_pod_scheduling_attempts_bucket{le=\"1\"} 1",
        "scheduler_cache_size{type=\"nodes\"} 3",
        "scheduler_pending_pods{queue=\"active\"} 0",
        "berth_revision 4",
        "berth_journal_state{state=\"ok\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(address, path).await.1, "ok\n", "{path}");
    }
    assert!(get(address, "/nothing").await.0.contains("404"));
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}
