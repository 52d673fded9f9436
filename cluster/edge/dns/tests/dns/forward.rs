// SPDX-License-Identifier: Apache-2.0
//! Upstreams that answer, lie, and say nothing.

use crate::support::{ask, query, read_tcp, ready_server, shown, until, write_tcp};
use berth_cluster_edge_dns::Limits;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// What an upstream does with a question that came over UDP: packets to send.
type Manner = Arc<dyn Fn(Message) -> Vec<Vec<u8>> + Send + Sync>;

struct Upstream {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    /// The last id that was asked with.
    id: Arc<AtomicU16>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The true answer: each name has the address 192.0.2.1, `no.` names do not exist.
fn truth(mut question: Message) -> Message {
    question = question.into_response();
    question.edns = None;
    let name = question.queries[0].name.clone();
    if name.to_ascii().starts_with("no.") {
        question.metadata.response_code = ResponseCode::NXDomain;
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 20);
        question.add_authority(Record::from_rdata(name.base_name(), 60, RData::SOA(soa)));
    } else {
        let address = RData::from(Ipv4Addr::new(192, 0, 2, 1));
        question.add_answer(Record::from_rdata(name, 300, address));
    }
    question
}

fn honest(question: Message) -> Vec<Vec<u8>> {
    vec![truth(question).to_vec().unwrap()]
}

/// Answers over TCP, always the truth.
async fn over_tcp(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let Some(question) = read_tcp(&mut stream).await else { continue };
        write_tcp(&mut stream, &truth(question).to_vec().unwrap()).await;
    }
}

async fn upstream(manner: impl Fn(Message) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Upstream {
    let manner: Manner = Arc::new(manner);
    let (socket, listener) = loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
            break (socket, listener);
        }
    };
    let address = socket.local_addr().unwrap();
    let (asked, id) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU16::new(0)));
    let (count, last) = (Arc::clone(&asked), Arc::clone(&id));
    let mut tasks = JoinSet::new();
    tasks.spawn(over_tcp(listener));
    tasks.spawn(async move {
        let mut buffer = [0; 4_096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..length]).unwrap();
            assert!(question.metadata.recursion_desired);
            count.fetch_add(1, Ordering::SeqCst);
            last.store(question.metadata.id, Ordering::SeqCst);
            for packet in manner(question) {
                socket.send_to(&packet, from).await.unwrap();
            }
        }
    });
    Upstream { address, asked, id, _tasks: tasks }
}

/// Short, so that silence is soon over.
fn impatient() -> Limits {
    let (attempt, patience) = (Duration::from_millis(250), Duration::from_secs(2));
    Limits { attempt, patience, ..Limits::default() }
}

const TRUE: &str = "192.0.2.1";

#[tokio::test]
async fn what_is_not_the_clusters_is_asked_elsewhere_and_kept_a_while() {
    let up = upstream(honest).await;
    let server = ready_server(vec![up.address], Limits::default()).await;
    for name in ["www.example.org.", "WWW.example.ORG."] {
        let answer = ask(server.address, name, "A").await;
        assert_eq!(
            (shown(&answer).as_str(), answer.queries[0].name.to_ascii().as_str()),
            (TRUE, name)
        );
        assert!(!answer.metadata.authoritative && answer.metadata.recursion_available);
        assert!(answer.answers[0].ttl <= 30, "kept no longer than here");
    }
    for _ in 0..2 {
        let answer = ask(server.address, "no.example.org.", "A").await;
        assert_eq!((shown(&answer).as_str(), answer.authorities.len()), ("NXDomain", 1));
    }
    assert_eq!(up.asked(), 2);
    assert_eq!((server.stats.cache(), server.stats.forwarded()), ((2, 2), (2, 0)));
    // Aliases to others are followed there.
    let answer = ask(server.address, "out.default.svc.cluster.local.", "A").await;
    assert_eq!(shown(&answer), format!("{TRUE} www.example.org."));
    assert_eq!((answer.answers[0].ttl, up.asked()), (5, 2));
    // Names of addresses that are not the cluster's, too.
    ask(server.address, "8.8.8.8.in-addr.arpa.", "PTR").await;
    ask(server.address, "3.0.1.10.in-addr.arpa.", "PTR").await;
    assert_eq!(up.asked(), 3);
}

#[tokio::test]
async fn each_question_has_an_id_of_its_own() {
    let up = upstream(honest).await;
    let server = ready_server(vec![up.address], Limits::default()).await;
    let mut ids = std::collections::BTreeSet::new();
    for at in 0..16 {
        ask(server.address, &format!("n{at}.example.org."), "A").await;
        ids.insert(up.id.load(Ordering::SeqCst));
    }
    // Sixteen of 65,536: that half of them are the same does not happen.
    assert!(ids.len() > 8, "{ids:?}");
}

#[tokio::test]
async fn lies_are_not_believed() {
    let lie = |change: fn(&mut Message)| {
        move |question: Message| {
            let mut answer = truth(question.clone());
            answer.answers[0].data = RData::from(Ipv4Addr::new(6, 6, 6, 6));
            change(&mut answer);
            // Then the truth, which comes too late for who believed the lie.
            vec![answer.to_vec().unwrap(), honest(question).remove(0)]
        }
    };
    let other = |message: &mut Message| {
        message.queries[0].name = Name::from_ascii("evil.org.").unwrap();
    };
    let ups = [
        upstream(lie(|message| message.metadata.id = message.metadata.id.wrapping_add(1))).await,
        upstream(lie(other)).await,
        upstream(lie(|message| message.queries.clear())).await,
        upstream(|question| {
            vec![vec![7; 40], question.to_vec().unwrap(), honest(question).remove(0)]
        })
        .await,
    ];
    for up in &ups {
        let server = ready_server(vec![up.address], Limits::default()).await;
        assert_eq!(shown(&ask(server.address, "www.example.org.", "A").await), TRUE);
        assert!(!server.stats.page().contains("berth_dns_upstream_lies_total 0"));
    }
    // Nobody gets through with lies alone, however many.
    let flood = upstream(|question| {
        let mut answer = truth(question);
        answer.metadata.id ^= 0x5555;
        vec![answer.to_vec().unwrap(); 100]
    })
    .await;
    let server = ready_server(vec![flood.address], impatient()).await;
    assert_eq!(shown(&ask(server.address, "www.example.org.", "A").await), "ServFail");
}

#[tokio::test]
async fn silent_and_unable_upstreams_are_passed_over() {
    let silent = upstream(|_| Vec::new()).await;
    let unable = upstream(|question| {
        let mut answer = question.into_response();
        answer.metadata.response_code = ResponseCode::ServFail;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let good = upstream(honest).await;
    let all = vec![silent.address, gone, unable.address, good.address];
    // Those that answer have all the time that they need on a busy machine.
    let (attempt, patience) = (Duration::from_secs(2), Duration::from_mins(1));
    let server = ready_server(all, Limits { attempt, patience, ..Limits::default() }).await;
    assert_eq!(shown(&ask(server.address, "a.example.org.", "A").await), TRUE);
    // The silent one is not waited for each time.
    assert_eq!(shown(&ask(server.address, "b.example.org.", "A").await), TRUE);
    assert_eq!((silent.asked(), unable.asked(), good.asked()), (1, 2, 2));
    drop(server);
    let server = ready_server(vec![silent.address, unable.address], impatient()).await;
    assert_eq!(shown(&ask(server.address, "a.example.org.", "A").await), "ServFail");
    // What failed is not kept.
    assert_eq!(shown(&ask(server.address, "a.example.org.", "A").await), "ServFail");
    assert_eq!(server.stats.forwarded(), (2, 2));
    let cluster = ask(server.address, "web.default.svc.cluster.local.", "A").await;
    assert_eq!(shown(&cluster), "10.96.0.7");
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp() {
    let up = upstream(|question| {
        let mut answer = question.into_response();
        answer.metadata.truncation = true;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let server = ready_server(vec![up.address], Limits::default()).await;
    assert_eq!(shown(&ask(server.address, "www.example.org.", "A").await), TRUE);
    assert!(server.stats.page().contains("berth_dns_upstream_tcp_total 1"));
}

#[tokio::test]
async fn an_upstream_that_knows_no_edns_is_asked_without() {
    let up = upstream(|question| {
        if question.edns.is_none() {
            return honest(question);
        }
        let mut answer = question.into_response();
        answer.edns = None;
        answer.metadata.response_code = ResponseCode::FormErr;
        vec![answer.to_vec().unwrap()]
    })
    .await;
    let server = ready_server(vec![up.address], Limits::default()).await;
    assert_eq!(shown(&ask(server.address, "www.example.org.", "A").await), TRUE);
    assert_eq!(up.asked(), 2);
}

#[tokio::test]
async fn only_so_many_are_asked_at_a_time_and_the_cluster_is_not_held_up() {
    let silent = upstream(|_| Vec::new()).await;
    let limits = Limits { asked: 4, asked_by_one: 3, ..Limits::default() };
    let server = ready_server(vec![silent.address], limits).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address).await.unwrap();
    for id in 0..5 {
        let packet = query(id, &format!("n{id}.example.org."), "A", None).to_vec().unwrap();
        socket.send(&packet).await.unwrap();
    }
    // Three wait; the others are told at once.
    let mut buffer = [0; 600];
    for _ in 0..2 {
        let count = socket.recv(&mut buffer).await.unwrap();
        let answer = Message::from_vec(&buffer[..count]).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        assert!(answer.metadata.id >= 3);
    }
    until("three are asked", || server.stats.forwarded().0 == 3).await;
    let cluster = ask(server.address, "web.default.svc.cluster.local.", "A").await;
    assert_eq!(shown(&cluster), "10.96.0.7");
    // Over a connection, what the zone knows overtakes what is waited for.
    drop(server);
    let server = ready_server(vec![silent.address], Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    write_tcp(&mut stream, &query(1, "www.example.org.", "A", None).to_vec().unwrap()).await;
    write_tcp(
        &mut stream,
        &query(2, "web.default.svc.cluster.local.", "A", None).to_vec().unwrap(),
    )
    .await;
    assert_eq!(read_tcp(&mut stream).await.unwrap().metadata.id, 2);
    assert_eq!(read_tcp(&mut stream).await.unwrap().metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_server_does_not_ask_itself() {
    let live = berth_cluster_edge_dns::Live::new(crate::support::settings()).unwrap();
    let (address, server) = loop {
        let address = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let options = berth_cluster_edge_dns::Options {
            listen: vec![address],
            upstreams: vec![address],
            ..berth_cluster_edge_dns::Options::default()
        };
        // A port that is free for UDP may be somebody's for TCP.
        match berth_cluster_edge_dns::Server::bind(&options, live.clone()) {
            Err(error) if format!("{error:?}").contains("AddrInUse") => {}
            bound => break (address, bound.unwrap()),
        }
    };
    let stats = server.stats();
    let task = tokio::spawn(server.run());
    assert_eq!(shown(&ask(address, "www.example.org.", "A").await), "Refused");
    assert_eq!(stats.forwarded(), (0, 0));
    task.abort();
}
