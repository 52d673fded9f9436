// SPDX-License-Identifier: Apache-2.0
//! Attacks on the server's limits, by their numbers in RELIABILITY (those on identities and rights are in `attacks.rs`).

use crate::kit::attacked::{CONFIGS, RBAC, check, cluster, dynamic, prepare, random_path};
use crate::kit::{Call, Cluster, Random, config, pod};
use crate::tier::Row;
use berth_cluster_apiserver::{Faults, Options};
use berth_cluster_json::{Value, json};
use berth_cluster_store::Store;
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use std::fmt::Write;
use std::time::Duration;

// ---- limits ----

const LIMIT: usize = 3 << 20;

#[tokio::test]
async fn attack_22_a_body_has_its_size() {
    let cluster = cluster().await;
    let object = config("a", "b").to_string();
    let padded = |size: usize| format!("{object}{}", " ".repeat(size - object.len()));
    let post = |body: String| cluster.as_u("POST", CONFIGS).bytes("application/json", body);
    check(
        22,
        vec![
            ("all there may be", post(padded(LIMIT)), &[201]),
            ("a byte more", post(padded(LIMIT + 1)), &[413]),
            ("much more", post(padded(16 << 20)), &[413]),
            (
                "PUT",
                cluster
                    .as_u("PUT", &format!("{CONFIGS}/a"))
                    .bytes("application/json", padded(LIMIT + 1)),
                &[413],
            ),
            (
                "PATCH",
                cluster
                    .as_u("PATCH", &format!("{CONFIGS}/a"))
                    .bytes("application/merge-patch+json", padded(LIMIT + 1)),
                &[413],
            ),
            (
                "DELETE",
                cluster
                    .as_u("DELETE", &format!("{CONFIGS}/a"))
                    .bytes("application/json", padded(LIMIT + 1)),
                &[413],
            ),
            (
                "by nobody",
                cluster.call("POST", CONFIGS).bytes("application/json", padded(LIMIT + 1)),
                &[403],
            ),
        ],
    )
    .await;
    assert_eq!(cluster.as_u("GET", &format!("{CONFIGS}/a")).status().await, 200);
}

fn streamed(
    cluster: &Cluster,
    pieces: impl futures_util::Stream<Item = Bytes> + Send + 'static,
) -> impl Future<Output = u16> {
    use futures_util::StreamExt;
    let frames = pieces.map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(piece)));
    let mut request = http::Request::post(CONFIGS).body(StreamBody::new(frames)).unwrap();
    let user = berth_cluster_auth::user::User::authenticated("u", "", Vec::new());
    request.extensions_mut().insert(berth_cluster_apiserver::Caller(user));
    let server = cluster.server.clone();
    async move { server.answer(request).await.status().as_u16() }
}

#[tokio::test(start_paused = true)]
async fn attack_22_a_body_has_its_end() {
    let cluster = cluster().await;
    let endless = stream::repeat(Bytes::from_static(&[b' '; 4_096]));
    assert_eq!(streamed(&cluster, endless).await, 413);
    let start = tokio::time::Instant::now();
    assert_eq!(streamed(&cluster, stream::pending()).await, 504);
    let slow = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Some((Bytes::from_static(b" "), ()))
    });
    assert_eq!(streamed(&cluster, slow).await, 504);
    assert_eq!(start.elapsed().as_secs(), 120, "the clock of the test: a minute for each");
}

#[tokio::test]
async fn attack_23_a_patch_has_its_size() {
    let cluster = cluster().await;
    let path = &format!("{CONFIGS}/a");
    cluster.make(CONFIGS, config("a", &"x".repeat(1_000))).await;
    let patch = |body: &Value| {
        cluster.as_u("PATCH", path).bytes("application/json-patch+json", body.to_string())
    };
    let tests = |count: usize| {
        json!(vec![json!({ "op": "test", "path": "/kind", "value": "ConfigMap" }); count])
    };
    assert_eq!(patch(&tests(10_000)).status().await, 200);
    let reply = patch(&tests(10_001)).reply().await;
    assert_eq!(reply.status, 413);
    assert!(reply.text().contains("10000"), "{}", reply.text());
    // Each copies all of the data, with what was copied before.
    let bombs: Vec<Value> = (0..20)
        .map(|number| json!({ "op": "copy", "from": "/data", "path": format!("/data/k{number}") }))
        .collect();
    let reply = patch(&json!(bombs)).reply().await;
    assert!([413, 422].contains(&reply.status), "{} {}", reply.status, reply.text());
    let before = cluster.get(path).await;
    assert_eq!(before["data"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn attack_24_a_deep_body_is_refused_on_a_small_stack() {
    // A test's thread has 2 MiB of stack.
    let cluster = cluster().await;
    let deep = 1_500_000;
    let object = |deep: usize| {
        let (open, close) = ("{\"a\":".repeat(deep), "}".repeat(deep));
        format!("{{\"metadata\":{{\"name\":\"d\"}},\"data\":{open}1{close}}}")
    };
    // Field 2 (of `Unknown`: raw) around field 1 (metadata) around itself: lengths nest.
    let mut proto = Vec::new();
    for _ in 0..2_000 {
        let mut outer = vec![0x0a];
        let mut length = proto.len();
        while length > 0x7f {
            outer.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        outer.push(u8::try_from(length).unwrap());
        outer.extend_from_slice(&proto);
        proto = outer;
    }
    proto.splice(0..0, *b"k8s\0");
    let post = |media: &str, body: Vec<u8>| cluster.as_u("POST", CONFIGS).bytes(media, body);
    let json = "application/json";
    let yaml = "application/yaml";
    check(
        24,
        vec![
            ("lists", post(json, "[".repeat(deep).into()), &[400]),
            (
                "closed lists",
                post(json, ["[".repeat(deep), "]".repeat(deep)].concat().into()),
                &[400],
            ),
            ("objects", post(json, object(300_000).into()), &[400]),
            ("objects in YAML", post(yaml, object(300_000).into()), &[400]),
            ("YAML lists", post(yaml, "[".repeat(deep).into()), &[400]),
            ("YAML dashes", post(yaml, "- ".repeat(deep).into()), &[400]),
            ("YAML question marks", post(yaml, "? ".repeat(100_000).into()), &[400]),
            ("protobuf", post("application/vnd.kubernetes.protobuf", proto), &[400]),
            (
                "a deep patch",
                cluster
                    .as_u("PATCH", &format!("{CONFIGS}/a"))
                    .bytes("application/merge-patch+json", object(300_000)),
                &[400],
            ),
            (
                "deep options",
                cluster.as_u("DELETE", &format!("{CONFIGS}/a")).bytes(json, object(300_000)),
                &[400],
            ),
        ],
    )
    .await;
    assert_eq!(post(json, config("alive", "").to_string().into()).status().await, 201);
}

#[tokio::test]
async fn attack_25_a_bomb_of_aliases_is_refused() {
    let cluster = cluster().await;
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        let one = format!("*a{}", level - 1);
        let nine = [one.as_str(); 9].join(",");
        writeln!(bomb, "a{level}: &a{level} [{nine}]").unwrap();
    }
    bomb.push_str("metadata: {name: bomb}\n");
    let post = |body: String| cluster.as_u("POST", CONFIGS).bytes("application/yaml", body);
    let text = "y".repeat(1_000);
    let mut wide = format!("metadata: {{name: wide, annotations: {{a: &t {text}}}}}\ndata:\n");
    for number in 0..20_000 {
        writeln!(wide, "  k{number}: *t").unwrap();
    }
    let fine = "metadata: {name: &n fine, labels: {app: *n}}\n".to_owned();
    check(
        25,
        vec![
            ("nine by nine", post(bomb), &[400]),
            ("wide", post(wide), &[400, 413, 422]),
            ("a use", post(fine), &[201]),
        ],
    )
    .await;
}

#[tokio::test]
async fn attack_26_odd_json_is_refused_or_kept_as_it_is() {
    let cluster = cluster().await;
    let keys: Vec<String> = (0..100_000).map(|number| format!("\"k{number}\":\"\"")).collect();
    let keys = keys.join(",");
    let rows: &[(&str, &str, &[u16])] = &[
        ("not a number", r#"{"metadata":{"name":"a"},"data":{"a":NaN}}"#, &[400]),
        ("infinite", r#"{"metadata":{"name":"a"},"immutable":1e400}"#, &[400]),
        ("a number for a flag", r#"{"metadata":{"name":"a"},"immutable":1}"#, &[400]),
        ("half a letter", r#"{"metadata":{"name":"a"},"data":{"a":"\ud800"}}"#, &[400, 422, 201]),
        ("NUL in a name", r#"{"metadata":{"name":"a\u0000b"}}"#, &[422]),
        (
            "NUL in a value",
            r#"{"metadata":{"name":"nul"},"data":{"a":"\u0000"}}"#,
            &[400, 422, 201],
        ),
        ("a list", "[]", &[400]),
        ("a text", "\"a\"", &[400]),
        ("two objects", r#"{"metadata":{"name":"a"}}{"metadata":{"name":"b"}}"#, &[400]),
        ("a tail", r#"{"metadata":{"name":"a"}} x"#, &[400]),
        ("bytes that are no text", "{\"metadata\":{\"name\":\"\u{0}\"}}", &[400]),
        ("nothing", "", &[400, 422]),
        ("another kind", r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}"#, &[400]),
        ("metadata that are none", r#"{"metadata":[]}"#, &[400]),
        ("labels that are numbers", r#"{"metadata":{"name":"a","labels":{"a":1}}}"#, &[400]),
    ];
    for (what, body, wanted) in rows {
        let reply = cluster.as_u("POST", CONFIGS).bytes("application/json", *body).reply().await;
        assert!(wanted.contains(&reply.status), "{what}: {} {}", reply.status, reply.text());
        if reply.status == 201 {
            let made = reply.value();
            let path = format!("{CONFIGS}/{}", made["metadata"]["name"].as_str().unwrap());
            assert_eq!(cluster.get(&path).await, made, "{what}");
        }
    }
    let bad = cluster
        .as_u("POST", CONFIGS)
        .bytes("application/json", b"{\"metadata\":{\"name\":\"\xff\"}}".to_vec());
    assert_eq!(bad.status().await, 400, "bytes that are no UTF-8");
    let many = format!("{{\"metadata\":{{\"name\":\"many\"}},\"data\":{{{keys}}}}}");
    let reply = cluster.as_u("POST", CONFIGS).bytes("application/json", many).reply().await;
    assert!([201, 422].contains(&reply.status), "{}", reply.status);
    let text = reply.value();
    assert_eq!(cluster.get(&format!("{CONFIGS}/many")).await, text);
}

#[tokio::test]
async fn attack_27_a_name_is_a_name() {
    let cluster = cluster().await;
    let long = "a".repeat(254);
    for name in [
        &long,
        "A",
        "..",
        ".",
        "a/b",
        "-a",
        "a-",
        "а",
        "a\u{200b}",
        "a b",
        "a_b",
        "%2e",
        "a\n",
        "*",
    ] {
        for path in [
            CONFIGS,
            "/api/v1/namespaces/t1/secrets",
            "/api/v1/namespaces/t1/pods",
            "/api/v1/namespaces/t1/serviceaccounts",
        ] {
            let mut object = pod(name);
            object.as_object_mut().unwrap().remove("kind");
            if !path.ends_with("pods") {
                object.as_object_mut().unwrap().remove("spec");
            }
            let status = cluster.as_u("POST", path).json(&object).status().await;
            assert_eq!(status, 422, "{path} {name:?}");
        }
        let status = cluster
            .admin("POST", "/api/v1/namespaces")
            .json(&json!({ "metadata": { "name": name } }))
            .status()
            .await;
        assert_eq!(status, 422, "namespace {name:?}");
    }
    for key in ["../../etc/passwd", "..", ".", "..a", "a/b", "", "a\0b", &"k".repeat(254)] {
        for (path, field) in
            [(CONFIGS, "data"), (CONFIGS, "binaryData"), ("/api/v1/namespaces/t1/secrets", "data")]
        {
            let object = json!({ "metadata": { "name": "keys" }, field: { key: "YQ==" } });
            let status = cluster.as_u("POST", path).json(&object).status().await;
            assert_eq!(status, 422, "{path} {field} {key:?}");
        }
    }
    // Roles may have any name that is one segment of a path.
    let roles = format!("{RBAC}/namespaces/t1/roles");
    for name in ["..", ".", "a/b", "a%b"] {
        let role = json!({ "metadata": { "name": name }, "rules": [] });
        assert_eq!(cluster.admin("POST", &roles).json(&role).status().await, 422, "{name}");
    }
}

#[tokio::test]
async fn attack_28_no_client_makes_the_metrics_grow() {
    let cluster = cluster().await;
    let mut random = Random(28);
    for number in 0..2_000 {
        let path = format!("{}x{number}", random_path(&mut random));
        let method = random.pick(&["GET", "POST", "PUT", "BREW", "DELETE"]);
        let call = cluster.as_u(method, &path).header("user-agent", &format!("agent-{number}"));
        drop(call.answer().await);
    }
    let reply = cluster.admin("GET", "/metrics").reply().await;
    assert_eq!(reply.status, 200);
    let text = reply.text();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!((1..=5_000).contains(&series), "{series} series");
    assert!(!text.contains("agent-") && !text.contains("BREW") && !text.contains("x1999"));
}

/// A server that takes its time with every request, and has four places to read.
async fn slow() -> Cluster {
    let store = Store::memory(berth_cluster_store::Options::default());
    let options = Options { reading: 4, ..Options::default() };
    let faults = Faults { slow: 1_000, delay: Duration::from_secs(10), ..Faults::default() };
    let cluster = Cluster::with(store, |builder| builder.options(options).faults(faults)).await;
    prepare(&cluster).await;
    cluster
}

#[tokio::test(start_paused = true)]
async fn attack_30_who_asks_too_much_is_sent_away_and_the_others_are_served() {
    let cluster = slow().await;
    let lease = dynamic("coordination.k8s.io", "leases", "Lease", true);
    cluster.server.serve_kinds(cluster.server.resources().with(lease));
    let path = "/api/v1/namespaces/t1/secrets";
    let mut row = Row::new("requests of a flood", 100, 10_000);
    let many = row.goal();
    row.add(many);
    let flood: Vec<_> =
        (0..many).map(|_| tokio::spawn(cluster.as_u("GET", path).reply())).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = cluster.admin("GET", path).reply();
    let leases = cluster.admin("GET", "/apis/coordination.k8s.io/v1/leases").reply();
    let (other, leases) = tokio::join!(other, leases);
    assert_eq!((other.status, leases.status), (200, 200));
    let mut served = 0;
    for one in flood {
        let reply = one.await.unwrap();
        if reply.status == 200 {
            served += 1;
            continue;
        }
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers["retry-after"], "1");
    }
    assert!((1..=4).contains(&served), "{served} of {many} in four places");
    // The places are free again.
    assert_eq!(cluster.as_u("GET", path).status().await, 200);
}

#[tokio::test(start_paused = true)]
async fn attack_33_a_revision_is_a_revision() {
    let cluster = cluster().await;
    cluster.make(CONFIGS, config("a", "")).await;
    for version in ["-1", "18446744073709551616", "abc", "1.5", "+1", "0x1", "%201"] {
        for path in [
            format!("{CONFIGS}?resourceVersion={version}"),
            format!("{CONFIGS}?watch=1&resourceVersion={version}"),
            format!("{CONFIGS}?limit=1&resourceVersion={version}"),
            format!("{CONFIGS}?resourceVersionMatch=Exact&resourceVersion={version}"),
            format!("{CONFIGS}/a?resourceVersion={version}"),
        ] {
            if version == "+1" {
                // In a query it is a space.
                continue;
            }
            assert_eq!(cluster.as_u("GET", &path).status().await, 400, "{path}");
        }
        let mut object = config("a", "x");
        object["metadata"]["resourceVersion"] = version.into();
        let put = cluster.as_u("PUT", &format!("{CONFIGS}/a")).json(&object);
        assert!([400, 409, 422].contains(&put.status().await), "{version}");
    }
    for version in ["18446744073709551615", "99999999"] {
        for path in [
            format!("{CONFIGS}?resourceVersion={version}"),
            format!("{CONFIGS}?watch=1&resourceVersion={version}"),
        ] {
            let reply = cluster.as_u("GET", &path).reply().await;
            assert_eq!(reply.status, 504, "{path}");
            assert!(reply.headers.contains_key("retry-after"), "{path}");
        }
    }
}

// ---- numbers at their ends ----

/// A request does not end its task by a panic.
async fn survives(call: Call) -> Option<u16> {
    let task = tokio::spawn(async move { call.answer().await.status().as_u16() });
    task.await.ok()
}

#[tokio::test]
async fn the_largest_numbers_are_numbers() {
    let cluster = cluster().await;
    cluster.make(CONFIGS, config("a", "")).await;
    let (most, least) = (i64::MAX, i64::MIN);
    for path in [
        format!("{CONFIGS}?limit={most}"),
        format!("{CONFIGS}?limit={least}"),
        format!("{CONFIGS}?limit={most}&resourceVersion=0"),
        format!("{CONFIGS}?watch=1&timeoutSeconds={least}"),
        format!("{CONFIGS}?watch=1&timeoutSeconds=86400"),
    ] {
        assert_eq!(survives(cluster.as_u("GET", &path)).await, Some(200), "{path}");
    }
    let path = format!("{CONFIGS}?watch=1&timeoutSeconds=99999999999999999999");
    assert_eq!(survives(cluster.as_u("GET", &path)).await, Some(400));
}

#[tokio::test]
async fn a_watch_may_last_for_ever() {
    let cluster = cluster().await;
    let path = format!("{CONFIGS}?watch=1&timeoutSeconds={}", i64::MAX);
    assert!(survives(cluster.as_u("GET", &path)).await.is_some(), "it panics");
}

#[tokio::test]
async fn a_pod_may_have_all_the_time_in_the_world() {
    let cluster = cluster().await;
    let pods = "/api/v1/namespaces/t1/pods";
    let mut object = pod("a");
    object["spec"]["nodeName"] = "n1".into();
    cluster.make(pods, object).await;
    let path = format!("{pods}/a?gracePeriodSeconds={}", i64::MAX);
    assert!(survives(cluster.as_u("DELETE", &path)).await.is_some(), "it panics");
    let left = cluster.get(&format!("{pods}/a")).await;
    assert!(left["metadata"]["deletionTimestamp"].is_string(), "{left}");
}

#[tokio::test]
async fn a_generation_may_be_the_last_one() {
    let cluster = cluster().await;
    let mut object = config("a", "");
    object["metadata"]["generation"] = i64::MAX.into();
    object["metadata"]["finalizers"] = json!(["a.b/c"]);
    cluster.make(CONFIGS, object).await;
    let path = format!("{CONFIGS}/a");
    assert_eq!(survives(cluster.as_u("DELETE", &path)).await, Some(200));
}

#[tokio::test]
async fn attack_29_who_watches_too_much_is_sent_away_and_the_others_are_served() {
    let options = Options { watches: 20, ..Options::default() };
    let cluster =
        Cluster::with(Store::memory(berth_cluster_store::Options::default()), |builder| {
            builder.options(options)
        })
        .await;
    prepare(&cluster).await;
    let path = format!("{CONFIGS}?watch=1");
    let mut running = Vec::new();
    for _ in 0..20 {
        let answer = cluster.as_u("GET", &path).answer().await;
        assert_eq!(answer.status(), 200);
        running.push(answer);
    }
    let reply = cluster.as_u("GET", &path).reply().await;
    assert_eq!(reply.status, 429, "{}", reply.text());
    // Others watch, and who lets go of a watch has a place again.
    assert_eq!(cluster.admin("GET", &path).answer().await.status(), 200);
    running.pop();
    assert_eq!(cluster.as_u("GET", &path).answer().await.status(), 200);
}
