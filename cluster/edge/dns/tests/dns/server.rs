// SPDX-License-Identifier: Apache-2.0
//! A server on the loopback: UDP, TCP, and what clients do wrong.

use crate::support::{
    ask, exchange, query, read_tcp, ready_server, settings, shown, until, write_tcp,
};
use berth_cluster_edge_dns::{BindError, Limits, Live, Options, Server};
use hickory_proto::op::{Message, ResponseCode};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

const WEB: &str = "web.default.svc.cluster.local.";
const MANY: &str = "many.default.svc.cluster.local.";

#[tokio::test]
async fn an_answer_that_does_not_fit_is_told_over_tcp() {
    let server = ready_server(Vec::new(), Limits::default()).await;
    for (payload, most) in [(None, 512), (Some(1_000), 1_000), (Some(65_000), 1_232)] {
        let packet = query(7, MANY, "A", payload).to_vec().unwrap();
        let bytes = exchange(server.address, &packet).await;
        let answer = Message::from_vec(&bytes).unwrap();
        // A name is written whole before it is made a pointer: the last record needs that much room.
        assert!(bytes.len() <= most && bytes.len() + 48 > most, "{} of {most}", bytes.len());
        assert!(answer.metadata.truncation && answer.metadata.authoritative);
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        write_tcp(&mut stream, &packet).await;
        let whole = read_tcp(&mut stream).await.unwrap();
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 100);
    }
    assert!(server.stats.page().contains("berth_dns_truncated_total 3"));
    assert_eq!(server.stats.queries("A"), 6);
}

#[tokio::test]
async fn clients_see_their_question_and_others_of_several_addresses_first() {
    let server = ready_server(Vec::new(), Limits::default()).await;
    let packet = query(9, "wEb.DeFault.svc.Cluster.local.", "A", None).to_vec().unwrap();
    let answer = Message::from_vec(&exchange(server.address, &packet).await).unwrap();
    assert_eq!(answer.queries[0].name.to_ascii(), "wEb.DeFault.svc.Cluster.local.");
    assert_eq!(answer.answers[0].name.to_ascii(), "wEb.DeFault.svc.Cluster.local.");
    assert!(answer.edns.is_none() && answer.answers[0].ttl == 5);
    let mut first = std::collections::BTreeSet::new();
    for _ in 0..20 {
        first.insert(ask(server.address, MANY, "A").await.answers[0].data.to_string());
    }
    assert!(first.len() > 15, "{first:?}");
    let srv = ask(server.address, &format!("_p._tcp.{MANY}"), "SRV").await;
    let record = srv.answers[0].to_string();
    assert!(record.contains(" 0 1 80 many-"), "{record}");
}

#[tokio::test]
async fn questions_of_a_connection_are_answered_side_by_side() {
    let server = ready_server(Vec::new(), Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut all = Vec::new();
    for id in 0..100_u16 {
        let packet = query(id, if id % 2 == 0 { WEB } else { MANY }, "A", None).to_vec().unwrap();
        all.extend(u16::try_from(packet.len()).unwrap().to_be_bytes());
        all.extend(packet);
    }
    // In pieces that end anywhere, and the last behind all others.
    let (first, rest) = all.split_at(777);
    let (second, last) = rest.split_at(rest.len() - 1);
    for piece in [first, second, last] {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = read_tcp(&mut stream).await.unwrap();
        let count = if answer.metadata.id % 2 == 0 { 1 } else { 100 };
        assert_eq!(answer.answers.len(), count);
        ids.insert(answer.metadata.id);
    }
    assert_eq!(ids.len(), 100);
    // Who says that nothing more will come still gets what was asked.
    write_tcp(&mut stream, &query(500, WEB, "A", None).to_vec().unwrap()).await;
    stream.shutdown().await.unwrap();
    assert_eq!(read_tcp(&mut stream).await.unwrap().metadata.id, 500);
    assert!(read_tcp(&mut stream).await.is_none());
}

#[tokio::test]
async fn each_address_has_only_so_many_connections() {
    let (connections_of_one, idle) = (2, Duration::from_mins(5));
    let limits = Limits { connections: 3, connections_of_one, idle, ..Limits::default() };
    let server = ready_server(Vec::new(), limits).await;
    let packet = query(1, WEB, "A", None).to_vec().unwrap();
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        write_tcp(&mut stream, &packet).await;
        assert!(read_tcp(&mut stream).await.is_some());
        held.push(stream);
    }
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert!(read_tcp(&mut third).await.is_none());
    assert!(server.stats.page().contains("berth_dns_connection_refusals_total 1"));
    held.clear();
    // And then there is room.
    let again = async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(&[&length[..], &packet].concat()).await;
            if read_tcp(&mut stream).await.is_some() {
                return;
            }
        }
    };
    tokio::time::timeout(crate::support::HANGS, again).await.unwrap();
}

#[tokio::test]
async fn connections_do_not_stay_for_nothing() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let server = ready_server(Vec::new(), limits).await;
    // Neither nothing nor half a question holds a connection.
    for begin in [&[][..], &[0], &[0, 40, 1]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(begin).await.unwrap();
        assert!(read_tcp(&mut stream).await.is_none());
    }
}

#[tokio::test]
async fn connections_are_closed_to_what_is_no_question() {
    let limits = Limits { idle: Duration::from_mins(5), ..Limits::default() };
    let server = ready_server(Vec::new(), limits).await;
    // A question of 60,000 bytes is none, and neither is an answer.
    for begin in [&[0xea_u8, 0x60, 1][..], &[0, 12, 0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0][..]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(begin).await;
        assert!(read_tcp(&mut stream).await.is_none());
    }
}

#[tokio::test]
async fn what_is_malformed_gets_an_error_or_nothing() {
    let server = ready_server(Vec::new(), Limits::default()).await;
    let good = query(0x0102, WEB, "A", None).to_vec().unwrap();
    let change = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        packet
    };
    for (packet, code) in [
        (change(5, 0), ResponseCode::FormErr),
        (change(5, 2), ResponseCode::FormErr),
        (change(2, 0x21), ResponseCode::NotImp),
        (change(12, 0xc0), ResponseCode::FormErr),
        (good[..20].to_vec(), ResponseCode::FormErr),
        (vec![0; 5_000], ResponseCode::FormErr),
        (change(good.len() - 1, 3), ResponseCode::Refused),
    ] {
        let bytes = exchange(server.address, &packet).await;
        assert!(bytes.len() <= packet.len());
        assert_eq!(Message::from_vec(&bytes).unwrap().metadata.response_code, code);
    }
    // Neither what is too short nor an answer gets one: the next packet's comes first.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address).await.unwrap();
    for packet in [Vec::new(), vec![1; 11], change(2, 0x81), good.clone()] {
        socket.send(&packet).await.unwrap();
    }
    let mut buffer = [0; 600];
    let count = socket.recv(&mut buffer).await.unwrap();
    assert_eq!(shown(&Message::from_vec(&buffer[..count]).unwrap()), "10.96.0.7");
    until("all is counted", || server.stats.malformed() == (6, 3)).await;
}

#[tokio::test]
async fn names_of_others_are_refused_without_upstreams() {
    let server = ready_server(Vec::new(), Limits::default()).await;
    assert_eq!(shown(&ask(server.address, "example.org.", "A").await), "Refused");
    assert_eq!(shown(&ask(server.address, "example.org.", "ANY").await), "RFC8482 ");
    assert_eq!(server.stats.answers("REFUSED"), 1);
}

#[tokio::test]
async fn addresses_are_taken_once_and_one_by_one() {
    let live = || Live::new(settings()).unwrap();
    let options = |listen: &[&str], workers| Options {
        listen: listen.iter().map(|one| one.parse().unwrap()).collect(),
        workers,
        ..Options::default()
    };
    let said = |options: &Options| Server::bind(options, live()).unwrap_err().to_string();
    assert_eq!(said(&options(&[], 1)), "no address to listen on is given");
    assert!(said(&options(&["0.0.0.0:0"], 1)).starts_with("0.0.0.0:0 stands for all addresses"));
    assert_eq!(said(&options(&["127.0.0.1:0"], 0)), "workers: 0 is not between 1 and 64");
    let server = Server::bind(&options(&["127.0.0.1:0", "127.0.0.1:0"], 1), live()).unwrap();
    let taken: SocketAddr = server.addresses()[0];
    assert_ne!(taken.port(), server.addresses()[1].port());
    let again = Server::bind(&options(&[&taken.to_string()], 1), live()).unwrap_err();
    assert!(matches!(again, BindError::Socket { transport: "UDP", .. }), "{again}");
    // Several workers share an address, and each client is answered by one of them.
    let shared = Server::bind(&options(&["127.0.0.1:0"], 4), live()).unwrap();
    let address = shared.addresses()[0];
    let task = tokio::spawn(shared.run());
    for _ in 0..20 {
        assert_eq!(shown(&ask(address, WEB, "A").await), "ServFail");
    }
    task.abort();
    drop(task.await);
    // Once it is gone, its addresses are free.
    Server::bind(&options(&[&address.to_string()], 1), live()).unwrap();
}
