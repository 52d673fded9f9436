// SPDX-License-Identifier: Apache-2.0
//! Asking a container once how it is.

use super::http::Ask;
use super::{exec, grpc, http, id_of};
use crate::task::Task;
use berth_cluster_docker::CallError;
use berth_cluster_pod::{Answer, Instance, Millis, Outcome, ProbeKind};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Asks, and has an answer within `limit`.
pub(super) async fn run(
    task: &Task,
    instance: &Instance,
    kind: ProbeKind,
    limit: Millis,
) -> Outcome {
    let limit = Duration::from_millis(limit);
    let container = task.container(&instance.container);
    let probe = container.as_ref().and_then(|container| match kind {
        ProbeKind::Startup => container.startup_probe.clone(),
        ProbeKind::Liveness => container.liveness_probe.clone(),
        ProbeKind::Readiness => container.readiness_probe.clone(),
    });
    Outcome::Probed(match probe {
        Some(probe) => Box::pin(answer(task, instance, &probe, limit)).await,
        None => Answer::Unknown("there is no such probe any more".to_owned()),
    })
}

async fn answer(task: &Task, instance: &Instance, probe: &Probe, limit: Duration) -> Answer {
    if let Some(action) = &probe.exec {
        let command = action.command.clone().unwrap_or_default();
        return by_command(task, instance, &command, limit).await;
    }
    if let Some(action) = &probe.http_get {
        return match ask(task, &instance.container, action) {
            Ok(ask) => by_http(&ask, limit).await,
            Err(why) => Answer::Unknown(why),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let port = port(task.container(&instance.container).as_ref(), &action.port);
        return match (port, host(task, action.host.as_deref())) {
            (Ok(port), Ok(host)) => by_tcp(&host, port, limit).await,
            (Err(why), _) | (_, Err(why)) => Answer::Unknown(why),
        };
    }
    if let Some(action) = &probe.grpc {
        let port = u16::try_from(action.port).map_err(|_| "invalid port number".to_owned());
        let service = action.service.as_deref().unwrap_or_default();
        return match (port, host(task, None)) {
            (Ok(port), Ok(host)) => Box::pin(grpc::check(&host, port, service, limit)).await,
            (Err(why), _) | (_, Err(why)) => Answer::Unknown(why),
        };
    }
    Answer::Unknown("missing probe handler".to_owned())
}

async fn by_command(
    task: &Task,
    instance: &Instance,
    command: &[String],
    limit: Duration,
) -> Answer {
    let Ok(id) = id_of(task, instance).await else {
        return Answer::Unknown(format!("container {} is not known", instance.container));
    };
    match exec::run(task, &id, command, limit.into()).await {
        Ok(ran) if ran.code == 0 => Answer::Good,
        Ok(ran) => Answer::Bad(ran.output),
        Err(exec::Failed::Late) => {
            let shown = command.join(" ");
            Answer::Bad(format!("command {shown:?} timed out after {limit:?}"))
        }
        Err(exec::Failed::Call(error @ (CallError::Gone { .. } | CallError::TimedOut { .. }))) => {
            Answer::Unknown(error.to_string())
        }
        Err(exec::Failed::Call(error)) => Answer::Bad(error.to_string()),
    }
}

async fn by_http(ask: &Ask, limit: Duration) -> Answer {
    match timeout(limit, Box::pin(http::get_following(ask))).await {
        Ok(Ok(http::Answered::Elsewhere | http::Answered::Here { status: 200..400, .. })) => {
            Answer::Good
        }
        Ok(Ok(http::Answered::Here { status, .. })) => {
            Answer::Bad(format!("HTTP probe failed with statuscode: {status}"))
        }
        Ok(Err(why)) => Answer::Bad(why),
        Err(_) => Answer::Bad(format!(
            "Get {:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            ask.url()
        )),
    }
}

async fn by_tcp(host: &str, port: u16, limit: Duration) -> Answer {
    match timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Answer::Good,
        Ok(Err(error)) => Answer::Bad(dial(host, port, &error)),
        Err(_) => Answer::Bad(format!("dial tcp {}: i/o timeout", authority(host, port))),
    }
}

/// What a request for a page is.
pub(super) fn ask(task: &Task, container: &str, action: &HTTPGetAction) -> Result<Ask, String> {
    let container = task.container(container);
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let headers = action.http_headers.iter().flatten();
    Ok(Ask {
        https: action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
        host: host(task, action.host.as_deref())?,
        port: port(container.as_ref(), &action.port)?,
        path,
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    })
}

/// Where a pod is asked.
fn host(task: &Task, said: Option<&str>) -> Result<String, String> {
    let own = || task.known().addresses.first().cloned();
    let said = said.filter(|host| !host.is_empty()).map(str::to_owned);
    said.or_else(own).ok_or_else(|| "the pod has no address yet".to_owned())
}

/// A port by its number, or by its name in the container.
fn port(container: Option<&Container>, port: &IntOrString) -> Result<u16, String> {
    let number = |number: i32| {
        u16::try_from(number).ok().filter(|port| *port > 0).ok_or("invalid port number".to_owned())
    };
    match port {
        IntOrString::Int(port) => number(*port),
        IntOrString::String(name) => {
            let ports = container.and_then(|container| container.ports.as_deref());
            let named = ports.unwrap_or_default().iter();
            let mut named = named.filter(|port| port.name.as_deref() == Some(name));
            match (named.next(), name.parse()) {
                (Some(port), _) => number(port.container_port),
                (None, Ok(port)) => number(port),
                (None, Err(_)) => Err(format!("couldn't find port: {name:?}")),
            }
        }
    }
}

/// Host and port, as a URL has them.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why there is no connection, in the words that users know.
pub(super) fn dial(host: &str, port: u16, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {}: {why}", authority(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_found_by_name_and_number() {
        let container = json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}, {"name": "9", "containerPort": 90}]});
        let container: Container = serde_json::from_value(container).unwrap();
        let of = |text: &str| port(Some(&container), &IntOrString::String(text.to_owned()));
        assert_eq!((of("web"), of("9"), of("81")), (Ok(8080), Ok(90), Ok(81)));
        assert_eq!(of("none"), Err("couldn't find port: \"none\"".to_owned()));
        for bad in [0, -1, 65_536] {
            assert!(port(None, &IntOrString::Int(bad)).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused_in_known_words() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        assert_eq!(by_tcp("127.0.0.1", port, Duration::from_secs(5)).await, Answer::Good);
        drop(free);
        let said = by_tcp("127.0.0.1", port, Duration::from_secs(5)).await;
        let wanted = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(said, Answer::Bad(wanted));
    }
}
