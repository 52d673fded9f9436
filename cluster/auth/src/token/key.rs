// SPDX-License-Identifier: Apache-2.0
//! Keys of tokens: ECDSA on P-256 with SHA-256 (`ES256`). A key's id is the hash of its public part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use berth_cluster_json::{Value, json};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use std::fmt;

/// A point of P-256: one byte that says "uncompressed", and two numbers of 32.
const POINT_BYTES: usize = 65;

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a usable P-256 key")]
pub struct BadKey;

/// A key that signs; its secret is not shown.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

/// A key that verifies.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    id: String,
    pub(super) point: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads one from PKCS #8.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, BadKey> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new())
                .map_err(|_| BadKey)?;
        let public = VerifyingKey::from_point(pair.public_key().as_ref())?;
        Ok(Self { pair, public })
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        &self.public.id
    }

    /// Its public part.
    pub fn verifying(&self) -> VerifyingKey {
        self.public.clone()
    }

    /// Signs.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BadKey> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| BadKey)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl VerifyingKey {
    /// Reads one from its uncompressed point.
    pub fn from_point(point: &[u8]) -> Result<Self, BadKey> {
        if point.len() != POINT_BYTES || point.first() != Some(&4) {
            return Err(BadKey);
        }
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, point));
        Ok(Self { id, point: point.to_vec() })
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the signature is this key's.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(message, signature)
            .is_ok()
    }

    /// The key as a JWK.
    pub(super) fn to_jwk(&self) -> Value {
        let (x, y) = self.point[1..].split_at(32);
        json!({
            "use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.id,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

/// A random UUID (version 4).
pub(super) fn random_id() -> Result<String, BadKey> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| BadKey)?;
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{number:032x}");
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
