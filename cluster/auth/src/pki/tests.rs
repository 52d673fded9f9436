// SPDX-License-Identifier: Apache-2.0
//! Tests of the CA: whom it lets in, what is kept, renewal.

use super::*;
use crate::certificate;
use std::os::unix::fs::PermissionsExt;

const NOW: i64 = 1_800_000_000;

fn open(folder: &Path, now: i64) -> Pki {
    Pki::open(folder, &Options::default(), now).unwrap()
}

fn der(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()
}

/// Whether the CA lets this client in.
fn lets_in(pki: &Pki, pair: &Pair, now: i64) -> bool {
    let verifier = client_verifier(pki.ca_pem().as_bytes()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unsigned_abs()));
    verifier.verify_client_cert(&der(pair), &[], now).is_ok()
}

#[test]
fn only_clients_of_this_ca_are_let_in() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (pki, other) = (open(ours.path(), NOW), open(theirs.path(), NOW));
    let admin = pki.admin(NOW).unwrap();
    assert!(lets_in(&pki, &admin, NOW));
    assert!(!lets_in(&pki, &admin, NOW + LEAF_SECONDS + 1), "expired");
    assert!(!lets_in(&pki, &admin, NOW - SKEW_SECONDS - 1), "not yet");
    assert!(!lets_in(&pki, &other.admin(NOW).unwrap(), NOW), "another CA of the same name");
    let server = issue(&pki.ca, "x", &Usage::Server(vec!["x".into()]), NOW).unwrap();
    assert!(!lets_in(&pki, &server, NOW), "for servers only");
    let mut params = base("evil", NOW, DAY).unwrap();
    params.distinguished_name.push(DnType::OrganizationName, MASTERS);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    assert!(!lets_in(&pki, &Pair { certificate, key: key.serialize_pem() }, NOW), "self-signed");
    let verifier = client_verifier(pki.ca_pem().as_bytes()).unwrap();
    assert!(!verifier.client_auth_mandatory());
}

#[test]
fn a_certificate_names_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let pki = open(folder.path(), NOW);
    let user = certificate::user(&der(&pki.node("n1", NOW).unwrap())).unwrap();
    assert_eq!(user.name, "system:node:n1");
    assert_eq!(user.groups, ["system:nodes", "system:authenticated"]);
    let admin = der(&pki.admin(NOW).unwrap());
    assert!(certificate::user(&admin).unwrap().is_in(MASTERS));
    assert_eq!(validity(&admin), Some((NOW - SKEW_SECONDS, NOW + LEAF_SECONDS)));
    for length in 0..admin.len() {
        assert!(certificate::user(&admin[..length]).is_none(), "cut at {length}");
    }
}

#[test]
fn an_agents_server_is_known_by_its_address_and_is_no_client() {
    let folder = tempfile::tempdir().unwrap();
    let pki = open(folder.path(), NOW);
    let pair = pki.node_server("n1", vec!["10.1.0.7".into(), "n1".into()], NOW).unwrap();
    assert!(!lets_in(&pki, &pair, NOW), "for servers only");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
    let named = |host: &str| {
        use rustls::client::danger::ServerCertVerifier;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
        let name = host.to_owned().try_into().unwrap();
        verifier.verify_server_cert(&der(&pair), &[], &name, &[], now).is_ok()
    };
    assert!(named("10.1.0.7") && named("n1"));
    assert!(!named("10.1.0.8") && !named("n2"));
}

#[test]
fn the_apiserver_calls_agents_as_a_user_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let pki = open(folder.path(), NOW);
    let pair = pki.agents_client(NOW).unwrap();
    assert!(lets_in(&pki, &pair, NOW));
    let user = certificate::user(&der(&pair)).unwrap();
    assert_eq!(user.name, AGENTS_CLIENT);
    assert_eq!(user.groups, ["system:authenticated"]);
    assert_eq!(pair.certificate, pki.agents_client(NOW + DAY).unwrap().certificate);
}

#[test]
fn what_is_there_is_used_again_and_is_secret() {
    let folder = tempfile::tempdir().unwrap();
    let pki = open(folder.path(), NOW);
    let admin = pki.admin(NOW).unwrap();
    let id = pki.service_account_key().unwrap().id().to_owned();
    let again = open(folder.path(), NOW + DAY);
    assert_eq!(pki.ca_pem(), again.ca_pem());
    assert_eq!(admin.certificate, again.admin(NOW + DAY).unwrap().certificate);
    assert_eq!(id, again.service_account_key().unwrap().id());
    assert!(lets_in(&pki, &again.node("n", NOW).unwrap(), NOW), "the CA is the same");
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(format!("{admin:?}"), "Pair(..)");
}

#[test]
fn a_damaged_ca_is_an_error_and_a_damaged_client_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let admin = open(folder.path(), NOW).admin(NOW).unwrap();
    std::fs::write(folder.path().join("admin.key"), "x").unwrap();
    let pki = open(folder.path(), NOW);
    assert_ne!(admin.certificate, pki.admin(NOW).unwrap().certificate);
    std::fs::write(folder.path().join("ca.key"), KeyPair::generate().unwrap().serialize_pem())
        .unwrap();
    let error = Pki::open(folder.path(), &Options::default(), NOW).unwrap_err();
    assert!(matches!(error, PkiError::Damaged { .. }), "{error}");
    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    assert!(Pki::open(folder.path(), &Options::default(), NOW).is_err());
}

#[test]
fn certificates_are_renewed_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let pki = open(folder.path(), NOW);
    let config = pki.server_config().unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let (admin, shown) = (pki.admin(NOW).unwrap(), pki.server_certificate().current());
    assert!(!pki.renew_if_due(NOW + DAY).unwrap());
    let late = NOW + LEAF_SECONDS - RENEW_SECONDS;
    assert!(pki.renew_if_due(late).unwrap());
    assert_ne!(shown.cert, pki.server_certificate().current().cert);
    assert_eq!(pki.server_certificate().expires(), late + LEAF_SECONDS);
    assert_ne!(admin.certificate, pki.admin(late).unwrap().certificate);
    assert!(!pki.renew_if_due(late).unwrap());
}

#[test]
fn a_kubeconfig_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let pki = open(folder.path(), NOW);
    let path = folder.path().join("config");
    let pair = pki.admin(NOW).unwrap();
    pki.write_kubeconfig(&path, "https://127.0.0.1:6443", "kubernetes-admin", &pair).unwrap();
    let config: berth_cluster_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(config["current-context"], "berth");
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
    assert_eq!(config["contexts"][0]["context"]["user"], config["users"][0]["name"]);
}
