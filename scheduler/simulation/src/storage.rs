// SPDX-License-Identifier: Apache-2.0
//! Random volumes, claims, classes and what belongs to them.

use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::terms::{self, ZONE, text, word};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels, NodeSelector, Operator, Requirement};
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::volume::{
    AccessModes, ClaimRef, CsiCapacity, CsiDriver, CsiNode, Disk, PersistentVolume,
    PersistentVolumeClaim, PodVolume, StorageClass, VolumeAttachment,
};

const CLAIMS: usize = 5;
const VOLUMES: usize = 6;
const CLASSES: usize = 3;
const DRIVERS: usize = 2;

fn named(what: &str, rng: &mut Rng, count: usize) -> Str {
    Str::from(format!("{what}{}", rng.below(count)))
}

/// A volume of a pod.
pub(crate) fn pod_volume(rng: &mut Rng) -> PodVolume {
    match rng.below(10) {
        0..7 => PodVolume::Claim { name: named("c", rng, CLAIMS), ephemeral: rng.percent(10) },
        7 => PodVolume::Csi { driver: named("driver", rng, DRIVERS) },
        _ => PodVolume::Disk(disk(rng)),
    }
}

fn disk(rng: &mut Rng) -> Disk {
    let name = named("disk", rng, 3);
    let read_only = rng.percent(50);
    match rng.below(4) {
        0 => Disk::Gce { name, read_only },
        1 => Disk::Ebs { id: name },
        2 => Disk::Iscsi { iqn: name, read_only },
        _ => {
            let monitors = vec![named("m", rng, 2), named("m", rng, 3)];
            Disk::Rbd { monitors, pool: text("pool"), image: name, read_only }
        }
    }
}

fn access(rng: &mut Rng) -> AccessModes {
    AccessModes {
        read_write_once: rng.percent(60),
        read_only_many: rng.percent(20),
        read_write_many: rng.percent(20),
        read_write_once_pod: rng.percent(20),
    }
}

fn topology(scenario: &Scenario, rng: &mut Rng) -> NodeSelector {
    terms::node_selector(rng, scenario.values)
}

fn volume(scenario: &Scenario, rng: &mut Rng) -> PersistentVolume {
    let mut labels = Labels::default();
    if rng.percent(25) {
        let zone = terms::value(rng, scenario.values);
        let both = Str::from(format!("{zone}__{}", terms::value(rng, scenario.values)));
        labels = [(text(ZONE), if rng.percent(50) { zone } else { both })].into_iter().collect();
    }
    PersistentVolume {
        name: named("pv", rng, VOLUMES),
        labels,
        capacity: rng.amount(1, 4) << 20,
        access: AccessModes { read_write_once: true, ..access(rng) },
        class: if rng.percent(10) { text("") } else { named("sc", rng, CLASSES) },
        claim: rng.percent(15).then(|| ClaimRef {
            namespace: terms::namespace(rng.below(scenario.namespaces)),
            name: named("c", rng, CLAIMS),
            uid: word(rng, &["", "u0", "u1"]),
        }),
        node_affinity: rng.percent(40).then(|| topology(scenario, rng)),
        csi: rng.percent(60).then(|| (named("driver", rng, DRIVERS), named("handle", rng, 8))),
        block: rng.percent(8),
        available: rng.percent(90),
        terminating: rng.percent(5),
    }
}

fn claim(scenario: &Scenario, rng: &mut Rng) -> PersistentVolumeClaim {
    let bound = rng.percent(40);
    PersistentVolumeClaim {
        namespace: terms::namespace(rng.below(scenario.namespaces)),
        name: named("c", rng, CLAIMS),
        uid: named("u", rng, 2),
        owner: rng.percent(20).then(|| text("ask")),
        class: match rng.below(10) {
            0 => None,
            1 => Some(text("")),
            _ => Some(named("sc", rng, CLASSES)),
        },
        volume: bound.then(|| named("pv", rng, VOLUMES)),
        bind_completed: bound && rng.percent(90),
        selected_node: rng.percent(6).then(|| scenario.some_name(rng)),
        lost: rng.percent(3),
        terminating: rng.percent(3),
        request: rng.amount(1, 4) << 20,
        access: access(rng),
        selector: rng.percent(10).then(|| LabelSelector {
            requirements: vec![Requirement {
                key: text(ZONE),
                operator: Operator::In,
                values: vec![terms::value(rng, scenario.values)],
            }],
        }),
        block: rng.percent(8),
    }
}

fn class(scenario: &Scenario, rng: &mut Rng) -> StorageClass {
    let nobody = rng.percent(30);
    StorageClass {
        name: named("sc", rng, CLASSES),
        provisioner: if nobody {
            text("kubernetes.io/no-provisioner")
        } else {
            named("driver", rng, DRIVERS)
        },
        wait_for_consumer: rng.percent(80),
        allowed_topologies: if rng.percent(60) {
            NodeSelector::default()
        } else {
            topology(scenario, rng)
        },
    }
}

/// Something about storage that comes, changes or goes.
pub(crate) fn event(scenario: &Scenario, rng: &mut Rng) -> Event {
    let node = |rng: &mut Rng| scenario.some_name(rng);
    match rng.below(40) {
        0..9 => Event::Volume(Box::new(volume(scenario, rng))),
        9..20 => Event::Claim(Box::new(claim(scenario, rng))),
        20..24 => Event::Class(class(scenario, rng)),
        24..28 => Event::CsiNode(CsiNode {
            name: node(rng),
            drivers: (0..DRIVERS)
                .map(|at| {
                    let limit =
                        rng.percent(80).then(|| i32::try_from(rng.below(3)).expect("small"));
                    (Str::from(format!("driver{at}")), limit)
                })
                .collect(),
            migrated: Vec::new(),
        }),
        28 => Event::CsiNode(CsiNode {
            name: node(rng),
            drivers: vec![(text("pd.csi.storage.gke.io"), Some(1))],
            migrated: vec![text("kubernetes.io/gce-pd")],
        }),
        29 | 30 => Event::CsiDriver(CsiDriver {
            name: named("driver", rng, DRIVERS),
            storage_capacity: rng.percent(50),
        }),
        31..33 => Event::Capacity(CsiCapacity {
            key: (text("kube-system"), named("capacity", rng, 4)),
            class: named("sc", rng, CLASSES),
            topology: (!rng.percent(10)).then(|| terms::selector(rng, &[ZONE], scenario.values)),
            capacity: rng.percent(80).then(|| rng.amount(0, 5) << 20),
            largest: rng.percent(30).then(|| rng.amount(0, 5) << 20),
        }),
        33 => Event::Attachment(VolumeAttachment {
            name: named("attachment", rng, 4),
            attacher: named("driver", rng, DRIVERS),
            node: node(rng),
            volume: rng.percent(80).then(|| named("pv", rng, VOLUMES)),
        }),
        34 => Event::VolumeGone(named("pv", rng, VOLUMES)),
        35 => Event::ClaimGone {
            namespace: terms::namespace(rng.below(scenario.namespaces)),
            name: named("c", rng, CLAIMS),
        },
        36 => Event::ClassGone(named("sc", rng, CLASSES)),
        37 => Event::CsiNodeGone(node(rng)),
        38 => match rng.below(2) {
            0 => Event::CapacityGone { key: (text("kube-system"), named("capacity", rng, 4)) },
            _ => Event::CsiDriverGone(named("driver", rng, DRIVERS)),
        },
        _ => Event::AttachmentGone(named("attachment", rng, 4)),
    }
}
