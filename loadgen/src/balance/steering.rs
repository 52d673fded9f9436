// SPDX-License-Identifier: Apache-2.0
//! Our balancer's gRPC: services and single endpoints, applied and answered.

use super::backend::Endpoint;
use super::subject::Service;
use crate::error::Error;
use berth_proto::balancer as pb;
use berth_proto::balancer::balancer_client::BalancerClient;
use pb::apply_response::Outcome;
use pb::endpoint_change::What;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tonic::Code;
use tonic::transport::Channel;

/// How long a service that does not answer is asked again. It does not while its data plane is replaced.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// A connection to the service. All calls are made on the thread that made it, in that thread's network namespace.
pub struct Steering {
    runtime: Runtime,
    client: BalancerClient<Channel>,
    /// How often it was asked again.
    pub retries: u64,
}

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("retries", &self.retries).finish_non_exhaustive()
    }
}

impl Steering {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let failed = |source: tonic::transport::Error| {
            Error::Balancer(format!("its gRPC at {address} cannot be reached: {source}"))
        };
        let endpoint = Channel::from_shared(format!("http://{address}"))
            .map_err(|error| Error::Balancer(format!("{address}: {error}")))?;
        let channel = runtime.block_on(endpoint.connect()).map_err(failed)?;
        Ok(Self { runtime, client: BalancerClient::new(channel), retries: 0 })
    }

    /// Applies a large request: once, and without a copy of it.
    pub fn apply_once(&mut self, request: pb::ApplyRequest) -> Result<pb::Applied, Error> {
        let answer = self.runtime.block_on(self.client.apply(request));
        applied(answer.map_err(Error::call("Apply"))?.into_inner())
    }

    /// Applies a request, and asks again while the service cannot take it.
    pub fn apply(&mut self, request: &pb::ApplyRequest) -> Result<pb::Applied, Error> {
        let began = Instant::now();
        loop {
            let answer = self.runtime.block_on(self.client.apply(request.clone()));
            match answer {
                Ok(answer) => return applied(answer.into_inner()),
                Err(status) if status.code() == Code::Unavailable && began.elapsed() < PATIENCE => {
                    self.retries += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(status) => return Err(Error::call("Apply")(status)),
            }
        }
    }

    /// Adds a service, or changes all of it.
    pub fn set(&mut self, service: pb::Service) -> Result<pb::Applied, Error> {
        self.apply(&pb::ApplyRequest { services: vec![service], ..Default::default() })
    }

    /// Adds or changes one endpoint of a service.
    pub fn put(&mut self, service: &str, endpoint: pb::Endpoint) -> Result<pb::Applied, Error> {
        self.change(service, What::Set(endpoint))
    }

    /// Removes one endpoint of a service.
    pub fn take(&mut self, service: &str, endpoint: &str) -> Result<pb::Applied, Error> {
        self.change(service, What::Remove(endpoint.to_owned()))
    }

    fn change(&mut self, service: &str, what: What) -> Result<pb::Applied, Error> {
        let change = pb::EndpointChange { service: service.to_owned(), what: Some(what) };
        self.apply(&pb::ApplyRequest { endpoints: vec![change], ..Default::default() })
    }
}

fn applied(answer: pb::ApplyResponse) -> Result<pb::Applied, Error> {
    match answer.outcome {
        Some(Outcome::Applied(applied)) => Ok(applied),
        Some(Outcome::Refused(refused)) => {
            let problems = refused.problems.iter().take(3);
            let texts: Vec<String> =
                problems.map(|one| format!("{}: {}", one.path, one.message)).collect();
            Err(Error::Balancer(format!("it refused a change: {}", texts.join("; "))))
        }
        None => Err(Error::Balancer("it answered a change with nothing".to_owned())),
    }
}

/// A path as the contract names it.
pub fn data_path(name: &str) -> i32 {
    let path = match name {
        "fast" => pb::DataPath::PathFast,
        "proxy" => pb::DataPath::PathProxy,
        _ => pb::DataPath::PathAuto,
    };
    path.into()
}

/// An endpoint's message; its name is its number, so that it stays the same one when it comes back.
pub fn endpoint(endpoint: &Endpoint) -> pb::Endpoint {
    at(&format!("endpoint-{}", endpoint.index), endpoint.address)
}

/// An endpoint of this name at this address.
pub fn at(name: &str, address: SocketAddr) -> pb::Endpoint {
    let port = pb::EndpointPort { name: String::new(), port: u32::from(address.port()) };
    pb::Endpoint {
        name: name.to_owned(),
        address: address.ip().to_string(),
        ports: vec![port],
        ..pb::Endpoint::default()
    }
}

/// A service's message: the same service at another front, on this path.
pub fn service(name: &str, front: SocketAddr, service: &Service, path: &str) -> pb::Service {
    let port = pb::Port { port: u32::from(front.port()), ..pb::Port::default() };
    pb::Service {
        name: name.to_owned(),
        addresses: vec![front.ip().to_string()],
        ports: vec![port],
        endpoints: service.endpoints.iter().map(endpoint).collect(),
        settings: Some(pb::Settings { path: data_path(path), ..pb::Settings::default() }),
        ..pb::Service::default()
    }
}
