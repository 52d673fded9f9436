// SPDX-License-Identifier: Apache-2.0
//! A namespace full of objects is deleted.

use super::{make_nodes, open, tell};
use crate::api::found::Found;
use crate::api::objects::config_map;
use crate::api::rows::SMALL;
use crate::api::wire::{Ask, Wire};
use crate::cluster::Bench;
use crate::cluster::creators::create;
use crate::cluster::objects;
use crate::cluster::rows::Row;
use crate::cluster::subject::{self, PASSIVE};
use crate::cluster::watcher::{each, parsed};
use crate::error::Error;
use crate::report::count;
use http::StatusCode;
use std::time::{Duration, Instant};

const NAMESPACE: &str = "load-full";
/// How long it may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often it is asked for.
const LOOK: Duration = Duration::from_millis(10);

/// Row `namespace`.
pub async fn run(bench: &Bench<'_>, row: &Row, found: &mut Found) -> Result<(), Error> {
    let (nodes, objects) = (bench.nodes(row), bench.pods(row));
    let cluster = bench.start(0, PASSIVE).await?;
    make_nodes(bench, &cluster.door, nodes).await?;
    let mut wire = open(&cluster.door).await?;
    subject::namespace(&mut wire, NAMESPACE).await?;
    bench.step("objects", objects);
    let ask = move |number: u64| {
        if number.is_multiple_of(2) {
            return objects::placed(NAMESPACE, number, nodes);
        }
        let map = config_map(&format!("map-{number:06}"), SMALL);
        Ask::create(objects::core(NAMESPACE, "configmaps"), map)
    };
    create(&cluster.door, bench.pace(objects, Instant::now()), None, ask).await?.whole()?;

    let cpu = cluster.process.cpu_seconds();
    let began = Instant::now();
    let path = format!("/api/v1/namespaces/{NAMESPACE}");
    // 200 with the object that is on its way out, or 202: both are right.
    match wire.send(&Ask::delete(path.clone())).await {
        Ok(_) => {}
        Err(Error::Api(said)) if said.contains(StatusCode::ACCEPTED.as_str()) => {}
        Err(error) => return Err(error),
    }
    gone(&mut wire, &path, began).await?;
    let took = began.elapsed();
    tell(
        found,
        &[
            ("gone_us", took.as_secs_f64() * 1e6, "us"),
            ("objects_per_second", count(objects) / took.as_secs_f64(), "1/s"),
            ("cpu_seconds", cluster.process.cpu_seconds() - cpu, "s"),
        ],
    );
    let mut left = 0;
    for kind in ["pods", "configmaps"] {
        each(&mut wire, &format!("/api/v1/{kind}"), |object| {
            left += u64::from(object["metadata"]["namespace"] == NAMESPACE);
        })
        .await?;
    }
    cluster.stop().await?;
    if left == 0 {
        return Ok(());
    }
    Err(Error::Api(format!("the namespace is gone, and {left} of its objects are there")))
}

async fn gone(wire: &mut Wire, path: &str, began: Instant) -> Result<(), Error> {
    let ask = Ask::get(path.to_owned());
    let missing = StatusCode::NOT_FOUND.as_str();
    loop {
        let namespace = match wire.send(&ask).await {
            Ok(answer) => parsed(&answer)?,
            Err(Error::Api(said)) if said.contains(missing) => return Ok(()),
            Err(error) => return Err(error),
        };
        if began.elapsed() > PATIENCE {
            let status = &namespace["status"];
            let patience = PATIENCE.as_secs();
            return Err(Error::Api(format!("the namespace is there after {patience} s: {status}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}
