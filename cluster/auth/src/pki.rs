// SPDX-License-Identifier: Apache-2.0
//! The cluster's own CA, in a folder: what is there is used again, what is missing or spent is made.
//!
//! Files: `ca.crt`, `ca.key`, `server.*`, `admin.*`, one pair for each component, and `sa.key`, which signs the
//! tokens of ServiceAccounts. The time is an argument; seconds since 1970.

mod file;
mod kubeconfig;
mod own;
mod request;
mod server;
#[cfg(test)]
mod tests;

pub use kubeconfig::kubeconfig;
pub use own::{Wanted, fingerprint, fingerprint_of, of_base64, write_text};
pub use request::RequestError;
pub use server::ServerCertificate;

use crate::certificate::{client_verifier, validity};
use crate::token::SigningKey;
use crate::user::{MASTERS, NODE_PREFIX, NODES};
use core::net::IpAddr;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};

const DAY: i64 = 24 * 60 * 60;
/// As whom the apiserver calls nodes' agents; a binding of the first start gives it `system:kubelet-api-admin`.
pub const AGENTS_CLIENT: &str = "kube-apiserver-kubelet-client";
/// As kubeadm's CA.
const CA_SECONDS: i64 = 3650 * DAY;
/// As kubeadm's certificates.
const LEAF_SECONDS: i64 = 365 * DAY;
/// A certificate is made anew when less than this is left of it.
const RENEW_SECONDS: i64 = 90 * DAY;
/// Clocks of a cluster differ; certificates begin this much earlier.
const SKEW_SECONDS: i64 = 300;
/// Names that a server always has.
const NAMES: [&str; 7] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    "::1",
];

/// Why the cluster's keys and certificates are not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The folder or a file.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the CA that is there, and wrong. It is not replaced: all clients trust the old one.
    #[error(
        "{path} is damaged ({why}); restore it, or remove the whole folder to begin with a new CA"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A certificate cannot be made of what was asked for.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS does not take it.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What the server's certificate names beside the usual.
#[derive(Debug, Clone)]
pub struct Options {
    /// The first IP of Services, which is the one of the Service `kubernetes`.
    pub service_ip: IpAddr,
    /// More names and IPs by which the server is called.
    pub hosts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { service_ip: IpAddr::from([10, 0, 0, 1]), hosts: Vec::new() }
    }
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key; secret.
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(..)")
    }
}

/// The cluster's CA with all that comes of it.
pub struct Pki {
    folder: PathBuf,
    options: Options,
    ca_pem: String,
    ca: Issuer<'static, KeyPair>,
    server: Arc<ServerCertificate>,
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki").field("folder", &self.folder).finish_non_exhaustive()
    }
}

enum Usage<'a> {
    Server(Vec<String>),
    Client { group: &'a str },
}

impl Pki {
    /// Opens the folder, or makes it.
    pub fn open(folder: &Path, options: &Options, now: i64) -> Result<Self, PkiError> {
        file::make_folder(folder)?;
        let (ca_pem, ca) = open_ca(folder, now)?;
        let hosts = server_names(options);
        // made at each start: the names may have changed, and clients know the CA only
        let pair = issue(&ca, "kube-apiserver", &Usage::Server(hosts), now)?;
        let server = Arc::new(ServerCertificate::new(&pair, now + LEAF_SECONDS)?);
        store(folder, "server", &pair)?;
        let options = options.clone();
        Ok(Self { folder: folder.to_owned(), options, ca_pem, ca, server })
    }

    /// The CA's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Makes a client's certificate; it is not kept here. An empty group means none.
    pub fn issue_client(&self, name: &str, group: &str, now: i64) -> Result<Pair, PkiError> {
        issue(&self.ca, name, &Usage::Client { group }, now)
    }

    /// A client's certificate that is kept in the folder under `file`, made anew if it is missing or nearly spent.
    ///
    /// `file` is a name of ours, never one that a client chose.
    pub fn client(&self, file: &str, name: &str, group: &str, now: i64) -> Result<Pair, PkiError> {
        if let Some(pair) = self.usable_client(file, name, group, now)? {
            return Ok(pair);
        }
        let pair = self.issue_client(name, group, now)?;
        store(&self.folder, file, &pair)?;
        Ok(pair)
    }

    /// The administrator's certificate.
    pub fn admin(&self, now: i64) -> Result<Pair, PkiError> {
        self.client("admin", "kubernetes-admin", MASTERS, now)
    }

    /// A node agent's certificate; it is not kept here.
    pub fn node(&self, node: &str, now: i64) -> Result<Pair, PkiError> {
        self.issue_client(&format!("{NODE_PREFIX}{node}"), NODES, now)
    }

    /// The certificate of a node agent's own server, for these names and IPs; it is not kept here. It is none of a client.
    pub fn node_server(&self, node: &str, hosts: Vec<String>, now: i64) -> Result<Pair, PkiError> {
        issue(&self.ca, &format!("{NODE_PREFIX}{node}"), &Usage::Server(hosts), now)
    }

    /// The certificate as whose holder the apiserver calls agents of nodes, kept in the folder.
    pub fn agents_client(&self, now: i64) -> Result<Pair, PkiError> {
        self.client("apiserver-kubelet-client", AGENTS_CLIENT, "", now)
    }

    /// The key that signs ServiceAccounts' tokens.
    pub fn service_account_key(&self) -> Result<SigningKey, PkiError> {
        let path = self.folder.join("sa.key");
        let key = open_key(&path)?;
        SigningKey::from_pkcs8(&key.serialize_der())
            .map_err(|error| PkiError::Damaged { path, why: error.to_string() })
    }

    /// Makes the server's and the administrator's certificates anew if they are nearly spent. The server goes on
    /// with the new one without a restart. Says whether the server's was.
    pub fn renew_if_due(&self, now: i64) -> Result<bool, PkiError> {
        self.admin(now)?;
        if self.server.expires() - now > RENEW_SECONDS {
            return Ok(false);
        }
        let usage = Usage::Server(server_names(&self.options));
        let pair = issue(&self.ca, "kube-apiserver", &usage, now)?;
        store(&self.folder, "server", &pair)?;
        self.server.swap(&pair, now + LEAF_SECONDS)?;
        Ok(true)
    }

    /// The server's certificate as it is at the moment of a handshake.
    pub fn server_certificate(&self) -> Arc<ServerCertificate> {
        Arc::clone(&self.server)
    }

    /// TLS of the server: 1.2 and 1.3, HTTP/2 and HTTP/1.1, clients with a certificate of this CA or with none.
    pub fn server_config(&self) -> Result<rustls::ServerConfig, PkiError> {
        server::config(&self.ca_pem, self.server_certificate())
    }

    /// Writes a kubeconfig with this CA and a client's certificate, readable by its owner only.
    pub fn write_kubeconfig(
        &self,
        path: &Path,
        url: &str,
        user: &str,
        pair: &Pair,
    ) -> Result<(), PkiError> {
        file::write(path, &kubeconfig(url, user, &self.ca_pem, pair))
    }

    /// The pair in the folder, if it is of this CA, of this name, whole, and not nearly spent.
    fn usable_client(
        &self,
        file: &str,
        name: &str,
        group: &str,
        now: i64,
    ) -> Result<Option<Pair>, PkiError> {
        let certificate = file::read(&self.folder.join(format!("{file}.crt")))?;
        let key = file::read(&self.folder.join(format!("{file}.key")))?;
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
        let pair = Pair { certificate, key };
        let Ok(der) = CertificateDer::from_pem_slice(pair.certificate.as_bytes()) else {
            return Ok(None);
        };
        let verifier = client_verifier(self.ca_pem.as_bytes())
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let seconds = Duration::from_secs(now.unsigned_abs());
        let trusted =
            verifier.verify_client_cert(&der, &[], UnixTime::since_unix_epoch(seconds)).is_ok();
        let lasting = validity(&der).is_some_and(|(_, last)| last - now > RENEW_SECONDS);
        let named = crate::certificate::user(&der)
            .is_some_and(|user| user.name == name && (group.is_empty() || user.is_in(group)));
        let whole = server::certified(&pair).is_ok();
        Ok((trusted && lasting && named && whole).then_some(pair))
    }
}

fn server_names(options: &Options) -> Vec<String> {
    let mut names: Vec<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
    names.push(options.service_ip.to_string());
    for host in &options.hosts {
        if !names.contains(host) {
            names.push(host.clone());
        }
    }
    names
}

fn store(folder: &Path, name: &str, pair: &Pair) -> Result<(), PkiError> {
    file::write(&folder.join(format!("{name}.key")), &pair.key)?;
    file::write(&folder.join(format!("{name}.crt")), &pair.certificate)
}

/// The key in a file; a new one if there is no file.
fn open_key(path: &Path) -> Result<KeyPair, PkiError> {
    if let Some(pem) = file::read(path)? {
        let damaged =
            |error: rcgen::Error| PkiError::Damaged { path: path.into(), why: error.to_string() };
        return KeyPair::from_pem(&pem).map_err(damaged);
    }
    let key = KeyPair::generate()?;
    file::write(path, &key.serialize_pem())?;
    Ok(key)
}

fn open_ca(folder: &Path, now: i64) -> Result<(String, Issuer<'static, KeyPair>), PkiError> {
    let path = folder.join("ca.crt");
    let found = file::read(&path)?;
    if found.is_some() && file::read(&folder.join("ca.key"))?.is_none() {
        let why = "its key ca.key is missing".to_owned();
        return Err(PkiError::Damaged { path, why });
    }
    let key = open_key(&folder.join("ca.key"))?;
    let params = ca_params(now)?;
    let pem = match found {
        Some(pem) => {
            let pair = Pair { certificate: pem.clone(), key: key.serialize_pem() };
            server::certified(&pair).map_err(|error| PkiError::Damaged {
                path: path.clone(),
                why: error.to_string(),
            })?;
            pem
        }
        None => {
            let pem = params.self_signed(&key)?.pem();
            file::write(&path, &pem)?;
            pem
        }
    };
    // the issuer is known by its name and key, which are the same in each run
    Ok((pem, Issuer::new(params, key)))
}

fn at(seconds: i64) -> Result<time::OffsetDateTime, PkiError> {
    time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| rcgen::Error::Time.into())
}

fn base(name: &str, now: i64, seconds: i64) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(now - SKEW_SECONDS)?;
    params.not_after = at(now + seconds)?;
    Ok(params)
}

fn ca_params(now: i64) -> Result<CertificateParams, PkiError> {
    let mut params = base("berth-ca", now, CA_SECONDS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(params)
}

fn issue(
    ca: &Issuer<'_, KeyPair>,
    name: &str,
    usage: &Usage<'_>,
    now: i64,
) -> Result<Pair, PkiError> {
    let mut params = base(name, now, LEAF_SECONDS)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    match usage {
        Usage::Server(names) => {
            params.subject_alt_names = CertificateParams::new(names.clone())?.subject_alt_names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }
        Usage::Client { group } => {
            if !group.is_empty() {
                params.distinguished_name.push(DnType::OrganizationName, *group);
            }
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, ca)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}
