// SPDX-License-Identifier: Apache-2.0
//! Requests for certificates.

use super::{Condition, Meta, nullable, read};
use berth_cluster_api::pkcs10::Request;
use berth_cluster_api::schema::base64;
use berth_cluster_client::{ObjectError, View};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A `CertificateSigningRequest`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CertificateRequest {
    /// Its metadata.
    pub metadata: Meta,
    /// What is asked for, and by whom.
    pub spec: CertificateRequestSpec,
    /// How far it is.
    pub status: CertificateRequestStatus,
}

/// `spec` of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateRequestSpec {
    /// PEM, in base64.
    pub request: String,
    /// Who is to sign.
    pub signer_name: String,
    /// Who asks.
    pub username: String,
    /// The uid of who asks.
    pub uid: String,
    /// The groups of who asks.
    #[serde(deserialize_with = "nullable")]
    pub groups: Vec<String>,
    /// What else is known of who asks.
    #[serde(deserialize_with = "nullable")]
    pub extra: BTreeMap<String, Vec<String>>,
    /// What the certificate is to be for.
    #[serde(deserialize_with = "nullable")]
    pub usages: Vec<String>,
    /// For how long.
    pub expiration_seconds: Option<i64>,
}

/// `status` of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CertificateRequestStatus {
    /// What was decided.
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<Condition>,
    /// PEM, in base64.
    #[serde(deserialize_with = "nullable")]
    pub certificate: String,
}

impl CertificateRequest {
    /// A condition.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|one| one.kind == kind)
    }

    /// The PEM of the request.
    pub fn pem(&self) -> Vec<u8> {
        base64::decode(&self.spec.request).unwrap_or_default()
    }

    /// What is asked for; none if it cannot be read.
    pub fn wanted(&self) -> Option<Request> {
        Request::read(&self.pem()).ok()
    }
}

impl View for CertificateRequest {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        read(json)
    }
}
