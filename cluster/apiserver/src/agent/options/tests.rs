// SPDX-License-Identifier: Apache-2.0
//! Options of subresources, read and refused.

use super::*;

fn pod(text: &str) -> Map {
    serde_json::from_str::<Value>(text).unwrap().as_object().unwrap().clone()
}

fn two() -> Map {
    pod(
        r#"{"spec":{"containers":[{"name":"a"},{"name":"b"}],"initContainers":[{"name":"i"}],"ephemeralContainers":[{"name":"e"}]},"status":{"phase":"Running"}}"#,
    )
}

fn one() -> Map {
    pod(r#"{"spec":{"containers":[{"name":"a"}]},"status":{"phase":"Running"}}"#)
}

fn text(result: Result<String, Refusal>) -> String {
    result.unwrap_or_else(|refusal| format!("{}: {}", refusal.code, refusal.message))
}

#[test]
fn the_container_is_chosen_as_upstream_chooses_it() {
    let log = |pod: &Map, query: &str| text(log(pod, "n", "p", &Query::new(query)));
    assert_eq!(log(&one(), ""), "/containerLogs/n/p/a");
    for name in ["a", "b", "i", "e"] {
        assert_eq!(log(&two(), &format!("container={name}")), format!("/containerLogs/n/p/{name}"));
    }
    let all = "400: a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]";
    assert_eq!(log(&two(), ""), all);
    assert_eq!(log(&pod("{}"), ""), "400: a container name must be specified for pod p");
    for odd in ["x", "..%2F..%2Fetc", "a%0A", "A"] {
        let text = log(&two(), &format!("container={odd}"));
        assert!(
            text.starts_with("400: container ") && text.ends_with(" is not valid for pod p"),
            "{text}"
        );
    }
}

#[test]
fn options_of_a_log_are_checked_and_handed_on() {
    let check = |query: &str| {
        let query = Query::new(query);
        check_log(&query, "p").err().map_or_else(
            || text(log(&one(), "n", "p", &query)),
            |refusal| format!("{}: {}", refusal.code, refusal.message),
        )
    };
    assert_eq!(
        check(
            "follow=true&previous=false&timestamps=1&tailLines=0&limitBytes=1&sinceSeconds=5&pretty=true&insecureSkipTLSVerifyBackend=true"
        ),
        "/containerLogs/n/p/a?follow=true&limitBytes=1&sinceSeconds=5&tailLines=0&timestamps=true"
    );
    assert_eq!(
        check("sinceTime=2024-02-29T23:59:59Z"),
        "/containerLogs/n/p/a?sinceTime=2024-02-29T23%3A59%3A59Z"
    );
    for (query, words) in [
        (
            "tailLines=-1",
            "422: PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "limitBytes=0",
            "422: PodLogOptions \"p\" is invalid: limitBytes: Invalid value: 0: must be greater than 0",
        ),
        (
            "sinceSeconds=0",
            "422: PodLogOptions \"p\" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0",
        ),
        ("tailLines=x", "400: strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("sinceTime=yesterday", "400: parsing time \"yesterday\" as "),
        (
            "sinceTime=2024-02-29T23:59:59Z&sinceSeconds=1",
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        ("stream=Both", "422: PodLogOptions \"p\" is invalid: stream: Unsupported value: \"Both\""),
        ("stream=Stdout&tailLines=1", "are mutually exclusive"),
    ] {
        let got = check(query);
        assert!(got.contains(words), "{query}: {got}");
    }
}

#[test]
fn commands_are_handed_on_word_by_word() {
    let exec = |query: &str| text(run("exec", &one(), "n", "p", &Query::new(query)));
    assert_eq!(
        exec("?&command=sh&command=-c&command=a%26b%3D1+2&stdin=true&stdout=true&stderr=true"),
        "/exec/n/p/a?input=1&output=1&error=1&command=sh&command=-c&command=a%26b%3D1+2"
    );
    assert_eq!(
        exec("command=sh&tty=true&stdin=1&stderr=true"),
        "/exec/n/p/a?input=1&output=1&tty=1&command=sh"
    );
    assert_eq!(exec("command=sh"), "/exec/n/p/a?output=1&error=1&command=sh");
    let none = "400: you must specify at least 1 of stdin, stdout, stderr";
    assert_eq!(exec("command=sh&stdout=false&stderr=False"), none);
    assert_eq!(exec("stdin=true"), "400: you must specify at least one command for the container");
    let attach = |query: &str| text(run("attach", &one(), "n", "p", &Query::new(query)));
    assert_eq!(attach("stdin=true&command=x"), "/attach/n/p/a?input=1&output=1&error=1");
    let done = pod(r#"{"spec":{"containers":[{"name":"a"}]},"status":{"phase":"Succeeded"}}"#);
    assert_eq!(
        text(run("exec", &done, "n", "p", &Query::new("command=ls"))),
        "400: cannot exec into a container in a completed pod; current phase is Succeeded"
    );
}

#[test]
fn ports_are_handed_on() {
    let forward = |query: &str| text(forward(&one(), "n", "p", &Query::new(query)));
    assert_eq!(forward(""), "/portForward/n/p");
    assert_eq!(forward("ports=80,81&ports=82"), "/portForward/n/p?port=80&port=81&port=82");
    for odd in ["0", "65536", "x", "1%26a", ""] {
        assert!(forward(&format!("ports={odd}")).starts_with("400: port "), "{odd}");
    }
}

#[test]
fn a_page_cannot_leave_its_place() {
    let of = |list: &[&str], query| {
        page(&list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>(), query)
    };
    assert_eq!(of(&[], ""), "/");
    assert_eq!(of(&["stats", "summary"], "a=b"), "/stats/summary?a=b");
    assert_eq!(of(&["a b?c#d", "\r\n%2f"], ""), "/a%20b%3Fc%23d/%0D%0A%252f");
}
