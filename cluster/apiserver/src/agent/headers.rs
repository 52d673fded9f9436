// SPDX-License-Identifier: Apache-2.0
//! Which headers pass. Everything else stays: a client's token is not for the agent, an agent's cookie not for the client.

use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// The new protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    WebSocket,
    Spdy,
}

impl Upgrade {
    fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Spdy => "SPDY/3.1",
        }
    }

    /// Where the protocol above it is agreed upon.
    fn protocol(self) -> HeaderName {
        match self {
            Self::WebSocket => SEC_WEBSOCKET_PROTOCOL,
            Self::Spdy => STREAM_PROTOCOL,
        }
    }
}

/// Which protocol a client wants, if one that passes.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<Upgrade> {
    let asked = tokens(headers, &CONNECTION).any(|one| one.eq_ignore_ascii_case("upgrade"));
    let named = |upgrade: &Upgrade| {
        tokens(headers, &UPGRADE).any(|one| one.eq_ignore_ascii_case(upgrade.name()))
    };
    [Upgrade::WebSocket, Upgrade::Spdy].into_iter().find(|upgrade| asked && named(upgrade))
}

/// What the agent is told of a client's headers.
pub(super) fn to_agent(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::new();
    let mut names = vec![ACCEPT, CONTENT_TYPE];
    if let Some(upgrade) = upgrade(headers) {
        passed.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        passed.insert(UPGRADE, HeaderValue::from_static(upgrade.name()));
        names.extend([
            SEC_WEBSOCKET_KEY,
            SEC_WEBSOCKET_VERSION,
            SEC_WEBSOCKET_PROTOCOL,
            STREAM_PROTOCOL,
        ]);
    }
    for name in names {
        for value in headers.get_all(&name) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed.remove(CONTENT_LENGTH);
    passed
}

/// What the client is told of an agent's 101, if it is one for what the client asked; else what is wrong.
pub(super) fn from_agent(
    asked: &HeaderMap,
    wanted: Upgrade,
    answer: &HeaderMap,
) -> Result<HeaderMap, &'static str> {
    if upgrade(answer) != Some(wanted) {
        return Err("another protocol than was asked for");
    }
    let mut passed = HeaderMap::new();
    passed.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    passed.insert(UPGRADE, HeaderValue::from_static(wanted.name()));
    let name = wanted.protocol();
    let mut taken = answer.get_all(&name).iter();
    match (taken.next(), taken.next()) {
        (Some(taken), None) => {
            let known = tokens(asked, &name).any(|one| one.as_bytes() == taken.as_bytes());
            if !known {
                return Err("a subprotocol that was not offered");
            }
            passed.insert(name, taken.clone());
        }
        (None, _) if wanted == Upgrade::WebSocket => {}
        _ => return Err("none or several subprotocols"),
    }
    if wanted == Upgrade::WebSocket {
        let accept = answer.get(SEC_WEBSOCKET_ACCEPT).ok_or("no Sec-WebSocket-Accept")?;
        passed.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
    }
    Ok(passed)
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|one| !one.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    const SOCKET: [(&str, &str); 4] = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-protocol", "v5, v4"),
        ("sec-websocket-key", "k"),
    ];

    #[test]
    fn what_is_the_clients_own_stays_behind() {
        let mut all = SOCKET.to_vec();
        all.extend([
            ("authorization", "Bearer secret"),
            ("cookie", "c"),
            ("impersonate-user", "root"),
            ("x-remote-user", "root"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("te", "trailers"),
            ("host", "api"),
            ("origin", "o"),
        ]);
        assert_eq!(to_agent(&of(&all)), of(&SOCKET));
        let plain =
            [("accept", "a"), ("upgrade", "h2c"), ("connection", "upgrade, x-a"), ("x-a", "1")];
        assert_eq!(to_agent(&of(&plain)), of(&[("accept", "a")]));
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let asked = of(&SOCKET);
        let good = [
            ("connection", "upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-accept", "a"),
            ("sec-websocket-protocol", "v4"),
            ("set-cookie", "x"),
        ];
        let check =
            |list: &[(&'static str, &'static str)], wanted| from_agent(&asked, wanted, &of(list));
        let passed = check(&good, Upgrade::WebSocket).unwrap();
        assert_eq!(passed.len(), 4);
        assert_eq!(passed["sec-websocket-protocol"], "v4");
        assert_eq!(passed.get("set-cookie"), None);
        for (list, why) in [
            (&good[1..], "another protocol than was asked for"),
            (&[good[0], ("upgrade", "SPDY/3.1")], "another protocol than was asked for"),
            (&[good[0], good[1], good[3]], "no Sec-WebSocket-Accept"),
            (
                &[good[0], good[1], good[2], ("sec-websocket-protocol", "v3")],
                "a subprotocol that was not offered",
            ),
            (&[good[0], good[1], good[2], good[3], good[3]], "none or several subprotocols"),
        ] {
            assert_eq!(check(list, Upgrade::WebSocket).err(), Some(why));
        }
        assert!(check(&good[..3], Upgrade::WebSocket).is_ok(), "the oldest protocol has no name");
        let spdy = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
        assert_eq!(check(&spdy, Upgrade::Spdy).err(), Some("none or several subprotocols"));
    }
}
