// SPDX-License-Identifier: Apache-2.0
//! `berth up --demo`: a Deployment behind a Service, called through each of its addresses, with the time of each step.

use anyhow::{Context, bail};
use berth_cluster_client::Api;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const NAME: &str = "echo";
const REPLICAS: u64 = 3;
/// Where the program listens, and where the Service does.
const PORT: u16 = 8080;
const SERVICE_PORT: u16 = 80;
/// How long a step may take: a demonstration that waits longer says what is missing.
const STEP: Duration = Duration::from_mins(1);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(25);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(2);
/// So many calls through each address at least, and so many at most, until every pod has answered one.
const CALLS: usize = 12;
const CALLS_MAX: usize = 120;
/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 16 * 1024;

/// Deploys it, calls it, and prints what happened.
pub(crate) async fn run(api: &Api, image: &str, node: IpAddr) -> anyhow::Result<()> {
    println!();
    println!("Demo: a Deployment of {REPLICAS} behind a Service of the type LoadBalancer");
    let clock = Clock(Instant::now());
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    create(api, deployments, &deployment(image)).await?;
    create(api, "/api/v1/namespaces/default/services", &service()).await?;
    clock.say("posted", "Deployment and Service");
    let pods = format!("/api/v1/namespaces/default/pods?labelSelector=app%3D{NAME}");
    let bound = |all: &Value| count(all, |pod| pod["spec"]["nodeName"].is_string()) >= REPLICAS;
    until(api, &pods, "the pods are not bound to a node", bound).await?;
    clock.say("bound", &format!("{REPLICAS} pods have a node"));
    let running = |all: &Value| count(all, is_ready) >= REPLICAS;
    let all = until(api, &pods, "the pods are not ready", running).await?;
    clock.say("ready", &describe(&all));
    let path = format!("/api/v1/namespaces/default/services/{NAME}");
    let has_address = |one: &Value| one["status"]["loadBalancer"]["ingress"][0]["ip"].is_string();
    let service = until(api, &path, "the Service has no address of the pool", has_address).await?;
    for (title, address) in addresses(&service, node)? {
        let who = called(address).await.with_context(|| format!("{title} at {address}"))?;
        clock.say(title, &format!("{address} answered by {}", tally(&who)));
    }
    println!("  try        curl http://{}", addresses(&service, node)?[0].1);
    Ok(())
}

/// Time since the first step.
struct Clock(Instant);

impl Clock {
    fn say(&self, step: &str, text: &str) {
        println!("  {step:<12} {:>6.0} ms  {text}", self.0.elapsed().as_secs_f64() * 1e3);
    }
}

fn deployment(image: &str) -> Value {
    let field = |path: &str| json!({ "fieldRef": { "fieldPath": path } });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": NAME, "labels": { "app": NAME } },
        "spec": {
            "replicas": REPLICAS, "selector": { "matchLabels": { "app": NAME } },
            "template": {
                "metadata": { "labels": { "app": NAME } },
                "spec": { "containers": [{
                    "name": NAME, "image": image, "imagePullPolicy": "IfNotPresent",
                    "ports": [{ "containerPort": PORT }],
                    "env": [
                        { "name": "POD_NAME", "valueFrom": field("metadata.name") },
                        { "name": "NODE_NAME", "valueFrom": field("spec.nodeName") },
                    ],
                    "readinessProbe": { "httpGet": { "path": "/", "port": PORT }, "periodSeconds": 1 },
                    "resources": { "requests": { "cpu": "10m", "memory": "8Mi" } },
                }] },
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": NAME, "labels": { "app": NAME } },
        "spec": {
            "type": "LoadBalancer", "selector": { "app": NAME },
            "ports": [{ "port": SERVICE_PORT, "targetPort": PORT }],
        },
    })
}

/// Creates an object; one that an earlier demonstration made is good.
async fn create(api: &Api, path: &str, object: &Value) -> anyhow::Result<()> {
    match api.post(path, Bytes::from(object.to_string())).await {
        Err(error) if error.code() == Some(409) => Ok(()),
        done => Ok(done.map(drop)?),
    }
}

/// Reads an object again and again, until it is as it should be.
async fn until(
    api: &Api,
    path: &str,
    missing: &str,
    good: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let end = Instant::now() + STEP;
    loop {
        let read: Value = serde_json::from_slice(&api.get(path).await?)?;
        if good(&read) {
            return Ok(read);
        }
        if Instant::now() > end {
            bail!(
                "{missing} after {} s; kubectl describe pods -l app={NAME} says why",
                STEP.as_secs()
            );
        }
        sleep(LOOK).await;
    }
}

fn count(list: &Value, good: impl Fn(&Value) -> bool) -> u64 {
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    items.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && good(pod)).count()
        as u64
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Pods with their addresses.
fn describe(pods: &Value) -> String {
    let items = pods["items"].as_array().map_or(&[][..], Vec::as_slice);
    let one = |pod: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} at {}", text(&pod["metadata"]["name"]), text(&pod["status"]["podIP"]))
    };
    items.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Every address of the Service.
fn addresses(service: &Value, node: IpAddr) -> anyhow::Result<Vec<(&'static str, SocketAddr)>> {
    let ip = |value: &Value| value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    let cluster = ip(&service["spec"]["clusterIP"]).context("the Service has no cluster IP")?;
    let port =
        service["spec"]["ports"][0]["nodePort"].as_u64().and_then(|port| port.try_into().ok());
    let port: u16 = port.context("the Service has no node port")?;
    let ingress = &service["status"]["loadBalancer"]["ingress"][0]["ip"];
    let balancer = ip(ingress).context("the Service has no address of the pool")?;
    Ok(vec![
        ("ClusterIP", (cluster, SERVICE_PORT).into()),
        ("NodePort", (node, port).into()),
        ("LoadBalancer", (balancer, SERVICE_PORT).into()),
    ])
}

/// Calls an address until it answers, and then some times more. Who answered, and how often.
async fn called(address: SocketAddr) -> anyhow::Result<BTreeMap<String, usize>> {
    let end = Instant::now() + STEP;
    let mut who = BTreeMap::new();
    let mut answered = 0;
    let all = |who: &BTreeMap<_, _>| who.len() as u64 >= REPLICAS;
    while answered < CALLS || (answered < CALLS_MAX && !all(&who)) {
        match timeout(CALL, ask(address)).await {
            Ok(Ok(pod)) => {
                *who.entry(pod).or_default() += 1;
                answered += 1;
            }
            Ok(Err(error)) if Instant::now() > end => return Err(error.into()),
            Err(_) if Instant::now() > end => bail!("no answer"),
            Ok(Err(_)) | Err(_) => sleep(LOOK).await,
        }
    }
    Ok(who)
}

/// The pod that answers.
async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
    let pod = answer.lines().find_map(|line| line.strip_prefix("pod: "));
    pod.map(str::to_owned)
        .ok_or_else(|| std::io::Error::other("not the answer of a pod of the demo"))
}

fn tally(who: &BTreeMap<String, usize>) -> String {
    let calls: usize = who.values().sum();
    let one = |(pod, times): (&String, &usize)| format!("{pod} ({times} of {calls})");
    who.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
    use super::*;

    #[test]
    fn every_address_of_the_service_is_called() {
        let service = json!({
            "spec": { "clusterIP": "10.96.0.7", "ports": [{ "port": 80, "nodePort": 30_123 }] },
            "status": { "loadBalancer": { "ingress": [{ "ip": "198.19.0.1" }] } },
        });
        let all = addresses(&service, [192, 168, 1, 2].into()).unwrap();
        let all: Vec<_> = all.iter().map(|(title, at)| format!("{title} {at}")).collect();
        let wanted =
            ["ClusterIP 10.96.0.7:80", "NodePort 192.168.1.2:30123", "LoadBalancer 198.19.0.1:80"];
        assert_eq!(all, wanted);
        assert!(addresses(&json!({}), [127, 0, 0, 1].into()).is_err());
    }

    #[test]
    fn pods_that_end_do_not_count() {
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let pods = json!({ "items": [
            { "metadata": {}, "status": { "conditions": ready } },
            { "metadata": { "deletionTimestamp": "x" }, "status": { "conditions": ready } },
            { "metadata": {}, "status": { "conditions": [{ "type": "Ready", "status": "False" }] } },
            { "metadata": {} },
        ] });
        assert_eq!(count(&pods, is_ready), 1);
        assert_eq!(count(&json!({}), is_ready), 0);
    }
}
