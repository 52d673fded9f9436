// SPDX-License-Identifier: Apache-2.0
//! Host ports: of containers, and of the init containers that keep running beside them (`util.GetHostPorts`).

use super::{ContainerView, SpecView};
use crate::error::{ObjectError, Path};
use crate::field::{Lax, List, Text, at_most, one_of, text, within};
use berth_scheduler_model::Str;
use berth_scheduler_model::limits::TERMS_MAX;
use berth_scheduler_model::pod::{HostPort, Protocol};
use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PortView {
    host_port: Lax<i64>,
    #[serde(rename = "hostIP")]
    host_ip: Text,
    protocol: Text,
}

const PROTOCOLS: [(&str, Protocol); 4] =
    [("", Protocol::Tcp), ("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)];

pub(super) fn read(view: &SpecView, spec: &Path<'_>) -> Result<Vec<HostPort>, ObjectError> {
    let mut ports = Vec::new();
    let containers: &List<ContainerView> = &view.containers;
    let lists = [("containers", containers), ("initContainers", &view.init_containers)];
    for (list, containers) in lists {
        let at = spec.field(list);
        for (index, container) in containers.iter().enumerate() {
            if list == "initContainers" && !container.is_sidecar() {
                continue;
            }
            let at = at.index(index);
            let at = at.field("ports");
            at_most(container.ports.len(), TERMS_MAX, &at)?;
            for (index, port) in container.ports.iter().enumerate() {
                let at = at.index(index);
                if let Some(port) = port.read(&at)? {
                    ports.push(port);
                }
            }
        }
    }
    Ok(ports)
}

impl PortView {
    fn read(&self, path: &Path<'_>) -> Result<Option<HostPort>, ObjectError> {
        let port = within(self.host_port.0, 0, i64::from(u16::MAX), &path.field("hostPort"))?;
        if port == 0 {
            return Ok(None);
        }
        let ip = match self.host_ip.as_str() {
            "" => Str::from("0.0.0.0"),
            ip => text(ip, &path.field("hostIP"))?,
        };
        let protocol = one_of(&self.protocol, &PROTOCOLS, &path.field("protocol"))?;
        Ok(Some(HostPort { ip, protocol, port: u16::try_from(port).unwrap_or(u16::MAX) }))
    }
}
