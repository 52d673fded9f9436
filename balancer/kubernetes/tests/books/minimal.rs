// SPDX-License-Identifier: Apache-2.0
//! An update says what is different, and nothing else; what is refused, or not taken, is kept in mind.

use crate::support::{around, endpoint, put_service, put_slice, service, slice, table};
use berth_balancer_kubernetes::{Around, Books, Culprit, Object};
use berth_balancer_service::wanted::{EndpointUpdate, Update};
use serde_json::json;
use std::collections::BTreeMap;

fn told(update: &Update) -> Vec<String> {
    let mut all = Vec::new();
    if update.replace {
        all.push("everything".to_owned());
    }
    if update.common.is_some() {
        all.push("node".to_owned());
    }
    all.extend(update.services.iter().map(|one| format!("={}", one.wish.service.name)));
    all.extend(update.remove.iter().map(|name| format!("-{name}")));
    all.extend(update.endpoints.iter().map(|one| match one {
        EndpointUpdate::Set { service, endpoint } => format!("{service}+{}", endpoint.name),
        EndpointUpdate::Remove { service, endpoint } => format!("{service}-{endpoint}"),
    }));
    all
}

/// What is told next, and taken.
fn next(books: &mut Books) -> Vec<String> {
    let Some((update, planned)) = books.plan() else { return Vec::new() };
    books.commit(planned, |_, _| {});
    told(&update)
}

fn started() -> Books {
    let mut books = Books::new(around());
    for (name, address) in [("web", "10.96.0.1"), ("api", "10.96.0.2")] {
        put_service(&mut books, name, &service(address, &json!({})));
        put_slice(&mut books, &format!("{name}-1"), &slice(name, &[endpoint("a 1 ready")]));
    }
    assert_eq!(next(&mut books), ["everything", "node", "=d/api", "=d/web"]);
    assert_eq!(next(&mut books), [""; 0]);
    books
}

#[test]
fn one_endpoint_tells_that_endpoint_and_what_is_told_again_nothing() {
    let mut books = started();
    let two = slice("web", &[endpoint("a 1 ready"), endpoint("b 2 ready")]);
    put_slice(&mut books, "web-1", &two);
    assert_eq!(next(&mut books), ["d/web+b/10.1.0.2"]);
    put_slice(&mut books, "web-1", &two);
    put_slice(&mut books, "web-2", &slice("web", &[endpoint("b 2 ready")]));
    put_service(&mut books, "web", &service("10.96.0.1", &json!({})));
    assert_eq!(next(&mut books), [""; 0], "the same in other words");
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("b 2 ending"), endpoint("c 3 ready")]));
    assert_eq!(
        next(&mut books),
        ["d/web-a/10.1.0.1", "d/web+c/10.1.0.3"],
        "web-2 has b ready still"
    );
    books.slice("d".into(), "web-2".into(), None);
    assert_eq!(next(&mut books), ["d/web+b/10.1.0.2"]);
    put_service(
        &mut books,
        "web",
        &service("10.96.0.1", &json!({ "sessionAffinity": "ClientIP" })),
    );
    assert_eq!(next(&mut books), ["=d/web"]);
    books.service(("d".into(), "web".into()), None);
    assert_eq!(next(&mut books), ["-d/web"]);
    let many: Vec<_> = (1..60).map(|n| endpoint(&format!("p{n} {n} ready"))).collect();
    put_slice(&mut books, "api-1", &slice("api", &many));
    assert_eq!(next(&mut books), ["=d/api"], "many endpoints are told as a whole");
}

#[test]
fn what_comes_while_an_update_is_under_way_is_told_next_and_what_was_not_taken_again() {
    let mut books = started();
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("b 2 ready")]));
    let (_, planned) = books.plan().unwrap();
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("a 1 ready")]));
    books.commit(planned, |_, _| {});
    assert_eq!(next(&mut books), ["d/web-b/10.1.0.2", "d/web+a/10.1.0.1"]);
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("b 2 ready")]));
    drop(books.plan().unwrap());
    assert_eq!(next(&mut books), ["d/web-a/10.1.0.1", "d/web+b/10.1.0.2"]);
    books.around(Around { zone: Some("z2".into()), ..around() });
    assert_eq!(next(&mut books), ["node"], "endpoints are what they were");
}

#[test]
fn who_is_refused_is_left_out_until_it_is_another_or_all_are_forgiven() {
    let mut books = started();
    put_slice(&mut books, "web-1", &slice("web", &[endpoint("b 2 ready")]));
    put_service(&mut books, "api", &service("10.96.0.3", &json!({})));
    let (_, planned) = books.plan().unwrap();
    let culprit = |path: &str| planned.culprit(path);
    assert_eq!(culprit("service \"d/api\".address"), Culprit::Service("d/api".into()));
    assert_eq!(culprit("endpoints[1].set.port"), Culprit::Service("d/web".into()));
    assert_eq!(culprit("endpoints[9].set"), Culprit::Unknown);
    assert_eq!(culprit("node"), Culprit::Node);
    assert_eq!(culprit("services"), Culprit::Unknown);
    books.refuse(BTreeMap::from([("d/api".into(), "it is another's".to_owned())]));
    assert_eq!(next(&mut books), ["-d/api", "d/web-a/10.1.0.1", "d/web+b/10.1.0.2"]);
    let notes = |books: &Books| {
        let all = books.notes(&Object::Service(("d".into(), "api".into())));
        all.into_iter().map(|note| note.message).collect::<Vec<_>>()
    };
    assert_eq!(notes(&books), ["it is another's"]);
    assert_eq!(next(&mut books), [""; 0]);
    books.forgive();
    assert_eq!((next(&mut books), notes(&books)), (vec!["=d/api".to_owned()], vec![]));
    books.refuse(BTreeMap::from([("d/api".into(), "again".to_owned())]));
    assert_eq!(next(&mut books), ["-d/api"]);
    put_service(&mut books, "api", &service("10.96.0.4", &json!({})));
    assert_eq!((next(&mut books), notes(&books)), (vec!["=d/api".to_owned()], vec![]));
    assert_eq!(table(&mut books).len(), 2);
}

#[test]
fn a_change_among_ten_thousand_services_tells_what_it_touches() {
    let mut books = Books::new(around());
    let name = |number: usize| format!("s{number}");
    for number in 0..10_000 {
        let address = format!("10.96.{}.{}", number / 250, number % 250 + 1);
        put_service(&mut books, &name(number), &service(&address, &json!({})));
        put_slice(&mut books, &name(number), &slice(&name(number), &[endpoint("a 1 ready")]));
    }
    assert_eq!(next(&mut books).len(), 10_002);
    for number in 0..100 {
        put_slice(&mut books, &name(number), &slice(&name(number), &[endpoint("a 1 not")]));
        assert_eq!(next(&mut books), [format!("d/s{number}+a/10.1.0.1")]);
    }
}

#[test]
fn where_nobody_knows_whose_fault_it_was_each_service_is_told_by_itself() {
    let mut books = Books::new(around());
    for (name, address) in [("web", "10.96.0.1"), ("api", "10.96.0.2"), ("db", "10.96.0.3")] {
        put_service(&mut books, name, &service(address, &json!({})));
    }
    books.leave_behind(vec!["d/gone".into(), "d/web".into()]);
    let (update, planned) = books.plan().unwrap();
    assert_eq!(told(&update), ["everything", "node", "=d/api", "=d/db", "=d/web", "-d/gone"]);
    assert_eq!(planned.culprit("?"), Culprit::Unknown);
    books.narrow();
    assert_eq!(next(&mut books), ["node", "-d/gone"]);
    assert_eq!(next(&mut books), ["=d/api"]);
    let (update, planned) = books.plan().unwrap();
    assert_eq!(
        (told(&update), planned.culprit("?")),
        (vec!["=d/db".to_owned()], Culprit::Service("d/db".into()))
    );
    books.refuse(BTreeMap::from([("d/db".into(), "?".to_owned())]));
    assert_eq!(next(&mut books), ["=d/web"]);
    assert_eq!(next(&mut books), [""; 0]);
    // All is told: the next ones go together again.
    for (name, address) in [("web", "10.96.0.4"), ("api", "10.96.0.5")] {
        put_service(&mut books, name, &service(address, &json!({})));
    }
    assert_eq!(next(&mut books), ["=d/api", "=d/web"]);
}

#[test]
fn who_says_nothing_different_about_the_node_leaves_it_to_others() {
    let mut books = started();
    books.around(Around { addresses: vec!["127.0.0.1".parse().unwrap()], ..around() });
    drop(books.plan().unwrap());
    books.leave_common();
    assert_eq!(next(&mut books), [""; 0]);
}
