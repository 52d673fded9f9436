// SPDX-License-Identifier: Apache-2.0
//! What is counted, and the page that shows it.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const TYPES: [&str; 11] =
    ["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "NS", "SOA", "HTTPS", "ANY", "other"];
const CODES: [&str; 8] =
    ["NOERROR", "NXDOMAIN", "SERVFAIL", "FORMERR", "NOTIMP", "REFUSED", "BADVERS", "other"];
const TRANSPORTS: [&str; 2] = ["udp", "tcp"];

/// Where a question came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    fn index(self) -> usize {
        match self {
            Self::Udp => 0,
            Self::Tcp => 1,
        }
    }
}

/// Something that is counted without labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Malformed,
    Ignored,
    Truncated,
    Forwarded,
    ForwardFailed,
    ForwardRefused,
    UpstreamSilent,
    UpstreamLied,
    UpstreamTcp,
    CacheHit,
    CacheMiss,
    Connection,
    ConnectionRefused,
}

/// Name and meaning of each, in the order of [`Event`].
const EVENTS: [(&str, &str); 13] = [
    ("malformed_total", "Packets that are no query that can be read."),
    ("ignored_total", "Packets that got no answer: too short, or answers themselves."),
    ("truncated_total", "Answers that did not fit, and say so."),
    ("forwarded_total", "Questions asked of upstreams."),
    ("forward_failures_total", "Questions that no upstream answered."),
    ("forward_refusals_total", "Questions not asked, as too many were being asked."),
    ("upstream_failures_total", "Attempts to which an upstream gave no answer of use in time."),
    ("upstream_lies_total", "Packets in the place of an answer that are none to what was asked."),
    ("upstream_tcp_total", "Questions asked again over TCP, as the answer was truncated."),
    ("cache_hits_total", "Questions answered from the cache."),
    ("cache_misses_total", "Questions that the cache did not have."),
    ("connections_total", "Connections over TCP that were taken."),
    ("connection_refusals_total", "Connections that were closed at once, as there were too many."),
];

/// Counters of a server, all since it was made.
#[derive(Debug, Default)]
pub struct Stats {
    queries: [[AtomicU64; TYPES.len()]; TRANSPORTS.len()],
    answers: [AtomicU64; CODES.len()],
    events: [AtomicU64; EVENTS.len()],
}

fn add(counters: &[AtomicU64], index: usize) {
    // Every index is one of a list beside the counters.
    if let Some(counter) = counters.get(index) {
        counter.fetch_add(1, Relaxed);
    }
}

impl Stats {
    pub(crate) fn query(&self, transport: Transport, kind: RecordType) {
        let name: &str = kind.into();
        let index = TYPES.iter().position(|known| *known == name).unwrap_or(TYPES.len() - 1);
        add(&self.queries[transport.index()], index);
    }

    pub(crate) fn answer(&self, code: ResponseCode) {
        let index = match code {
            ResponseCode::NoError => 0,
            ResponseCode::NXDomain => 1,
            ResponseCode::ServFail => 2,
            ResponseCode::FormErr => 3,
            ResponseCode::NotImp => 4,
            ResponseCode::Refused => 5,
            ResponseCode::BADVERS => 6,
            _ => 7,
        };
        add(&self.answers, index);
    }

    pub(crate) fn event(&self, event: Event) {
        add(&self.events, event as usize);
    }

    pub(crate) fn events(&self, event: Event) -> u64 {
        self.events[event as usize].load(Relaxed)
    }

    /// Queries of a type, such as `A`, over both transports; types that have no counter of their own are `other`.
    pub fn queries(&self, kind: &str) -> u64 {
        let index = TYPES.iter().position(|known| *known == kind);
        let of = |index: usize| self.queries.iter().map(|some| some[index].load(Relaxed)).sum();
        index.map_or(0, of)
    }

    /// Answers with a code, such as `NXDOMAIN`.
    pub fn answers(&self, code: &str) -> u64 {
        let index = CODES.iter().position(|known| *known == code);
        index.map_or(0, |index| self.answers[index].load(Relaxed))
    }

    /// Questions asked of upstreams, and those of them that none answered.
    pub fn forwarded(&self) -> (u64, u64) {
        (self.events(Event::Forwarded), self.events(Event::ForwardFailed))
    }

    /// Questions that the cache had, and had not.
    pub fn cache(&self) -> (u64, u64) {
        (self.events(Event::CacheHit), self.events(Event::CacheMiss))
    }

    /// Packets that are no query that can be read, and such that got no answer at all.
    pub fn malformed(&self) -> (u64, u64) {
        (self.events(Event::Malformed), self.events(Event::Ignored))
    }

    /// All counters in Prometheus' text format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        let head = |page: &mut String, name: &str, help: &str| {
            // Writing into a text does not fail.
            let _ =
                writeln!(page, "# HELP berth_dns_{name} {help}\n# TYPE berth_dns_{name} counter");
        };
        head(&mut page, "queries_total", "Queries by transport and type.");
        for (transport, counters) in TRANSPORTS.iter().zip(&self.queries) {
            for (kind, counter) in TYPES.iter().zip(counters) {
                let count = counter.load(Relaxed);
                let _ = writeln!(
                    page,
                    "berth_dns_queries_total{{transport=\"{transport}\",type=\"{kind}\"}} {count}"
                );
            }
        }
        head(&mut page, "answers_total", "Answers by code.");
        for (code, counter) in CODES.iter().zip(&self.answers) {
            let count = counter.load(Relaxed);
            let _ = writeln!(page, "berth_dns_answers_total{{code=\"{code}\"}} {count}");
        }
        for ((name, help), counter) in EVENTS.iter().zip(&self.events) {
            head(&mut page, name, help);
            let _ = writeln!(page, "berth_dns_{name} {}", counter.load(Relaxed));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let stats = Stats::default();
        stats.query(Transport::Udp, RecordType::A);
        stats.query(Transport::Tcp, RecordType::A);
        stats.query(Transport::Tcp, RecordType::NAPTR);
        stats.answer(ResponseCode::NXDomain);
        stats.answer(ResponseCode::YXDomain);
        stats.event(Event::ConnectionRefused);
        let page = stats.page();
        for line in [
            "berth_dns_queries_total{transport=\"udp\",type=\"A\"} 1",
            "berth_dns_queries_total{transport=\"tcp\",type=\"A\"} 1",
            "berth_dns_queries_total{transport=\"tcp\",type=\"other\"} 1",
            "berth_dns_answers_total{code=\"NXDOMAIN\"} 1",
            "berth_dns_answers_total{code=\"other\"} 1",
            "berth_dns_connection_refusals_total 1",
            "berth_dns_malformed_total 0",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
        }
        let shown = page.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(shown, 2 * TYPES.len() + CODES.len() + EVENTS.len());
        assert_eq!((stats.queries("A"), stats.answers("NXDOMAIN"), stats.queries("X")), (2, 1, 0));
    }
}
