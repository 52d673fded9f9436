// SPDX-License-Identifier: Apache-2.0
//! `Berth-Fence: NAMESPACE/LEASE/EPOCH`: a write that holds only as long as the lease has that epoch.
//!
//! The epoch is the revision of the lease's fence key, which the server writes when the holder changes ([`crate::epoch`]). The write's
//! transaction compares it, so no clock and no order of messages matters: what is written after a take-over is refused.

use crate::answer::Answer;
use crate::ask::Ask;
use crate::epoch;
use crate::server::Inner;
use crate::write::{self, Failed};
use berth_cluster_api::refusal::Cause;
use berth_cluster_api::{Refusal, names};
use berth_cluster_store::{Committed, Compare, Txn};
use http::{HeaderMap, HeaderValue};
use std::sync::atomic::{AtomicBool, Ordering};

/// The header, of requests and of answers.
pub(crate) const HEADER: &str = "berth-fence";

/// What a request demands.
#[derive(Debug)]
pub(crate) struct Fence {
    /// The lease and its epoch, as they were sent.
    text: String,
    key: String,
    epoch: u64,
    /// A transaction has compared it.
    held: AtomicBool,
}

/// What the headers of a write demand; those of a read are not looked at.
///
/// # Errors
/// 400 for a header that is not of the form: who sends one relies on it.
pub(crate) fn demanded(headers: &HeaderMap, verb: &str) -> Result<Option<Fence>, Refusal> {
    let mut all = headers.get_all(HEADER).iter();
    let Some(value) = all.next().filter(|_| !["get", "list", "watch"].contains(&verb)) else {
        return Ok(None);
    };
    let fence = value.to_str().ok().filter(|_| all.next().is_none()).and_then(read);
    let wrong = || {
        let text = "the header Berth-Fence has to be given once, as NAMESPACE/LEASE/EPOCH: send what the header of that name said in the \
             answer to the write by which the lease was taken";
        Refusal::bad_request(text)
    };
    fence.map(Some).ok_or_else(wrong)
}

fn read(text: &str) -> Option<Fence> {
    let (lease, number) = text.rsplit_once('/')?;
    let (namespace, name) = lease.split_once('/')?;
    let named = names::dns_label(namespace, false).is_empty()
        && names::dns_subdomain(name, false).is_empty();
    // One number has one form: no sign, no zeros before it.
    let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    let epoch = number.parse().ok().filter(|_| named && plain)?;
    let key = epoch::key(namespace, name);
    Some(Fence { text: text.to_owned(), key, epoch, held: AtomicBool::new(false) })
}

/// The header's value.
pub(crate) fn value(namespace: &str, name: &str, epoch: u64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("{namespace}/{name}/{epoch}")).ok()
}

/// Refuses what can be seen to be too late already, before anything else is said about the request. This server may not have heard of
/// the newest holder yet: that the fence holds is only known from a transaction.
pub(crate) fn early(server: &Inner, ask: &Ask) -> Result<(), Refusal> {
    let Some(fence) = &ask.fence else { return Ok(()) };
    match server.store.latest(&fence.key) {
        Some(entry) if entry.revision > fence.epoch => Err(stale(ask, fence)),
        _ => Ok(()),
    }
}

/// Compares the fence for a request that was carried out without writing: a dry run, a write that changes nothing.
pub(crate) async fn late(
    server: &Inner,
    ask: &Ask,
    answer: Result<Answer, Refusal>,
) -> Result<Answer, Refusal> {
    let Some(fence) = &ask.fence else { return answer };
    if answer.is_ok() && !fence.held.load(Ordering::Relaxed) {
        commit(server, ask, Txn::default()).await.map_err(|failed| match failed {
            Failed::Refused(refusal) => refusal,
            // There is no other condition.
            Failed::Conflict(..) => stale(ask, fence),
        })?;
    }
    answer
}

/// Commits a write of the request, if its fence holds.
pub(crate) async fn commit(server: &Inner, ask: &Ask, mut txn: Txn) -> Result<Committed, Failed> {
    let Some(fence) = &ask.fence else { return write::commit(server, txn).await };
    // The first condition that does not hold is the one that is told.
    txn.compares.insert(0, Compare { key: fence.key.clone(), revision: fence.epoch });
    match write::commit(server, txn).await {
        Ok(committed) => {
            fence.held.store(true, Ordering::Relaxed);
            Ok(committed)
        }
        // A write of the lease itself has a condition of its own on this key, which may fail while the fence holds.
        Err(Failed::Conflict(key, current))
            if key == fence.key
                && current.as_ref().is_none_or(|entry| entry.revision != fence.epoch) =>
        {
            Err(Failed::Refused(stale(ask, fence)))
        }
        Err(failed) => Err(failed),
    }
}

/// 409. It says the same whatever became of the lease, which the client may have no right to read.
fn stale(ask: &Ask, fence: &Fence) -> Refusal {
    let why = format!(
        "the fence {} does not hold: the lease has another holder by now, or is gone. Stop what is done as its holder, and read the \
         lease; only a client that holds it goes on, with the header Berth-Fence of that answer",
        fence.text
    );
    let mut refusal = ask.conflict(&ask.target.name, &why);
    // The reason of a program that would only read the object again and retry.
    refusal.details.causes = vec![Cause {
        reason: "FenceStale".to_owned(),
        message: "the lease does not have this epoch".to_owned(),
        field: "Berth-Fence".to_owned(),
    }];
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_one_form() {
        let fence = read("kube-system/berth.scheduler/17").unwrap();
        assert_eq!((fence.epoch, &*fence.key), (17, "reserved/fence/kube-system/berth.scheduler"));
        for wrong in [
            "",
            "/",
            "//",
            "a/b",
            "a/b/",
            "/b/1",
            "a//1",
            "a/b/0",
            "a/b/01",
            "a/b/+1",
            "a/b/-1",
            "a/b/1 ",
            "a/b/1x",
            "a/b/c/1",
            "A/b/1",
            "a/B/1",
            "a/b_/1",
            "a.b/c/1",
            "../b/1",
            "a/../1",
            "a/b/18446744073709551616",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
