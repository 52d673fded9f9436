// SPDX-License-Identifier: Apache-2.0
//! An informer before a server that plays a part: pages, events, cuts in the middle of a line, forgotten revisions, refusals.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a script that is not followed is a failure of the test"
)]

use berth_cluster_client::{Api, Change, Informer, ObjectError, Resource, Subscription, View};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use kube::client::Body;
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// What is kept of these objects.
#[derive(Debug, Deserialize)]
struct Data {
    data: String,
}

impl View for Data {
    fn read(json: &[u8]) -> Result<Self, ObjectError> {
        serde_json::from_slice(json).map_err(|error| ObjectError(error.to_string()))
    }
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    End,
    Cut,
    Hang,
}

/// One request of the script: what its query has to have, and what it is answered.
#[derive(Debug)]
struct Step {
    wanted: &'static [&'static str],
    status: u16,
    pieces: Vec<String>,
    then: Then,
}

fn step(wanted: &'static [&'static str], pieces: &[String], then: Then) -> Step {
    Step { wanted, status: 200, pieces: pieces.to_vec(), then }
}

fn refusal(wanted: &'static [&'static str], status: u16) -> Step {
    let body = format!("{{\"kind\":\"Status\",\"code\":{status},\"message\":\"no\"}}");
    Step { wanted, status, pieces: vec![body], then: Then::End }
}

/// A body in pieces.
struct Pieces(VecDeque<String>, Then);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match (self.0.pop_front(), self.1) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
            (None, Then::End) => Poll::Ready(None),
            (None, Then::Cut) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            (None, Then::Hang) => Poll::Pending,
        }
    }
}

/// A server that follows its script; after it, it never answers.
#[derive(Clone)]
struct Server(Arc<Mutex<VecDeque<Step>>>, Arc<Mutex<Vec<Instant>>>);

impl tower_service::Service<Request<Body>> for Server {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Pieces>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.1.lock().unwrap().push(Instant::now());
        let asked = request.uri().to_string();
        let Some(step) = self.0.lock().unwrap().pop_front() else {
            return ready(Ok(Response::new(Pieces(VecDeque::new(), Then::Hang))));
        };
        assert!(asked.starts_with("/apis/g.io/v1/things?"), "{asked}");
        for wanted in step.wanted {
            let has = asked.split(['?', '&']).any(|part| part == *wanted);
            assert!(has, "{asked} has no {wanted}; next: {step:?}");
        }
        let mut answer = Response::new(Pieces(step.pieces.into(), step.then));
        *answer.status_mut() = step.status.try_into().unwrap();
        ready(Ok(answer))
    }
}

struct Play {
    informer: Informer<Data>,
    left: Arc<Mutex<VecDeque<Step>>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

fn play(script: Vec<Step>) -> Play {
    let (left, asked) = (Arc::new(Mutex::new(script.into())), Arc::default());
    let server = Server(Arc::clone(&left), Arc::clone(&asked));
    let api = Api::new(kube::Client::new(server, "default"));
    let informer = Informer::start(api, Resource::new("g.io", "v1", "things"), 7);
    Play { informer, left, asked }
}

fn object(name: &str, version: u64, data: &str) -> String {
    let meta = format!(
        "{{\"namespace\":\"n\",\"name\":\"{name}\",\"uid\":\"of-{name}\",\"resourceVersion\":\"{version}\"}}"
    );
    format!("{{\"metadata\":{meta},\"data\":{data}}}")
}

fn list(version: u64, more: &str, items: &[String]) -> Vec<String> {
    let items = items.join(",");
    vec![format!(
        "{{\"metadata\":{{\"resourceVersion\":\"{version}\",\"continue\":\"{more}\"}},\"items\":[{items}]}}\n"
    )]
}

fn event(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn expired() -> String {
    event("ERROR", "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}")
}

/// `+a=x` new, `a=x>y` changed, `-a=x` gone.
async fn told(changes: &mut Subscription<Data>, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        let Change { before, after } = changes.next().await.unwrap();
        let name = before.as_ref().or(after.as_ref()).unwrap().id.name.clone();
        all.push(match (before, after) {
            (None, Some(new)) => format!("+{name}={}", new.view.data),
            (Some(old), Some(new)) => format!("{name}={}>{}", old.view.data, new.view.data),
            (Some(old), None) => format!("-{name}={}", old.view.data),
            (None, None) => panic!("a change of nothing"),
        });
    }
    all
}

fn text(text: &str) -> String {
    format!("\"{text}\"")
}

#[tokio::test(start_paused = true)]
async fn pages_then_events_then_on_from_the_last_bookmark() {
    let play = play(vec![
        step(&["limit=5000"], &list(9, "t=1", &[object("a", 3, &text("x"))]), Then::End),
        step(&["continue=t%3D1"], &list(9, "", &[object("b", 4, &text("y"))]), Then::End),
        step(
            &["watch=true", "resourceVersion=9", "allowWatchBookmarks=true"],
            &[
                event("ADDED", &object("c", 10, &text("z"))),
                event("MODIFIED", &object("a", 11, &text("w")))
                    + &event("DELETED", &object("b", 12, &text("y"))),
                event("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"20\"}}"),
            ],
            Then::End,
        ),
        step(
            &["watch=true", "resourceVersion=20"],
            &[event("ADDED", &object("d", 21, &text("v")))],
            Then::Hang,
        ),
    ]);
    let mut changes = play.informer.subscribe();
    assert_eq!(told(&mut changes, 6).await, ["+a=x", "+b=y", "+c=z", "a=x>w", "-b=y", "+d=v"]);
    play.informer.synced().await;
    // Who comes later begins with what is there.
    let mut late = play.informer.subscribe();
    assert_eq!(told(&mut late, 3).await, ["+a=w", "+c=z", "+d=v"]);
    assert!(late.try_next().is_none() && changes.try_next().is_none());
    assert_eq!(play.informer.len(), 3);
    assert_eq!(play.informer.get("n", "a").unwrap().view.data, "w");
    assert!(play.left.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_the_middle_of_a_line_takes_nothing_half_and_loses_nothing() {
    let whole = event("MODIFIED", &object("a", 5, &text("y")));
    let (first, second) = whole.split_at(20);
    for cut in [Then::Cut, Then::End] {
        let play = play(vec![
            step(&[], &list(4, "", &[object("a", 4, &text("x"))]), Then::End),
            step(&["resourceVersion=4"], &[first.to_owned()], cut),
            // The event is told in two pieces, and another one behind it.
            step(
                &["resourceVersion=4"],
                &[
                    first.to_owned(),
                    second.to_owned() + &event("DELETED", &object("a", 6, &text("y"))),
                ],
                Then::Hang,
            ),
        ]);
        let mut changes = play.informer.subscribe();
        assert_eq!(told(&mut changes, 3).await, ["+a=x", "a=x>y", "-a=y"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_revision_means_a_list_and_only_differences_are_told() {
    let first =
        [object("a", 1, &text("x")), object("b", 2, &text("x")), object("c", 3, &text("x"))];
    let again =
        [object("b", 2, &text("x")), object("c", 8, &text("y")), object("d", 9, &text("x"))];
    for gone in [
        step(&["resourceVersion=3"], &[expired()], Then::End),
        refusal(&["resourceVersion=3"], 410),
        refusal(&["resourceVersion=3"], 504),
    ] {
        let play = play(vec![
            step(&[], &list(3, "", &first), Then::End),
            gone,
            step(&["limit=5000"], &list(9, "", &again), Then::End),
            step(
                &["resourceVersion=9"],
                &[event("DELETED", &object("d", 10, &text("x")))],
                Then::Hang,
            ),
        ]);
        let mut changes = play.informer.subscribe();
        let told = told(&mut changes, 7).await;
        assert_eq!(told, ["+a=x", "+b=x", "+c=x", "-a=x", "c=x>y", "+d=x", "-d=x"]);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_are_waited_out_with_pauses_that_grow() {
    let mut script: Vec<Step> = (0..8).map(|_| refusal(&["limit=5000"], 500)).collect();
    script.push(step(&[], &list(1, "", &[object("a", 1, &text("x"))]), Then::End));
    script.push(step(&["watch=true"], &[], Then::Hang));
    let play = play(script);
    let mut changes = play.informer.subscribe();
    assert_eq!(told(&mut changes, 1).await, ["+a=x"]);
    let asked = play.asked.lock().unwrap().clone();
    let pauses: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).take(8).collect();
    for (index, pause) in pauses.iter().enumerate() {
        let most = Duration::from_millis(200 << index).min(Duration::from_secs(30));
        assert!(*pause >= most / 2 && *pause <= most + Duration::from_millis(2), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_not_begun_as_fast() {
    let mut script = vec![step(&[], &list(1, "", &[]), Then::End)];
    script.extend((0..6).map(|_| step(&["resourceVersion=1"], &[], Then::End)));
    script.push(step(
        &["resourceVersion=1"],
        &[event("ADDED", &object("a", 2, &text("x")))],
        Then::Hang,
    ));
    let play = play(script);
    let begun = Instant::now();
    let mut changes = play.informer.subscribe();
    assert_eq!(told(&mut changes, 1).await, ["+a=x"]);
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_left_out_and_nothing_else() {
    let play = play(vec![
        step(&[], &list(3, "", &[object("a", 1, "7"), object("b", 2, &text("x"))]), Then::End),
        step(
            &["resourceVersion=3"],
            &[
                event("MODIFIED", &object("b", 4, "{}")),
                event("MODIFIED", &object("a", 5, &text("y"))),
                event("MODIFIED", &object("b", 6, &text("z"))),
            ],
            Then::Hang,
        ),
    ]);
    let mut changes = play.informer.subscribe();
    assert_eq!(told(&mut changes, 4).await, ["+b=x", "-b=x", "+a=y", "+b=z"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_more_is_left() {
    let play = play(vec![
        step(&[], &list(1, "", &[]), Then::End),
        step(&["resourceVersion=1"], &[], Then::Hang),
        step(&["resourceVersion=1"], &[event("ADDED", &object("a", 2, &text("x")))], Then::Hang),
    ]);
    let mut changes = play.informer.subscribe();
    assert_eq!(told(&mut changes, 1).await, ["+a=x"]);
}

#[tokio::test(start_paused = true)]
async fn who_drops_the_last_handle_ends_it() {
    let Play { informer, asked, .. } = play(vec![step(&[], &list(1, "", &[]), Then::End)]);
    let mut changes = informer.subscribe();
    informer.synced().await;
    drop(informer);
    assert!(changes.next().await.is_none());
    let before = asked.lock().unwrap().len();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(asked.lock().unwrap().len(), before, "nobody asks any more");
}
