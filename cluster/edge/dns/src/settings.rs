// SPDX-License-Identifier: Apache-2.0
//! What is known of a cluster before its API is asked.

use crate::limits::{TTL, TTL_MAX};
use hickory_proto::rr::Name;
use std::net::IpAddr;
use std::str::FromStr;

/// What a cluster's zone is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's domain, such as `cluster.local`.
    pub domain: String,
    /// Seconds that its records are kept by others, also that there is none.
    pub ttl: u32,
    /// Ranges of services and pods: names of other addresses are asked for elsewhere.
    pub ranges: Vec<Range>,
    /// Addresses at which pods reach this service: those of `ns.dns.DOMAIN`.
    pub addresses: Vec<IpAddr>,
    /// Whose names pods have.
    pub pods: Pods,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: "cluster.local".to_owned(),
            ttl: TTL,
            ranges: Vec::new(),
            addresses: Vec::new(),
            pods: Pods::default(),
        }
    }
}

/// What names such as `10-1-0-7.NAMESPACE.pod.DOMAIN` are answered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pods {
    /// There are none.
    Disabled,
    /// By the name alone, as kubeadm sets CoreDNS up; the namespace has to be there.
    #[default]
    Insecure,
    /// By pods that have the address in that namespace. This follows all pods of the cluster.
    Verified,
}

/// Addresses that begin with the same bits, such as `10.96.0.0/12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    address: u128,
    four: bool,
    bits: u8,
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The domain is none.
    #[error("domain: \"{0}\" is not a domain below the root")]
    Domain(String),
    /// A record would be kept too long, or not at all.
    #[error("ttl: {0} is not between 1 and {TTL_MAX} seconds")]
    Ttl(u32),
    /// A range is none.
    #[error("\"{0}\" is not an address and the number of bits that count, such as 10.96.0.0/12")]
    Range(String),
}

/// Address as a number, of 128 bits or of the first 32 of them.
fn number(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

impl Range {
    /// These, if there are so many bits. Bits that do not count may be set.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let (number, four) = number(address);
        let most = if four { 32 } else { 128 };
        (bits <= most).then(|| Self { address: number & mask(bits), four, bits })
    }

    /// Whether all addresses that begin as this one are in it.
    pub(crate) fn has_all(&self, address: IpAddr, bits: u8) -> bool {
        let (number, four) = number(address);
        four == self.four && bits >= self.bits && number & mask(self.bits) == self.address
    }

    /// Whether it has an address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.has_all(address, 128)
    }

    /// How many bits count.
    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

impl FromStr for Range {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let parts = text
            .split_once('/')
            .and_then(|(address, bits)| Self::new(address.parse().ok()?, bits.parse().ok()?));
        parts.ok_or_else(|| SettingsError::Range(text.to_owned()))
    }
}

/// A name from the root on, of labels that host names have (and `_`).
pub(crate) fn host_name(text: &str) -> Option<Name> {
    let whole = text.strip_suffix('.').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if whole.is_empty() || !whole.bytes().all(plain) || whole.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut name = Name::from_labels(whole.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

impl Settings {
    /// The domain's name; all that is wrong otherwise.
    pub(crate) fn check(&self) -> Result<Name, Vec<SettingsError>> {
        let mut wrong = Vec::new();
        // Every name that is made below it has to fit: a service's with its namespace, and the name of an endpoint.
        let domain = host_name(&self.domain).filter(|name| name.len() <= 60);
        if domain.is_none() {
            wrong.push(SettingsError::Domain(self.domain.clone()));
        }
        if !(1..=TTL_MAX).contains(&self.ttl) {
            wrong.push(SettingsError::Ttl(self.ttl));
        }
        match domain {
            Some(domain) if wrong.is_empty() => Ok(domain.to_lowercase()),
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_what_begins_as_they_do() {
        let range: Range = "10.96.7.7/12".parse().unwrap();
        for (address, bits, has) in [
            ("10.96.0.0", 32, true),
            ("10.111.255.255", 32, true),
            ("10.112.0.0", 32, false),
            ("10.100.0.0", 16, true),
            ("10.0.0.0", 8, false),
            ("a60::", 128, false),
        ] {
            assert_eq!(range.has_all(address.parse().unwrap(), bits), has, "{address}/{bits}");
        }
        let all: Range = "::/0".parse().unwrap();
        assert!(all.has("fd00::1".parse().unwrap()) && !all.has("1.2.3.4".parse().unwrap()));
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "x/8"] {
            assert_eq!(text.parse::<Range>(), Err(SettingsError::Range(text.to_owned())));
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let settings = Settings { domain: "bad domain".to_owned(), ttl: 0, ..Settings::default() };
        let said: Vec<_> = settings.check().unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "domain: \"bad domain\" is not a domain below the root",
                "ttl: 0 is not between 1 and 3600 seconds"
            ]
        );
        let settings = Settings { domain: "Cluster.Local.".to_owned(), ..Settings::default() };
        assert_eq!(settings.check().unwrap().to_ascii(), "cluster.local.");
        for domain in ["", ".", "a..b", "1.2.3.4", &"a".repeat(64)] {
            let settings = Settings { domain: domain.to_owned(), ..Settings::default() };
            assert!(settings.check().is_err(), "{domain}");
        }
    }
}
