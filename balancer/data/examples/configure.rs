// SPDX-License-Identifier: Apache-2.0
//! Tells a data plane of one TCP service, for measurements: `configure CONTROL SERVICE ENDPOINT…`, or of `configure CONTROL` how it
//! fares.
#![forbid(unsafe_code)]

use berth_balancer_core::Change;
use berth_balancer_core::model::{
    Endpoint, EndpointPort, EndpointSet, Protocol, Service, ServicePort, Settings,
};
use berth_balancer_data::control::Client;
use std::io::{Error, Write};
use std::net::SocketAddr;
use std::path::Path;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, places @ ..] = &arguments[..] else { return Err(Error::other("CONTROL …")) };
    let mut client = Client::connect(Path::new(path)).map_err(Error::other)?;
    let places: Result<Vec<SocketAddr>, _> = places.iter().map(|place| place.parse()).collect();
    let places = places.map_err(Error::other)?;
    let Some((at, endpoints)) = places.split_first() else {
        let stats = client.stats().map_err(Error::other)?;
        return writeln!(std::io::stdout(), "{stats:#?}");
    };
    let service = Service {
        name: "service".into(),
        cluster_ips: vec![at.ip()],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        ports: vec![ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: at.port(),
            node_port: None,
        }],
        settings: Settings::default().into(),
    };
    let endpoint = |(number, at): (usize, &SocketAddr)| Endpoint {
        name: format!("endpoint-{number}").into(),
        address: at.ip(),
        ports: vec![EndpointPort { name: "".into(), port: at.port() }],
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        weight: 1,
    };
    let set = EndpointSet {
        service: "service".into(),
        endpoints: endpoints.iter().enumerate().map(endpoint).collect(),
    };
    let changes = vec![Change::Service(Box::new(service)), Change::Endpoints(set)];
    let applied = client.apply(changes).map_err(Error::other)?;
    writeln!(std::io::stdout(), "{applied:?}")
}
