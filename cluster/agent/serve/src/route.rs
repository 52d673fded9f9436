// SPDX-License-Identifier: Apache-2.0
//! What a path means, and which rights it takes. Pure.

use http::Method;
use percent_encoding::percent_decode_str;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Logs(Target),
    Exec(Target),
    Attach(Target),
    /// Its container is empty.
    Forward(Target),
    Pods,
    Health,
    Metrics,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: Option<String>,
    pub(crate) container: String,
}

/// Why a path means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    NoSuchPath,
    Method,
}

/// Understands a request.
pub(crate) fn find(method: &Method, path: &str) -> Result<Route, Nothing> {
    let mut segments = Vec::new();
    for segment in path.strip_prefix('/').ok_or(Nothing::NoSuchPath)?.split('/') {
        let text = percent_decode_str(segment).decode_utf8().map_err(|_| Nothing::NoSuchPath)?;
        segments.push(text.into_owned());
    }
    let target = |uid: Option<&String>, names: [&String; 3]| Target {
        namespace: names[0].clone(),
        pod: names[1].clone(),
        uid: uid.cloned(),
        container: names[2].clone(),
    };
    let none = String::new();
    let (first, rest) = segments.split_first().ok_or(Nothing::NoSuchPath)?;
    let route = match (first.as_str(), rest) {
        ("containerLogs", [ns, pod, name]) => Route::Logs(target(None, [ns, pod, name])),
        ("exec", [ns, pod, name]) => Route::Exec(target(None, [ns, pod, name])),
        ("exec", [ns, pod, uid, name]) => Route::Exec(target(Some(uid), [ns, pod, name])),
        ("attach", [ns, pod, name]) => Route::Attach(target(None, [ns, pod, name])),
        ("attach", [ns, pod, uid, name]) => Route::Attach(target(Some(uid), [ns, pod, name])),
        ("portForward", [ns, pod]) => Route::Forward(target(None, [ns, pod, &none])),
        ("portForward", [ns, pod, uid]) => Route::Forward(target(Some(uid), [ns, pod, &none])),
        ("pods", []) => Route::Pods,
        ("pods", [end]) if end.is_empty() => Route::Pods,
        ("healthz", []) => Route::Health,
        ("healthz", [what]) if matches!(what.as_str(), "ping" | "syncloop") => Route::Health,
        ("metrics", []) => Route::Metrics,
        _ => return Err(Nothing::NoSuchPath),
    };
    let streams = matches!(route, Route::Exec(_) | Route::Attach(_) | Route::Forward(_));
    let known = *method == Method::GET || (streams && *method == Method::POST);
    if known { Ok(route) } else { Err(Nothing::Method) }
}

/// The verb that a method is, as upstream's authorizer has it; none for one that it does not know.
pub(crate) fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The subresources of `nodes` any of which gives the right to a path. Upstream's table, the fine ones first.
pub(crate) fn subresources(path: &str) -> Vec<&'static str> {
    let below = |base: &str| {
        path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let fine = [
        ("/pods", "pods"),
        ("/healthz", "healthz"),
        ("/configz", "configz"),
        ("/runningpods", "pods"),
    ];
    let coarse = [
        ("/stats", "stats"),
        ("/metrics", "metrics"),
        ("/logs", "log"),
        ("/checkpoint", "checkpoint"),
    ];
    let first = |table: &[(&str, &'static str)]| {
        table.iter().find(|(base, _)| below(base)).map(|(_, name)| *name)
    };
    let mut all: Vec<&str> = first(&fine).into_iter().collect();
    all.push(first(&coarse).unwrap_or("proxy"));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uid: Option<&str>, [namespace, pod, container]: [&str; 3]) -> Target {
        let [namespace, pod, container] = [namespace, pod, container].map(str::to_owned);
        Target { namespace, pod, uid: uid.map(str::to_owned), container }
    }

    #[test]
    fn paths_mean_what_they_mean_upstream() {
        let get = |path: &str| find(&Method::GET, path);
        let three = ["n", "p", "c"];
        assert_eq!(get("/containerLogs/n/p/c"), Ok(Route::Logs(target(None, three))));
        assert_eq!(get("/exec/n/p/c"), Ok(Route::Exec(target(None, three))));
        assert_eq!(get("/exec/n/p/u/c"), Ok(Route::Exec(target(Some("u"), three))));
        assert_eq!(get("/attach/n/p/u/c"), Ok(Route::Attach(target(Some("u"), three))));
        assert_eq!(get("/portForward/n/p"), Ok(Route::Forward(target(None, ["n", "p", ""]))));
        assert_eq!(
            get("/portForward/n/p/u"),
            Ok(Route::Forward(target(Some("u"), ["n", "p", ""])))
        );
        assert_eq!(
            get("/containerLogs/n/a%2Fb/c%20d"),
            Ok(Route::Logs(target(None, ["n", "a/b", "c d"])))
        );
        assert_eq!([get("/pods"), get("/pods/")], [Ok(Route::Pods), Ok(Route::Pods)]);
        assert_eq!([get("/healthz"), get("/metrics")], [Ok(Route::Health), Ok(Route::Metrics)]);
        for path in [
            "",
            "/",
            "pods",
            "*",
            "//",
            "/exec",
            "/exec/n/p",
            "/exec/n/p/u/c/x",
            "/stats/summary",
            "/containerLogs/n/p/%ff",
            "/../pods",
            "/pods/../exec/n/p/c",
            "/metrics/cadvisor",
            "/run/n/p/c",
        ] {
            assert_eq!(get(path), Err(Nothing::NoSuchPath), "{path}");
        }
        assert!(find(&Method::POST, "/exec/n/p/c").is_ok());
        for path in ["/containerLogs/n/p/c", "/pods", "/healthz", "/metrics"] {
            assert_eq!(find(&Method::POST, path), Err(Nothing::Method), "{path}");
        }
        assert_eq!(find(&Method::DELETE, "/exec/n/p/c"), Err(Nothing::Method));
    }

    #[test]
    fn rights_are_upstreams() {
        for (path, expected) in [
            ("/pods", vec!["pods", "proxy"]),
            ("/pods/x", vec!["pods", "proxy"]),
            ("/podsx", vec!["proxy"]),
            ("/runningpods/", vec!["pods", "proxy"]),
            ("/healthz/ping", vec!["healthz", "proxy"]),
            ("/configz", vec!["configz", "proxy"]),
            ("/metrics", vec!["metrics"]),
            ("/metrics/cadvisor", vec!["metrics"]),
            ("/stats/summary", vec!["stats"]),
            ("/logs/", vec!["log"]),
            ("/checkpoint/n/p/c", vec!["checkpoint"]),
            ("/containerLogs/n/p/c", vec!["proxy"]),
            ("/exec/n/p/c", vec!["proxy"]),
            ("/%70ods", vec!["proxy"]),
            ("/", vec!["proxy"]),
            ("", vec!["proxy"]),
        ] {
            assert_eq!(subresources(path), expected, "{path}");
        }
        assert_eq!(
            [verb(&Method::POST), verb(&Method::GET), verb(&Method::HEAD)],
            ["create", "get", ""]
        );
    }
}
