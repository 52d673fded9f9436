// SPDX-License-Identifier: Apache-2.0
//! The service as a whole over a data plane inside the test: the watched file, adoption, a data plane that dies, health checks, TLS,
//! the admin port.

use crate::fixture::{Double, apply, connect, local, service, until};
use berth_balancer_core::Change;
use berth_balancer_service::source::file::File;
use berth_balancer_service::{Server, StartError, TlsFiles};
use berth_proto::balancer as pb;
use berth_proto::balancer::balancer_client::BalancerClient;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

async fn watched(double: &Double, path: &Path) -> Server {
    let source = Box::new(File::new(path.to_owned()));
    double.builder().source(source).admin(local()).start().await.unwrap()
}

fn names(double: &Double) -> Vec<String> {
    double.config().services.iter().map(|service| service.name.to_string()).collect()
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
async fn a_changed_file_takes_effect_and_a_wrong_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.yaml");
    let double = Double::default();
    fs::write(&path, "services: [{name: a, address: 10.0.0.1:80, endpoints: [11.0.0.1]}]").unwrap();
    let server = watched(&double, &path).await;
    let admin = server.admin_address().unwrap();
    until("the first file is taken", async || names(&double) == ["a"]).await;
    until("it is ready", async || get(admin, "/readyz").await.1 == "ok\n").await;
    fs::write(&path, "services: [{name: a, address: 10.0.0.1:80, endpoints: [11.0.0.2]}]").unwrap();
    until("the change is taken", async || {
        double.config().endpoints[0].endpoints[0].address.to_string() == "11.0.0.2"
    })
    .await;
    let last = double.told(|told| told.calls.last().cloned().unwrap());
    assert!(matches!(&last[..], [Change::Endpoints(set)] if &*set.service == "a"), "{last:?}");
    fs::write(&path, "services: [{name: b, adress: 10.0.0.1:80}]").unwrap();
    until("the wrong one is refused", async || {
        let moment = server.control().shared().moment();
        moment.file.is_some_and(|file| file.refused == 1)
    })
    .await;
    assert_eq!(names(&double), ["a"]);
    let (_, table) = get(admin, "/table").await;
    assert!(table.contains("services[0].adress: unknown field; did you mean"), "{table}");
    let (_, metrics) = get(admin, "/metrics").await;
    assert!(metrics.contains("berth_balancer_file_refused 1"));
    let (_, page) = get(admin, "/").await;
    assert!(page.contains("is refused; what ran before goes on"));
    // Replaced by another file, as editors do.
    let other = folder.path().join("b.yaml.new");
    fs::write(&other, "services: [{name: c, address: 10.0.0.3:80}]").unwrap();
    fs::rename(&other, &path).unwrap();
    until("the new file is taken", async || names(&double) == ["c"]).await;
    assert!(get(admin, "/nothing").await.0.contains("404"));
    server.stop(false).await;
    assert!(!double.told(|told| told.gone), "the data plane goes on");
}

#[tokio::test]
async fn a_data_plane_that_ran_is_adopted_and_one_that_dies_is_told_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.yaml");
    fs::write(&path, "services: [{name: a, address: 10.0.0.1:80, endpoints: [11.0.0.1]}]").unwrap();
    let double = Double::default();
    let first = watched(&double, &path).await;
    until("the file is taken", async || names(&double) == ["a"]).await;
    first.stop(false).await;
    let calls = double.told(|told| told.calls.len());
    let second = watched(&double, &path).await;
    until("the file is read", async || {
        second.control().shared().moment().file.is_some_and(|file| file.taken == 1)
    })
    .await;
    assert_eq!(double.told(|told| told.calls.len()), calls, "there was nothing to tell it");
    // It dies by itself: it is told everything again.
    double.told(|told| (told.gone, told.compiler) = (true, berth_balancer_core::Compiler::new()));
    until("it is told everything", async || names(&double) == ["a"]).await;
    // It dies on a change: the change is part of everything.
    double.told(|told| told.dies = true);
    fs::write(&path, "services: [{name: b, address: 10.0.0.2:80}]").unwrap();
    until("it is told everything and the change", async || names(&double) == ["b"]).await;
    second.stop(false).await;
    // What the file no longer names goes when the next one reads it.
    fs::write(&path, "services: []").unwrap();
    let third = watched(&double, &path).await;
    until("nothing is left", async || names(&double).is_empty()).await;
    third.stop(true).await;
    assert!(double.told(|told| told.gone));
}

#[tokio::test]
async fn services_of_a_file_and_of_a_client_live_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.yaml");
    fs::write(&path, "services: [{name: a, address: 10.0.0.1:80}]").unwrap();
    let double = Double::default();
    let source = Box::new(File::new(path.clone()));
    let server = double.builder().source(source).listen(local()).start().await.unwrap();
    until("the file is taken", async || names(&double) == ["a"]).await;
    let mut client = connect(&server).await;
    let request = |name, address| pb::ApplyRequest {
        replace: true,
        services: vec![service(name, address, 1)],
        ..Default::default()
    };
    apply(&mut client, request("b", "10.0.0.2")).await.unwrap();
    assert_eq!(
        apply(&mut client, request("a", "10.0.0.2")).await.unwrap_err(),
        ["services[0].name: \"a\" belongs to the configuration file"]
    );
    fs::write(&path, "services: [{name: c, address: 10.0.0.3:80}]").unwrap();
    until("the file is taken again", async || names(&double) == ["b", "c"]).await;
    server.stop(true).await;
}

#[tokio::test]
async fn a_file_that_another_source_is_in_the_way_of_is_taken_when_that_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.yaml");
    fs::write(&path, "services: []").unwrap();
    let double = Double::default();
    let source = Box::new(File::new(path.clone()));
    let server = double.builder().source(source).listen(local()).start().await.unwrap();
    let file = || server.control().shared().moment().file.unwrap_or_default();
    until("the file is taken", async || file().taken == 1).await;
    let mut client = connect(&server).await;
    let services = vec![service("a", "10.0.0.1", 1), service("b", "10.0.0.2", 1)];
    let request = pb::ApplyRequest { services, ..Default::default() };
    apply(&mut client, request).await.unwrap();
    // One by its name, one by its address.
    let text = "services: [{name: a, address: 10.0.0.3:80}, {name: c, address: 10.0.0.2:80}]";
    fs::write(&path, text).unwrap();
    until("the file is refused", async || file().refused == 1).await;
    let remove = |name: &str| pb::ApplyRequest { remove: vec![name.into()], ..Default::default() };
    apply(&mut client, remove("a")).await.unwrap();
    until("it is refused for less", async || {
        file().problems.is_some_and(|problems| problems.count() == 1)
    })
    .await;
    apply(&mut client, remove("b")).await.unwrap();
    until("it is taken", async || names(&double) == ["a", "c"]).await;
    server.stop(true).await;
}

/// Answers connections as it is told: `up` accepts and answers 204.
async fn backend(status: tokio::sync::watch::Receiver<u16>) -> SocketAddr {
    let listener = TcpListener::bind(local()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let status = *status.borrow();
            tokio::spawn(async move {
                let mut request = [0; 1_024];
                drop(stream.read(&mut request).await);
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
                drop(stream.write_all(answer.as_bytes()).await);
            });
        }
    });
    address
}

#[tokio::test]
async fn health_checks_take_endpoints_out_and_back_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.yaml");
    let double = Double::default();
    let (say, status) = tokio::sync::watch::channel(500);
    let sick = backend(status).await;
    // A port that nobody listens on, as far as anybody can know.
    let dead = TcpListener::bind(local()).await.unwrap().local_addr().unwrap();
    let text = |check: &str| {
        format!(
            "defaults: {{health_check: {check}}}
services:
- {{name: a, address: 10.0.0.1:80, endpoints: [\"{sick}\"]}}
- {{name: b, address: 10.0.0.2:80, endpoints: [\"{dead}\"]}}"
        )
    };
    fs::write(&path, text("{http: /x, interval: 50ms, rise: 2, fall: 2}")).unwrap();
    let server = watched(&double, &path).await;
    let unhealthy = || {
        double.told(|told| {
            let mut all = Vec::new();
            told.compiler.table().each(|frontend| {
                let sick = frontend.backends.iter().filter(|b| !b.is_healthy());
                all.extend(sick.map(|_| frontend.service.to_string()));
            });
            all.sort();
            all
        })
    };
    until("both are found unhealthy", async || unhealthy() == ["a", "b"]).await;
    say.send(204).unwrap();
    until("one is healthy again", async || unhealthy() == ["b"]).await;
    // Other checks begin where the last ones ended.
    fs::write(&path, text("{interval: 60ms, rise: 2, fall: 3}")).unwrap();
    until("the check is another one", async || {
        let config = double.config();
        config
            .services
            .iter()
            .all(|s| s.settings.health_check.as_ref().is_some_and(|check| check.fall == 3))
    })
    .await;
    assert_eq!(unhealthy(), ["b"]);
    // A data plane that begins anew hears of it too.
    double.told(|told| (told.gone, told.compiler) = (true, berth_balancer_core::Compiler::new()));
    until("it is told who is unhealthy", async || unhealthy() == ["b"]).await;
    fs::write(&path, text("off")).unwrap();
    until("who is not checked counts as healthy", async || unhealthy().is_empty()).await;
    server.stop(true).await;
}

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

#[tokio::test]
async fn clients_without_the_right_certificate_are_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, clients) = (Authority::new(), Authority::new());
    let (certificate, key) = servers.issue(ExtendedKeyUsagePurpose::ServerAuth);
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files = TlsFiles {
        certificate: write("server.pem", &certificate),
        key: write("server.key", &key),
        client_ca: Some(write("ca.pem", &clients.pem)),
    };
    let double = Double::default();
    let server = double.builder().listen(local()).tls(files.clone()).start().await.unwrap();
    let port = server.address().unwrap().port();
    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&servers.pem));
    let asks = async |tls: ClientTlsConfig| {
        let endpoint = Endpoint::from_shared(format!("https://localhost:{port}")).unwrap();
        let Ok(channel) = endpoint.tls_config(tls).unwrap().connect().await else { return false };
        BalancerClient::new(channel).status(pb::StatusRequest {}).await.is_ok()
    };
    let (certificate, key) = clients.issue(ExtendedKeyUsagePurpose::ClientAuth);
    assert!(asks(trusting().identity(Identity::from_pem(certificate, key))).await);
    assert!(!asks(trusting()).await);
    let (certificate, key) = servers.issue(ExtendedKeyUsagePurpose::ClientAuth);
    assert!(!asks(trusting().identity(Identity::from_pem(certificate, key))).await);
    server.stop(true).await;
    fs::write(&files.key, "not a key").unwrap();
    let error = Double::default().builder().listen(local()).tls(files).start().await.unwrap_err();
    assert!(matches!(error, StartError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = TcpListener::bind(local()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = Double::default().builder().listen(address).start().await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
