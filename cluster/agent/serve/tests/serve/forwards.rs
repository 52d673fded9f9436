// SPDX-License-Identifier: Apache-2.0
//! Port-forward.

use crate::client::Socket;
use crate::lab::World;
use berth_cluster_agent_serve::Place;
use berth_cluster_docker::{ContainerSpec, echo_image};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// All that comes on each channel, behind the two bytes that say the port.
async fn all(socket: &mut Socket) -> BTreeMap<u8, String> {
    let mut all: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message
            && let Some((channel, bytes)) = bytes.split_first()
        {
            all.entry(*channel).or_default().extend_from_slice(bytes);
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes[2..]).into_owned();
    all.into_iter().map(|(channel, bytes)| (channel, text(bytes))).collect()
}

pub(crate) async fn who_listens_on_the_pods_loopback_alone_is_reached(world: &World) {
    let line = "echo inner > /tmp/page; exec busybox httpd -f -p 127.0.0.1:90 -h /tmp";
    let id = world.shell("inner", 3, line).await;
    // The port of an address that is written backwards.
    world.until(&id, "grep -q '0100007F:005A' /proc/net/tcp").await;
    for _ in 0..5 {
        let mut socket = world.socket("/portForward/n/inner?port=90", "v4.channel.k8s.io").await;
        crate::client::send(&mut socket, 0, b"GET /page HTTP/1.0\r\n\r\n").await;
        let said = all(&mut socket).await;
        assert!(said[&0].ends_with("inner\n") && said[&1].is_empty(), "{said:?}");
    }
    // The node's own loopback is no pod's.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let path = format!("/portForward/n/inner?port={port}");
    let mut socket = world.socket(&path, "v4.channel.k8s.io").await;
    assert!(all(&mut socket).await[&1].ends_with("connection refused"));
}

pub(crate) async fn ports_of_pods_are_reached(world: &World) {
    world.pod("p", 2, &ContainerSpec::plain(&echo_image())).await;
    // Nobody listens: all is over before the client has said anything.
    for _ in 0..20 {
        let mut socket =
            world.socket("/portForward/n/p?port=83&port=82", "v4.channel.k8s.io").await;
        let said = all(&mut socket).await;
        assert!(said[&1].ends_with("refused") && said[&3].ends_with("refused"), "{said:?}");
    }
    let refused = "/portForward/n/p?port=8080&port=81";
    let mut socket = world.socket(refused, "v4.channel.k8s.io").await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    crate::client::send(&mut socket, 0, request).await;
    let mut said = BTreeMap::new();
    // The echo may not listen yet.
    for _ in 0..50 {
        said = all(&mut socket).await;
        if said[&0].starts_with("HTTP/1.1 200") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        socket = world.socket(refused, "v4.channel.k8s.io").await;
        crate::client::send(&mut socket, 0, request).await;
    }
    assert!(said[&0].starts_with("HTTP/1.1 200") && said[&1].is_empty(), "{said:?}");
    let words = &said[&3];
    assert!(
        words.starts_with("error forwarding port 81 to pod p_n, uid u-p: dial tcp 10.98."),
        "{words}"
    );
    assert!(words.ends_with(":81: connect: connection refused"), "{words}");
    // A pod with the node's network: the port is one of the node's.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = |place| world.pods.0.lock().unwrap()[0].place = place;
    place(Place::Host);
    let mut socket =
        world.socket(&format!("/portForward/n/p/u-p?port={port}"), "v4.channel.k8s.io").await;
    let (mut taken, _) = listener.accept().await.unwrap();
    taken.write_all(b"from the host").await.unwrap();
    drop(taken);
    assert_eq!(all(&mut socket).await[&0], "from the host");
    place(Place::Nowhere);
    let mut socket = world.socket("/portForward/n/p?port=80", "v4.channel.k8s.io").await;
    assert!(all(&mut socket).await[&1].ends_with("the pod has no address"));
    for path in ["/portForward/n/p", "/portForward/n/p?port=0", "/portForward/n/p?port=x"] {
        let (head, _) = world.upgrade(path, "v4.channel.k8s.io").await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
    assert_eq!(world.get("/portForward/n/q?port=80").await.0, 404);
}
