// SPDX-License-Identifier: Apache-2.0
//! Pages of containers, for probes and hooks.

use super::probe::{authority, dial};
use super::tls;
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What probes call themselves, as upstream's do: servers' logs are filtered by it.
const AGENT: HeaderValue = HeaderValue::from_static("kube-probe/1.33");
/// Redirects that are followed, as in Go.
const REDIRECTS: usize = 10;
/// Bytes of a page that are read (upstream's `maxRespBodyLength`).
const BODY: usize = 10 << 10;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Ask {
    pub(super) fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", authority(&self.host, self.port), self.path)
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// An answer.
    Here { status: u16, location: Option<String> },
    /// A redirect to another host, which is not followed.
    Elsewhere,
}

/// Follows redirects on the same host.
pub(super) async fn get_following(ask: &Ask) -> Result<Answered, String> {
    let mut ask = ask.clone();
    for _ in 0..=REDIRECTS {
        let answer = Box::pin(get(&ask)).await?;
        let Answered::Here { status: 301 | 302 | 303 | 307 | 308, location: Some(to) } = &answer
        else {
            return Ok(answer);
        };
        match redirected(&ask, to) {
            Some(next) if next.host == ask.host => ask = next,
            Some(_) => return Ok(Answered::Elsewhere),
            None => return Err(format!("Get {:?}: invalid redirect {to:?}", ask.url())),
        }
    }
    Err(format!("Get {:?}: stopped after {REDIRECTS} redirects", ask.url()))
}

/// Where a redirect leads.
fn redirected(ask: &Ask, to: &str) -> Option<Ask> {
    let mut next = ask.clone();
    let (https, rest) = if let Some(rest) = to.strip_prefix("https://") {
        (true, rest)
    } else if let Some(rest) = to.strip_prefix("http://") {
        (false, rest)
    } else if let Some(rest) = to.strip_prefix("//") {
        (ask.https, rest)
    } else if to.starts_with('/') {
        to.clone_into(&mut next.path);
        return Some(next);
    } else {
        let path = ask.path.split('?').next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
        next.path = format!("{folder}{to}");
        return Some(next);
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    let authority: http::uri::Authority = place.parse().ok()?;
    next.https = https;
    authority.host().trim_matches(['[', ']']).clone_into(&mut next.host);
    next.port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
    next.path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(next)
}

/// One answer.
pub(super) async fn get(ask: &Ask) -> Result<Answered, String> {
    let shown = |why: String| format!("Get {:?}: {why}", ask.url());
    let stream = TcpStream::connect((ask.host.as_str(), ask.port)).await;
    let stream = stream.map_err(|error| shown(dial(&ask.host, ask.port, &error)))?;
    if ask.https {
        let stream = Box::pin(tls::connect(&ask.host, stream)).await;
        let stream = stream.map_err(|error| shown(no_tls(&error)))?;
        Box::pin(talk(ask, stream)).await.map_err(shown)
    } else {
        Box::pin(talk(ask, stream)).await.map_err(shown)
    }
}

async fn talk<S>(ask: &Ask, stream: S) -> Result<Answered, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let text = |error: hyper::Error| {
        if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() }
    };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() =
        ask.path.parse().map_err(|error| format!("invalid path {:?}: {error}", ask.path))?;
    *request.headers_mut() = headers(ask)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let driver = Driver(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(text)?;
    let status = answer.status().as_u16();
    let location = answer.headers().get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = answer.into_body();
    let mut read = 0;
    while read < BODY {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(text)?;
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    drop(driver);
    Ok(Answered::Here { status, location })
}

/// What drives a connection; it ends with who talks on it.
pub(super) struct Driver<T>(pub(super) tokio::task::JoinHandle<T>);

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn headers(ask: &Ask) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &ask.headers {
        let name: HeaderName =
            name.parse().map_err(|_| format!("net/http: invalid header field name {name:?}"))?;
        let value: HeaderValue = value
            .parse()
            .map_err(|_| format!("net/http: invalid header field value for {name:?}"))?;
        if name == HOST {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
    if !headers.contains_key(HOST) {
        let host = authority(&ask.host, ask.port);
        let host = host.parse().map_err(|_| format!("invalid host {host:?}"))?;
        headers.insert(HOST, host);
    }
    headers.entry(USER_AGENT).or_insert(AGENT);
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

/// A server that does not speak TLS, in upstream's words.
fn no_tls(error: &std::io::Error) -> String {
    let text = error.to_string();
    let other = text.contains("InvalidContentType");
    if other { "http: server gave HTTP response to HTTPS client".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn ask(port: u16, path: &str) -> Ask {
        let headers =
            vec![("X-A".to_owned(), "1".to_owned()), ("Host".to_owned(), "web".to_owned())];
        Ask { https: false, host: "127.0.0.1".to_owned(), port, path: path.to_owned(), headers }
    }

    /// Gives these answers, one on each connection, and what it was asked.
    async fn server(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut heard = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 4096];
                let count = stream.read(&mut bytes).await.unwrap();
                heard.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            heard
        });
        (port, task)
    }

    fn redirect(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
    }

    #[tokio::test]
    async fn redirects_of_the_same_host_are_followed_and_others_are_not() {
        let good = "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
        let (port, heard) = server(vec![redirect("/b?x=1"), redirect("c"), good]).await;
        let answer = get_following(&ask(port, "/a")).await.unwrap();
        assert_eq!(answer, Answered::Here { status: 204, location: None });
        let heard = heard.await.unwrap();
        let paths: Vec<_> = heard.iter().map(|text| text.lines().next().unwrap()).collect();
        assert_eq!(paths, ["GET /a HTTP/1.1", "GET /b?x=1 HTTP/1.1", "GET /c HTTP/1.1"]);
        let lower = heard[0].to_ascii_lowercase();
        for line in ["host: web", "x-a: 1", "user-agent: kube-probe/1.33", "accept: */*"] {
            assert!(lower.contains(line), "{line}: {lower}");
        }
        let (port, _heard) = server(vec![redirect("http://example.invalid/")]).await;
        assert_eq!(get_following(&ask(port, "/")).await.unwrap(), Answered::Elsewhere);
        let endless = (0..12).map(|_| redirect("/again")).collect();
        let (port, _heard) = server(endless).await;
        let error = get_following(&ask(port, "/")).await.unwrap_err();
        assert!(error.ends_with("stopped after 10 redirects"), "{error}");
    }

    #[tokio::test]
    async fn an_endless_page_is_not_read_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            while stream.write_all(b"4\r\nmore\r\n").await.is_ok() {}
        });
        let ask = ask(port, "/");
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), get(&ask));
        let answer = answer.await.expect("it ends").unwrap();
        assert_eq!(answer, Answered::Here { status: 200, location: None });
    }
}
