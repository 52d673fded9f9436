// SPDX-License-Identifier: Apache-2.0
//! The service without its sockets: what is asked, in order, becomes answers, records and later decisions.
//!
//! Pure: time comes in, nothing goes out but return values. One sequencer owns the engine; who talks to it from where, and how
//! its records get to a disk, is the business of `server`.
//!
//! | module | has |
//! |---|---|
//! | `place` | Schedule and ScheduleStream |
//! | `change` | Release, Confirm, Cancel, Apply, Sync, templates |
//! | `wait` | the queue: decisions made later, nominations, timers |
//! | `read` | Get, List, Explain, Stats |
//! | `record` | what is written down of changes |
//! | `save` | slices for a snapshot |
//! | `ahead`, `restore` | everything back from the journal, in two halves |
//! | `specs`, `books` | tables beside the engine's |
//!
//! A *round* is what happens between two calls of [`Sequencer::take_round`]: its records are a batch of the journal, and the
//! answers of the round may be sent once that batch is safe. (A sync that replaces everything may take several batches.)

mod ahead;
mod books;
mod change;
mod log;
mod place;
mod read;
pub mod record;
mod refusal;
mod restore;
mod save;
mod specs;
#[cfg(test)]
mod tests;
mod wait;

pub use ahead::{Ahead, Steps};
pub use change::Applied;
pub use log::Span;
pub use read::{Counts, Histogram, ProfileCounts};
pub use restore::Restore;
pub use save::Cursor;

use berth_proto::v1;
use berth_scheduler_core::{Engine, PodIx};
use berth_scheduler_model::Str;
use books::Books;
use log::Log;
use record::PodKey;
use refusal::Refusals;
use specs::Specs;
use std::collections::BTreeMap;

/// Milliseconds since the Unix epoch; never goes back.
pub type Millis = u64;

/// Most templates.
pub const TEMPLATES_MAX: usize = 65_536;

/// How a sequencer is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine.
    pub engine: berth_scheduler_core::Options,
    /// How long room is held for a nominated pod whose request does not say.
    pub nomination_hold_ms: u64,
}

/// Whether changes are taken.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Accepting {
    /// They are.
    #[default]
    Yes,
    /// They are not, with this answer. What was decided before is answered still.
    No(v1::NotAccepted),
    /// As `No`, and what was decided before may not be answered either: it may not be safe.
    Never(v1::NotAccepted),
}

/// A decision about a pod that was queued, and whom to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Later<R> {
    /// The stream that queued it.
    pub stream: R,
    /// The decision.
    pub result: v1::PodResult,
}

/// The sequencer. `R` stands for a stream that is told of later decisions.
#[derive(Debug)]
pub struct Sequencer<R> {
    engine: Engine,
    log: Log,
    specs: Specs,
    books: Books<R>,
    /// Encoded specs by their number.
    templates: BTreeMap<u32, Box<[u8]>>,
    /// Numbers by the encoded spec, so that the same content gives the same template.
    template_ids: BTreeMap<Box<[u8]>, u32>,
    last_template: u32,
    /// Objects that the engine does not give back, encoded as updates.
    objects: BTreeMap<ObjectId, Box<[u8]>>,
    object_bytes: usize,
    refusals: Refusals,
    accepting: Accepting,
    later: Vec<Later<R>>,
    counts: Counts,
    options: Options,
}

/// Kind, namespace, name, and the kind of a group.
type ObjectId = (String, String, String, String);

fn object_id(key: &v1::ObjectKey) -> ObjectId {
    (key.kind.clone(), key.namespace.clone(), key.name.clone(), key.group_kind.clone())
}

impl<R: Clone> Sequencer<R> {
    /// An empty one.
    pub fn new(options: Options) -> Self {
        let counts =
            Counts::new(options.engine.profiles.iter().map(|profile| profile.name.clone()));
        Self {
            engine: Engine::new(options.engine.clone()),
            log: Log::new(0),
            specs: Specs::new(options.engine.hash_seed),
            books: Books::new(),
            templates: BTreeMap::new(),
            template_ids: BTreeMap::new(),
            last_template: 0,
            objects: BTreeMap::new(),
            object_bytes: 0,
            refusals: Refusals::default(),
            accepting: Accepting::Yes,
            later: Vec::new(),
            counts,
            options,
        }
    }

    /// The revision of the state.
    pub fn revision(&self) -> u64 {
        self.log.revision()
    }

    /// Says whether changes are taken from now on.
    pub fn set_accepting(&mut self, accepting: Accepting) {
        self.accepting = accepting;
    }

    /// Why changes are not taken, if they are not.
    pub fn not_accepted(&self) -> Option<&v1::NotAccepted> {
        match &self.accepting {
            Accepting::Yes => None,
            Accepting::No(why) | Accepting::Never(why) => Some(why),
        }
    }

    /// Bytes of the records of the present round.
    pub fn round_bytes(&self) -> usize {
        self.log.len()
    }

    /// Ends the round: gives its batches (none if nothing changed), and puts later decisions into `later`. The room of `spare`
    /// is used again.
    pub fn take_round(
        &mut self,
        spare: Vec<u8>,
        later: &mut Vec<Later<R>>,
    ) -> Vec<(Span, Vec<u8>)> {
        later.append(&mut self.later);
        self.log.take(spare)
    }

    /// When something is to be done even if nobody asks.
    pub fn next_wake(&self) -> Option<Millis> {
        let queue = if self.books.nobody_waits() { None } else { self.engine.next_tick() };
        self.books.next_timer().into_iter().chain(queue).min()
    }

    /// About how many bytes a snapshot of the state takes.
    pub fn state_bytes(&self) -> u64 {
        // Names, node and numbers of a pod; a node as it comes; and what is held encoded anyway.
        let pods = self.engine.pods() as u64 * 96;
        let nodes = u64::from(self.engine.nodes()) * 256;
        let encoded = (self.templates.len() + self.specs.held()) as u64 * 400;
        pods + nodes + encoded + self.object_bytes as u64
    }

    fn tell(&mut self, stream: Option<R>, result: v1::PodResult) {
        if let Some(stream) = stream {
            self.later.push(Later { stream, result });
        }
    }
}

/// What names a pod, for a record.
fn key_of(engine: &Engine, pod: PodIx) -> PodKey<'_> {
    let id = engine.pod_id(pod);
    PodKey { uid: id.uid, namespace: id.namespace, name: id.name }
}

/// As signed milliseconds of a message; far times are cut.
fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// A result of one pod.
fn result(revision: u64, uid: &str, outcome: v1::pod_result::Outcome) -> v1::PodResult {
    v1::PodResult { revision, uid: uid.to_owned(), outcome: Some(outcome) }
}

/// The name of a node, or nothing.
fn text(name: Option<&Str>) -> String {
    name.map_or_else(String::new, |name| name.as_ref().to_owned())
}
