// SPDX-License-Identifier: Apache-2.0
//! What cases do that steps cannot say.

use crate::api::until;
use crate::expect::at;
use crate::run::{Outcome, Run};
use crate::web_socket;
use serde_json::{Value, json};
use std::time::Duration;

/// Runs the function of that name.
pub(crate) fn run(name: &str, run: &mut Run<'_>) -> Outcome {
    match name {
        "many_config_maps" => many_config_maps(run),
        "secret_of_another_namespace" => secret_of_another_namespace(run),
        "restarts_only_grow" => restarts_only_grow(run),
        "ready_after_six_seconds" => ready_after_six_seconds(run),
        "exec_over_websockets" => exec_over_websockets(run),
        "logs_over_websockets" => logs_over_websockets(run),
        "pods_go_with_their_namespace" => pods_go_with_their_namespace(run),
        "endpoints_come_soon" => endpoints_come_soon(run),
        "each_replica_says_its_name" => each_replica_says_its_name(run),
        "old_pods_end_before_new_ones_begin" => old_pods_end_before_new_ones_begin(run),
        "one_replica_set_has_all" => one_replica_set_has_all(run),
        "kubectl_replace" => kubectl_replace(run),
        other => panic!("no function {other} for {}", run.namespace),
    }
}

/// Pods that have fifty volumes each, at once, again and again: each volume is made before its container is.
fn many_config_maps(run: &mut Run<'_>) -> Outcome {
    const VOLUMES: usize = 50;
    let names: Vec<String> = (0..VOLUMES).map(|n| format!("racey-configmap-{n}")).collect();
    for name in &names {
        run.create(&json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"data-1": "value-1"}}))?;
    }
    let volumes: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "configMap": {"name": name}})).collect();
    let mounts: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "mountPath": format!("/etc/{name}")}))
        .collect();
    for round in 0..2 {
        let pods: Vec<String> = (0..3).map(|n| format!("round-{round}-{n}")).collect();
        for name in &pods {
            run.pod(&json!({"name": name, "volumes": volumes, "volumeMounts": mounts,
                "sh": "cat /etc/racey-configmap-*/data-1 | sed 's/value-1/x/g' | wc -c; sleep 1000"}))?;
        }
        for name in &pods {
            run.step(
                serde_json::from_value(json!({"log": {"of": name, "want": {"is": VOLUMES}}}))
                    .unwrap(),
            )?;
            run.call("DELETE", &run.path(&format!("pods/{name}")), None).code(200)?;
        }
        pods.iter().try_for_each(|name| run.gone(&format!("pods/{name}")))?;
    }
    Ok(())
}

/// Two Secrets of one name in two namespaces: the pod has its own.
fn secret_of_another_namespace(run: &Run<'_>) -> Outcome {
    let other = format!("{}-other", run.namespace);
    run.namespace_named(&other)?;
    let secret = |namespace: &str, value: &str| json!({"kind": "Secret", "metadata": {"name": "s", "namespace": namespace}, "stringData": {"data-1": value}});
    run.create(&secret(&other, "this_should_not_match_content_of_other_secret"))?;
    run.create(&secret(&run.namespace, "value-1"))?;
    let judged = run.pod(&json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}], "sh": "cat /v/data-1", "says": {"is": "value-1"}}));
    run.call("DELETE", &format!("/api/v1/namespaces/{other}"), None);
    judged
}

/// A pod that is restarted again and again: its count never goes back. Upstream waits for five; the pauses between them double.
fn restarts_only_grow(run: &Run<'_>) -> Outcome {
    run.pod(&json!({"restartPolicy": "Always",
        "livenessProbe": {"httpGet": {"path": "/code?500", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1},
        "sh": "exec answer http 8080"}))?;
    let mut last = 0;
    until(Duration::from_secs(90), || {
        let pod = run.get("pods/p")?;
        let count = at(&pod, "/status/containerStatuses/0/restartCount")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        assert!(count >= last, "it was {last}, and is {count}");
        last = count;
        if count >= 3 { Ok(()) } else { Err(format!("{count} restarts")) }
    })
}

/// Seconds of a day, of a moment as statuses have it.
fn seconds(moment: &Value) -> Outcome<i64> {
    let text = moment.as_str().and_then(|text| text.get(11..19)).ok_or("no moment")?;
    let parts: Vec<i64> = text.split(':').filter_map(|part| part.parse().ok()).collect();
    Ok(parts.iter().fold(0, |sum, part| sum * 60 + part))
}

/// A pod became ready six seconds after its container started, or later.
fn ready_after_six_seconds(run: &Run<'_>) -> Outcome {
    let pod = run.get("pods/p")?;
    let moment = |path: &str| seconds(at(&pod, path).unwrap_or(&Value::Null));
    let started = moment("/status/containerStatuses/0/state/running/startedAt")?;
    let ready = moment("/status/conditions/type=Ready/lastTransitionTime")?;
    // Midnight may be between, and moments are cut to seconds.
    let between = (ready - started).rem_euclid(86_400);
    if (5..3_600).contains(&between) { Ok(()) } else { Err(format!("ready after {between} s")) }
}

/// Messages of a pod's subresource over a WebSocket.
fn listen(
    run: &Run<'_>,
    of: &str,
    protocol: &str,
    enough: impl Fn(&[Vec<u8>]) -> bool,
) -> Outcome<Vec<Vec<u8>>> {
    let (mut proxy, address) = run.cluster.proxy();
    let said = web_socket::messages(address, &run.path(of), protocol, enough);
    drop(proxy.kill());
    drop(proxy.wait());
    said
}

/// A command's output comes on channel 1, and how it ended on channel 3.
fn exec_over_websockets(run: &Run<'_>) -> Outcome {
    let of =
        "pods/p/exec?stdout=1&stderr=1&container=c&command=echo&command=remote%20execution%20test";
    for protocol in ["v4.channel.k8s.io", "v5.channel.k8s.io"] {
        let said = listen(run, of, protocol, |_| false)?;
        let of = |channel: u8| -> String {
            let parts = said.iter().filter(|message| message.first() == Some(&channel));
            parts.map(|message| String::from_utf8_lossy(&message[1..]).into_owned()).collect()
        };
        if of(1) != "remote execution test\n" || !of(2).is_empty() || !of(3).contains("\"Success\"")
        {
            return Err(format!("{protocol}: {said:?}"));
        }
    }
    Ok(())
}

/// The log comes as it is.
fn logs_over_websockets(run: &Run<'_>) -> Outcome {
    let said = listen(run, "pods/p/log?container=c", "binary.k8s.io", |_| false)?;
    let text = String::from_utf8_lossy(&said.concat()).into_owned();
    if text == "container is alive\n" { Ok(()) } else { Err(format!("{said:?}")) }
}

/// A namespace that is deleted takes its pods along.
fn pods_go_with_their_namespace(run: &Run<'_>) -> Outcome {
    let other = format!("{}-nsdelete", run.namespace);
    run.namespace_named(&other)?;
    let pods = format!("/api/v1/namespaces/{other}/pods");
    let pod = crate::step::pod(&json!({"name": "test-pod", "sh": "sleep 600"}));
    run.call("POST", &pods, Some(&pod)).code(201)?;
    until(Duration::from_mins(1), || {
        let pod = run.get(&format!("{pods}/test-pod"))?;
        if pod["status"]["phase"] == "Running" { Ok(()) } else { Err(pod["status"].to_string()) }
    })?;
    let namespace = format!("/api/v1/namespaces/{other}");
    run.call("DELETE", &namespace, None).code(200)?;
    until(Duration::from_mins(1), || run.call("GET", &namespace, None).code(404).map(drop))?;
    run.namespace_named(&other)?;
    let left = run.get(&pods)?;
    run.call("DELETE", &namespace, None);
    if left["items"] == json!([]) { Ok(()) } else { Err(left.to_string()) }
}

/// Twenty Services for a pod that runs: each has its endpoint soon. Upstream makes two hundred, and asks for less than 50 s.
fn endpoints_come_soon(run: &Run<'_>) -> Outcome {
    run.pod(&json!({"labels": {"name": "svc-latency-rc"}, "sh": "sleep 1000", "ready": true}))?;
    for number in 0..20 {
        run.create(
            &json!({"kind": "Service", "metadata": {"name": format!("latency-svc-{number}")},
            "spec": {"selector": {"name": "svc-latency-rc"}, "ports": [{"port": 80}]}}),
        )?;
        let of = format!("endpoints/latency-svc-{number}");
        until(Duration::from_secs(50), || {
            let all = run.get(&of)?;
            let first = at(&all, "/subsets/0/addresses/0/targetRef/name");
            if first == Some(&json!("p")) { Ok(()) } else { Err(all.to_string()) }
        })?;
    }
    Ok(())
}

/// Each pod, asked by its own address, says its own name.
fn each_replica_says_its_name(run: &Run<'_>) -> Outcome {
    let pods = run.get("pods")?;
    let pods = pods["items"].as_array().ok_or("no pods")?;
    assert_eq!(pods.len(), 2);
    for pod in pods {
        let (name, ip) = (&pod["metadata"]["name"], &pod["status"]["podIP"]);
        let line = format!("curl -sm 2 http://{}:9376/hostname", ip.as_str().unwrap_or_default());
        until(Duration::from_secs(30), || {
            crate::run::said(
                &crate::api::shell(&line),
                0,
                &serde_json::from_value(json!({"is": name})).unwrap(),
            )
        })?;
    }
    Ok(())
}

/// With the strategy Recreate no new pod is there while an old one still runs.
fn old_pods_end_before_new_ones_begin(run: &mut Run<'_>) -> Outcome {
    let of = "deployments/test-recreate-deployment";
    let old = run.get("pods")?["items"][0]["metadata"]["name"].clone();
    run.step(
        serde_json::from_value(json!({"update": {"of": of,
        "set": {"/spec/template/spec/containers/0/command": ["sleep", "2000"]}}}))
        .unwrap(),
    )?;
    until(Duration::from_mins(1), || {
        let pods = run.get("pods")?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let runs = |pod: &&Value| pod["status"]["phase"] == "Running";
        let (olds, news): (Vec<Value>, Vec<Value>) =
            pods.into_iter().partition(|pod| pod["metadata"]["name"] == old);
        assert!(news.is_empty() || !olds.iter().any(|pod| runs(&pod)), "{olds:?} and {news:?}");
        if news.iter().any(|pod| runs(&pod)) { Ok(()) } else { Err("no new pod runs".to_owned()) }
    })?;
    let sets = run.get("replicasets")?;
    if sets["items"].as_array().is_some_and(|all| all.len() == 2) {
        Ok(())
    } else {
        Err(sets.to_string())
    }
}

/// Of all ReplicaSets of the namespace one alone has pods: the newest.
fn one_replica_set_has_all(run: &Run<'_>) -> Outcome {
    until(Duration::from_secs(30), || {
        let sets = run.get("replicasets")?;
        let sets = sets["items"].as_array().ok_or("no sets")?;
        let with: Vec<&Value> = sets
            .iter()
            .filter(|set| set["spec"]["replicas"] != 0 || set["status"]["replicas"] != 0)
            .collect();
        if sets.len() == 3 && with.len() == 1 {
            Ok(())
        } else {
            Err(format!("{with:?} of {}", sets.len()))
        }
    })
}

/// The image of a pod's one container is changed in what kubectl shows, and the whole is given back.
fn kubectl_replace(run: &mut Run<'_>) -> Outcome {
    let pod = run.get("pods/e2e-test-pod")?.to_string();
    let changed = pod.replace("conformance:test", "busybox:test");
    let words = ["replace", "-f", "-"].map(str::to_owned);
    let output = run.cluster.kubectl(&run.namespace, &words, Some(&changed));
    let want = serde_json::from_value(json!({"has": "replaced"})).unwrap();
    crate::run::said(&output, 0, &want)?;
    run.step(serde_json::from_value(json!({"until": {"of": "pods/e2e-test-pod", "want": {
        "/spec/containers/0/image": "busybox:test", "/status/containerStatuses/0/image": "busybox:test",
        "/status/containerStatuses/0/restartCount": 1, "/status/phase": "Running"}}})).unwrap())
}
