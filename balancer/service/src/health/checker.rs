// SPDX-License-Identifier: Apache-2.0
//! The checker: the core's state machines, a heap of when the next check is due, and a bounded number of checks at once.

use super::{Counts, Found, Target, TargetsEnd, probe};
use crate::control::Control;
use crate::state::Entry;
use berth_balancer_core::model::{HealthCheck, Name, Protocol};
use berth_balancer_core::{Due, Health, Turned, flow_hash};
use berth_proto_serve::stopped;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

/// Checks at once, a descriptor each. With a millisecond each they are a quarter of a million a second; with endpoints that do not
/// answer for a second, still 256.
const AT_ONCE: usize = 256;
/// When a check is tried again that found no place, or a verdict that found no room in the inbox.
const AGAIN: Duration = Duration::from_millis(5);

/// One endpoint's address that is checked.
struct Machine {
    service: Name,
    endpoint: Name,
    /// Ports of the service for which the verdict holds.
    ports: Vec<Name>,
    address: SocketAddr,
    /// The endpoint's own address and port.
    check: Arc<HealthCheck>,
    health: Health,
    running: bool,
}

/// The checker.
pub(crate) struct Checker {
    control: Control,
    counts: Arc<Counts>,
    begun: Instant,
    /// By number, which none has twice.
    machines: BTreeMap<u64, Machine>,
    numbers: u64,
    services: BTreeMap<Name, Vec<u64>>,
    due: BinaryHeap<Reverse<(u64, u64)>>,
    running: JoinSet<bool>,
    by_task: BTreeMap<Id, u64>,
    unsent: Vec<Found>,
}

impl Checker {
    pub(crate) fn new(control: Control, counts: Arc<Counts>) -> Self {
        Self {
            control,
            counts,
            begun: Instant::now(),
            machines: BTreeMap::new(),
            numbers: 0,
            services: BTreeMap::new(),
            due: BinaryHeap::new(),
            running: JoinSet::new(),
            by_task: BTreeMap::new(),
            unsent: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) async fn run(
        mut self,
        mut targets: TargetsEnd,
        mut stopping: watch::Receiver<bool>,
    ) {
        loop {
            let wait = self.wait();
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                target = targets.recv() => match target {
                    Some(target) => self.set(target),
                    None => return,
                },
                Some(done) = self.running.join_next_with_id(), if !self.running.is_empty() => {
                    let (id, passed) = match done {
                        Ok((id, passed)) => (id, passed),
                        // A probe that panicked says nothing good.
                        Err(error) => (error.id(), false),
                    };
                    self.finished(id, passed);
                }
                () = tokio::time::sleep(wait) => {}
            }
            self.begin();
            self.send();
        }
    }

    /// Until something is due.
    fn wait(&self) -> Duration {
        if !self.unsent.is_empty() {
            return AGAIN;
        }
        let Some(Reverse((due, _))) = self.due.peek() else { return Duration::from_hours(1) };
        let wait = Duration::from_nanos(due.saturating_sub(self.now()));
        if self.running.len() >= AT_ONCE { wait.max(AGAIN) } else { wait }
    }

    /// What is to be checked of a service.
    fn set(&mut self, target: Target) {
        let Target { name, entry, unhealthy } = target;
        let before = self.services.remove(&name).unwrap_or_default();
        // An endpoint has one machine for each address that is checked.
        let mut before: BTreeMap<(Name, SocketAddr), (u64, Machine)> = before
            .into_iter()
            .filter_map(|number| {
                let machine = self.machines.remove(&number)?;
                Some(((machine.endpoint.clone(), machine.address), (number, machine)))
            })
            .collect();
        let mut numbers = Vec::new();
        let wanted = entry.map(|entry| self.wanted(&entry)).unwrap_or_default();
        for mut machine in wanted {
            let old = before.remove(&(machine.endpoint.clone(), machine.address));
            // Who is the same keeps its history, and its place in the heap.
            if let Some((number, old)) =
                old.filter(|(_, old)| old.ports == machine.ports && old.check == machine.check)
            {
                (machine.health, machine.running) = (old.health, old.running);
                numbers.push(number);
                self.machines.insert(number, machine);
                continue;
            }
            let key = |port: &Name| (machine.endpoint.clone(), port.clone());
            if machine.ports.iter().any(|port| unhealthy.contains(&key(port))) {
                for _ in 0..machine.check.fall {
                    machine.health.finished(&machine.check, false);
                }
            }
            self.numbers += 1;
            numbers.push(self.numbers);
            self.schedule(self.numbers, &machine);
            self.machines.insert(self.numbers, machine);
        }
        if !numbers.is_empty() {
            self.services.insert(name, numbers);
        }
        self.counts.machines.store(self.machines.len() as u64, Ordering::Relaxed);
    }

    fn wanted(&self, entry: &Entry) -> Vec<Machine> {
        let Some(check) = &entry.service.settings.health_check else { return Vec::new() };
        let check = Arc::new(check.clone());
        let mut machines: Vec<Machine> = Vec::new();
        for endpoint in entry.endpoints().filter(|endpoint| endpoint.ready) {
            let first = machines.len();
            for port in &endpoint.ports {
                let own = entry.service.ports.iter().find(|own| own.name == port.name);
                // A datagram is answered by nobody in particular: a UDP port is checked on a port that is named, or not at all.
                let udp = own.is_none_or(|own| own.protocol == Protocol::Udp);
                if udp && check.port.is_none() {
                    continue;
                }
                let address = SocketAddr::new(endpoint.address, check.port.unwrap_or(port.port));
                // One check for all ports that it speaks for.
                if let Some(known) = machines[first..].iter_mut().find(|m| m.address == address) {
                    known.ports.push(port.name.clone());
                    continue;
                }
                let spread = flow_hash(address);
                machines.push(Machine {
                    service: entry.service.name.clone(),
                    endpoint: endpoint.name.clone(),
                    ports: vec![port.name.clone()],
                    address,
                    check: Arc::clone(&check),
                    health: Health::new(&check, spread, self.now()),
                    running: false,
                });
            }
        }
        machines
    }

    fn schedule(&mut self, number: u64, machine: &Machine) {
        let due = match machine.health.due(self.now()) {
            Due::Wait(until) => until,
            Due::Check | Due::Timeout => self.now(),
        };
        self.due.push(Reverse((due, number)));
    }

    /// Begins the checks that are due, as far as there is room.
    fn begin(&mut self) {
        let now = self.now();
        while let Some(Reverse((due, number))) = self.due.peek().copied() {
            if due > now {
                return;
            }
            if self.running.len() >= AT_ONCE {
                self.counts.late.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.due.pop();
            let Some(machine) = self.machines.get_mut(&number) else { continue };
            if machine.running {
                continue;
            }
            machine.running = true;
            machine.health.started(&machine.check, now);
            let (address, check) = (machine.address, Arc::clone(&machine.check));
            let task = self.running.spawn(async move { probe::passes(address, &check).await });
            self.by_task.insert(task.id(), number);
        }
    }

    fn finished(&mut self, task: Id, passed: bool) {
        let count = if passed { &self.counts.passed } else { &self.counts.failed };
        count.fetch_add(1, Ordering::Relaxed);
        let Some(number) = self.by_task.remove(&task) else { return };
        // It may be another one's, or nobody's, by now.
        let Some(mut machine) = self.machines.remove(&number) else { return };
        machine.running = false;
        let healthy = match machine.health.finished(&machine.check, passed) {
            Some(Turned::Healthy) => Some(true),
            Some(Turned::Unhealthy) => Some(false),
            None => None,
        };
        if let Some(healthy) = healthy {
            self.unsent.extend(machine.ports.iter().map(|port| Found {
                service: machine.service.clone(),
                endpoint: machine.endpoint.clone(),
                port: port.clone(),
                address: machine.address.ip(),
                healthy,
            }));
        }
        self.schedule(number, &machine);
        self.machines.insert(number, machine);
    }

    fn send(&mut self) {
        if !self.unsent.is_empty() && self.control.found(self.unsent.clone()) {
            self.unsent.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::Available;
    use crate::control::Shared;
    use crate::state::State;

    /// A service whose endpoints are checked, all of them but the first at the same port.
    fn entry(endpoints: u32, first: u16) -> Arc<Entry> {
        let one = |number| {
            let address = std::net::Ipv4Addr::from_bits(0x0b00_0000 + number);
            let port = if number == 0 { first } else { 80 };
            format!("{{name: e{number}, address: \"{address}:{port}\"}}")
        };
        let list: Vec<String> = (0..endpoints).map(one).collect();
        let service = "name: a, address: 10.0.0.1:80, health_check: tcp";
        let text = format!("services: [{{{service}, endpoints: [{}]}}]", list.join(", "));
        let update = crate::config::read(&text).unwrap();
        let mut state = State::default();
        let plan = state.plan(update, &Available::default()).unwrap();
        state.commit(plan);
        Arc::clone(state.entry("a").unwrap())
    }

    #[test]
    fn a_change_of_one_endpoint_among_very_many_keeps_the_history_of_all_others() {
        let (inbox, _end) = crossbeam_channel::bounded(1);
        let control = Control::new(inbox, Arc::new(Shared::new()));
        let mut checker = Checker::new(control, Arc::default());
        let count = 50_000;
        let names = (1..count).map(|n| (format!("e{n}").into(), "".into()));
        let target = |entry| Target { name: "a".into(), entry, unhealthy: names.clone().collect() };
        // The square of this many steps would take minutes, and is a failure.
        let begun = Instant::now();
        checker.set(target(Some(entry(count, 80))));
        let before = checker.services["a"].clone();
        checker.set(target(Some(entry(count, 81))));
        let after = checker.services["a"].clone();
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        assert_ne!(before[0], after[0], "it is checked elsewhere");
        assert_eq!(before[1..], after[1..]);
        assert_eq!(checker.machines.len(), count as usize);
        let target = target(None);
        checker.set(target);
        assert!(checker.machines.is_empty() && checker.services.is_empty());
    }
}
