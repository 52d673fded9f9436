// SPDX-License-Identifier: Apache-2.0
//! What is offered, asked for and chosen.

use super::*;

const OFFER: Offer = Offer { websocket: &["v5", "v4", ""], spdy: &["v4", "v3"] };

/// The answer's status and protocol; or the refusal.
fn check(method: Method, headers: &[(&str, &str)], want: Result<Agreed, (u16, &str)>) {
    let mut request = Request::builder().method(method);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let got = negotiate(&request.body(()).unwrap(), OFFER);
    match (got, want) {
        (Ok((agreed, response)), Ok(want)) => {
            assert_eq!(agreed, want);
            assert_eq!(response.status(), 101);
            assert_eq!(response.headers()[CONNECTION], "Upgrade");
        }
        (Err(refused), Err((status, text))) => {
            assert_eq!((refused.status.as_u16(), refused.text.as_str()), (status, text));
        }
        (got, want) => panic!("{headers:?}: {got:?} instead of {want:?}"),
    }
}

#[test]
fn the_clients_first_protocol_that_is_known_is_taken() {
    let socket = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (protocols, taken) in
        [(&["v5, v4"][..], "v5"), (&["v9,v4", "v5"], "v4"), (&["v4"], "v4"), (&[], "")]
    {
        let mut headers = socket.to_vec();
        headers.extend(protocols.iter().map(|one| ("sec-websocket-protocol", *one)));
        check(Method::GET, &headers, Ok(Agreed::WebSocket(taken)));
    }
    let spdy = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
    for (protocols, taken) in [(&["v5", "v4", "v3"][..], "v4"), (&["v3,v4"], "v3")] {
        let mut headers = spdy.to_vec();
        headers.extend(protocols.iter().map(|one| ("X-Stream-Protocol-Version", *one)));
        check(Method::POST, &headers, Ok(Agreed::Spdy(taken)));
    }
}

#[test]
fn what_is_no_upgrade_is_told_why() {
    let missing =
        "unable to upgrade: missing upgrade headers in request: SPDY/3.1 and websocket are known";
    check(Method::GET, &[], Err((400, missing)));
    check(Method::GET, &[("upgrade", "websocket")], Err((400, missing)));
    check(Method::GET, &[("connection", "upgrade"), ("upgrade", "h2c")], Err((400, missing)));
    let socket = [("connection", "upgrade"), ("upgrade", "websocket")];
    let with = |more: &[(&'static str, &'static str)]| [&socket[..], more].concat();
    let version = "unable to upgrade: Sec-WebSocket-Version is not 13";
    check(Method::GET, &with(&[]), Err((426, version)));
    check(Method::GET, &with(&[("sec-websocket-version", "8")]), Err((426, version)));
    let key = "unable to upgrade: Sec-WebSocket-Key is missing or wrong";
    check(Method::GET, &with(&[("sec-websocket-version", "13")]), Err((400, key)));
    check(Method::POST, &socket, Err((400, "unable to upgrade: a websocket begins with GET")));
    let protocol = [
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "v7"),
    ];
    let text = "unable to upgrade: unable to negotiate protocol: client supports [v7], server accepts [v5 v4 ]";
    check(Method::GET, &with(&protocol), Err((400, text)));
    let spdy = [("connection", "upgrade"), ("upgrade", "spdy/3.1")];
    let required = "unable to upgrade: X-Stream-Protocol-Version is required";
    check(Method::POST, &spdy, Err((400, required)));
    let text = "unable to upgrade: unable to negotiate protocol: client supports [v7], server accepts [v4 v3]";
    check(Method::POST, &[spdy[0], spdy[1], ("x-stream-protocol-version", "v7")], Err((403, text)));
}

#[test]
fn the_answer_proves_that_the_key_was_read() {
    let request = Request::builder()
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap();
    let (_, response) = negotiate(&request, OFFER).unwrap();
    // The example of RFC 6455.
    assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(!response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL));
}
