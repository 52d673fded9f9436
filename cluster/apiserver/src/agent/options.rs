// SPDX-License-Identifier: Apache-2.0
//! Options of a request, checked as upstream checks them, and the path and query of an agent that they become.

use crate::query::Query;
use berth_cluster_api::field::{Errors, Path};
use berth_cluster_api::{Map, Refusal, time};
use berth_cluster_json::Value;
use form_urlencoded::Serializer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The options of a log that are handed on.
const LOG: [&str; 8] = [
    "follow",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "stream",
    "tailLines",
    "timestamps",
];

/// Checks the options of a log.
pub(super) fn check_log(query: &Query, pod: &str) -> Result<(), Refusal> {
    let mut errors = Errors::new();
    let [tail, limit, since] =
        ["tailLines", "limitBytes", "sinceSeconds"].map(|name| query.number(name));
    let (tail, limit, since) = (tail?, limit?, since?);
    if let Some(tail) = tail.filter(|tail| *tail < 0) {
        errors.invalid(&Path::new("tailLines"), tail, "must be greater than or equal to 0");
    }
    if let Some(limit) = limit.filter(|limit| *limit < 1) {
        errors.invalid(&Path::new("limitBytes"), limit, "must be greater than 0");
    }
    let at = query.get("sinceTime").filter(|text| !text.is_empty());
    if let Some(text) = at
        && time::parse(text).is_none()
    {
        let layout = "2006-01-02T15:04:05Z07:00";
        return Err(Refusal::bad_request(format!(
            "parsing time {text:?} as {layout:?}: cannot parse {text:?}"
        )));
    }
    if since.is_some() && at.is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.forbidden(&Path::new(""), why);
    } else if let Some(since) = since.filter(|since| *since < 1) {
        errors.invalid(&Path::new("sinceSeconds"), since, "must be greater than 0");
    }
    let stream = query.text("stream");
    if !["", "All", "Stdout", "Stderr"].contains(&stream) {
        errors.not_supported(&Path::new("stream"), stream, &["All", "Stderr", "Stdout"]);
    }
    if !["", "All"].contains(&stream) && tail.is_some() {
        let why = "`tailLines` and specific `stream` are mutually exclusive for now";
        errors.forbidden(&Path::new(""), why);
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid("", "PodLogOptions", pod, &errors))
    }
}

/// A log.
pub(super) fn log(
    pod: &Map,
    namespace: &str,
    name: &str,
    query: &Query,
) -> Result<String, Refusal> {
    let container = container(pod, name, query.text("container"))?;
    let mut options = Serializer::new(String::new());
    for option in LOG {
        let switch = ["follow", "previous", "timestamps"].contains(&option);
        let value = query.get(option).filter(|value| !value.is_empty());
        let value = if switch { query.flag(option).then_some("true") } else { value };
        if let Some(value) = value {
            options.append_pair(option, value);
        }
    }
    Ok(path("containerLogs", &[namespace, name, &container], &options.finish()))
}

/// Exec and attach.
pub(super) fn run(
    what: &str,
    pod: &Map,
    namespace: &str,
    name: &str,
    query: &Query,
) -> Result<String, Refusal> {
    if let Some(phase @ ("Succeeded" | "Failed")) = phase(pod) {
        return Err(Refusal::bad_request(format!(
            "cannot {what} into a container in a completed pod; current phase is {phase}",
        )));
    }
    let container = container(pod, name, query.text("container"))?;
    let mut options = Serializer::new(String::new());
    // Upstream's defaults: output is wanted unless it is said that it is not.
    let wanted = |name: &str, default: bool| query.get(name).map_or(default, |_| query.flag(name));
    let tty = wanted("tty", false);
    let streams = [
        ("input", wanted("stdin", false)),
        ("output", wanted("stdout", true)),
        ("error", wanted("stderr", true) && !tty),
        ("tty", tty),
    ];
    if streams[..3].iter().all(|(_, on)| !on) {
        return Err(Refusal::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    for (name, _) in streams.iter().filter(|(_, on)| *on) {
        options.append_pair(name, "1");
    }
    if what == "exec" {
        let mut words = query.all("command").peekable();
        if words.peek().is_none_or(|word| word.is_empty()) {
            return Err(Refusal::bad_request(
                "you must specify at least one command for the container",
            ));
        }
        for word in words {
            options.append_pair("command", word);
        }
    }
    Ok(path(what, &[namespace, name, &container], &options.finish()))
}

/// Port-forward.
pub(super) fn forward(
    pod: &Map,
    namespace: &str,
    name: &str,
    query: &Query,
) -> Result<String, Refusal> {
    if let Some(phase) = phase(pod).filter(|phase| *phase != "Running") {
        return Err(Refusal::bad_request(format!(
            "unable to forward port because pod is not running. Current status={phase}"
        )));
    }
    let mut options = Serializer::new(String::new());
    for text in query.all("ports").flat_map(|ports| ports.split(',')) {
        let port = text.parse::<u16>().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| {
            Refusal::bad_request(format!("port {text:?} is not a valid port number"))
        })?;
        options.append_pair("port", &port.to_string());
    }
    Ok(path("portForward", &[namespace, name], &options.finish()))
}

/// A page of the agent.
pub(super) fn page(segments: &[String], query: &str) -> String {
    let all: Vec<&str> = segments.iter().map(String::as_str).collect();
    match all.split_first() {
        Some((first, rest)) => path(first, rest, query),
        None => path("", &[], query),
    }
}

fn path(first: &str, segments: &[&str], query: &str) -> String {
    let mut path = format!("/{}", utf8_percent_encode(first, SEGMENT));
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, SEGMENT));
    }
    if !query.is_empty() {
        path.push('?');
        path.push_str(query);
    }
    path
}

fn phase(pod: &Map) -> Option<&str> {
    pod.get("status").and_then(|status| status["phase"].as_str())
}

/// The names of a pod's containers of a kind.
fn names<'a>(pod: &'a Map, kind: &str) -> Vec<&'a str> {
    let list = pod.get("spec").and_then(|spec| spec[kind].as_array());
    list.into_iter().flatten().filter_map(|one: &Value| one["name"].as_str()).collect()
}

/// The container that is meant; upstream's sentences.
fn container(pod: &Map, name: &str, asked: &str) -> Result<String, Refusal> {
    let (main, init) = (names(pod, "containers"), names(pod, "initContainers"));
    if !asked.is_empty() {
        let others = names(pod, "ephemeralContainers");
        let known = main.iter().chain(&init).chain(&others).any(|one| *one == asked);
        let wrong =
            || Refusal::bad_request(format!("container {asked} is not valid for pod {name}"));
        return known.then(|| asked.to_owned()).ok_or_else(wrong);
    }
    let mut text = format!("a container name must be specified for pod {name}");
    match main[..] {
        [only] => return Ok(only.to_owned()),
        [] => {}
        _ => {
            text = format!("{text}, choose one of: [{}]", main.join(" "));
            if !init.is_empty() {
                text = format!("{text} or one of the init containers: [{}]", init.join(" "));
            }
        }
    }
    Err(Refusal::bad_request(text))
}

#[cfg(test)]
mod tests;
