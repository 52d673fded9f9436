// SPDX-License-Identifier: Apache-2.0
//! Where an etcd is: `URL[,URL...][?ca=FILE&cert=FILE&key=FILE]`.

use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// A member that does not even take a connection is given up after this time.
const CONNECT: Duration = Duration::from_secs(2);
/// A connection on which nothing comes is asked for a sign of life. Servers end connections that ask more often than each 5 s.
const ALIVE_EVERY: Duration = Duration::from_secs(10);
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// Files for TLS.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Files {
    fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// The members of the cluster, in the order in which they are tried.
pub(crate) fn endpoints(address: &str) -> Result<Vec<Endpoint>, String> {
    let (urls, query) = address.split_once('?').unwrap_or((address, ""));
    let files = files(query)?;
    let urls = urls.split(',').map(|url| with_scheme(url.trim(), &files));
    let urls = urls.collect::<Result<Vec<_>, _>>()?;
    let tls = if urls.iter().any(|url| url.starts_with("https://")) {
        Some(tls(&files)?)
    } else if files.any() {
        return Err("files for TLS go with https:// alone".into());
    } else {
        None
    };
    urls.into_iter().map(|url| endpoint(url, tls.as_ref())).collect()
}

fn files(query: &str) -> Result<Files, String> {
    let mut files = Files::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "ca" => &mut files.ca,
            "cert" => &mut files.cert,
            "key" => &mut files.key,
            other => return Err(format!("{other:?} is no option of etcd: ca, cert, key")),
        };
        *place = Some(value.into_owned());
    }
    if files.cert.is_some() != files.key.is_some() {
        return Err("cert and key go together".into());
    }
    Ok(files)
}

/// An address without a scheme is that of a plain server, or with files for TLS of one that has it.
fn with_scheme(url: &str, files: &Files) -> Result<String, String> {
    if url.contains('@') {
        return Err(
            "names and passwords of etcd's users are not supported: use certificates".into()
        );
    }
    match url.split_once("://") {
        Some(("http" | "https", host)) if !host.is_empty() => Ok(url.to_owned()),
        None if !url.is_empty() => {
            let scheme = if files.any() { "https" } else { "http" };
            Ok(format!("{scheme}://{url}"))
        }
        _ => Err(format!("{url:?} is no URL of an etcd, such as http://127.0.0.1:2379")),
    }
}

fn tls(files: &Files) -> Result<ClientTlsConfig, String> {
    let read = |path: &String| {
        std::fs::read(path).map_err(|error| format!("{path} cannot be read: {error}"))
    };
    let Some(ca) = &files.ca else {
        // Nobody's etcd has a certificate that the world trusts, so there is no list of such here.
        return Err("https:// needs ca=FILE, the certificate that signed the servers'".into());
    };
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
    if let (Some(cert), Some(key)) = (&files.cert, &files.key) {
        config = config.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(config)
}

fn endpoint(url: String, tls: Option<&ClientTlsConfig>) -> Result<Endpoint, String> {
    let wrong = |error: tonic::transport::Error| format!("{url:?}: {}", super::link::chain(&error));
    let mut endpoint = Endpoint::from_shared(url.clone())
        .map_err(wrong)?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(ALIVE_EVERY)
        .keep_alive_timeout(ALIVE_WITHIN)
        .keep_alive_while_idle(true);
    if url.starts_with("https://")
        && let Some(tls) = tls
    {
        endpoint = endpoint.tls_config(tls.clone()).map_err(wrong)?;
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(address: &str) -> Result<Vec<String>, String> {
        let endpoints = endpoints(address)?;
        Ok(endpoints.iter().map(|endpoint| endpoint.uri().to_string()).collect())
    }

    #[test]
    fn urls_are_a_list_and_may_lack_the_scheme() {
        let both = urls("http://a:2379, b:2379").unwrap();
        assert_eq!(both, ["http://a:2379/", "http://b:2379/"]);
        for wrong in
            ["", "http://a:1,", "unix://x", "http://", "http://a:1?who=me", "http://me:pw@a:1"]
        {
            assert!(urls(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tls_is_whole_or_absent() {
        assert!(urls("https://a:2379").unwrap_err().contains("ca=FILE"));
        assert!(urls("http://a:2379?ca=x").unwrap_err().contains("https://"));
        assert!(urls("a:2379?ca=x&cert=y").unwrap_err().contains("together"));
        assert!(urls("a:2379?ca=%2Fnot%20here").unwrap_err().contains("/not here cannot be read"));
    }
}
