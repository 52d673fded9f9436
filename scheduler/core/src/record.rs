// SPDX-License-Identifier: Apache-2.0
//! Recording and replay: everything that goes into an engine, written down, and an engine that is fed it again.
//!
//! An engine's answers follow from its options and its inputs alone, so a recording holds no answers, only a hash over them: a
//! replay that comes to the same hash went the same way, decision by decision.
//!
//! ```text
//! recording = magic "berth-rec" version(1 byte) header { input } end
//! header, input, end: length (u32, little endian), then that many bytes of postcard
//! end: the number of inputs and the hash of all answers; a recording that was cut off has none
//! ```

use crate::engine::Engine;
use crate::options::Options;
use crate::outcome::{Outcome, PodId, Refusal};
use crate::pending::Decided;
use crate::queue::{Backoff, Tick};
use crate::{PodIx, Slot, Vector};
use alloc::sync::Arc;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::profile::Profile;
use core::fmt;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 10] = b"berth-rec\x01";

/// Largest part of a recording, in bytes: none is near it, so a longer one is damage.
const PART_MAX: usize = 64 << 20;

/// What names a pod, owned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodName {
    /// Identity over time.
    pub uid: Str,
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
}

impl PodName {
    fn id(&self) -> PodId<'_> {
        PodId { uid: &self.uid, namespace: &self.namespace, name: &self.name }
    }
}

/// One thing that goes into an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// [`Engine::apply_at`].
    Apply(Tick, Event),
    /// [`Engine::place`].
    Place(PodName, Arc<PodSpec>),
    /// [`Engine::place_or_preempt`].
    PlaceOrPreempt(Tick, PodName, Arc<PodSpec>),
    /// [`Engine::enqueue`].
    Enqueue(Tick, PodName, Arc<PodSpec>),
    /// [`Engine::next`].
    Next(Tick),
    /// [`Engine::release`].
    Release(Str),
    /// [`Engine::cancel`].
    Cancel(Str),
    /// [`Engine::confirm`].
    Confirm(Str),
}

/// The engine's answer to an input, in names: slots and records are numbers of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Answer {
    /// Nothing to say.
    Done,
    /// Whether the pod was known.
    Found(bool),
    /// The pod was known before.
    Known,
    /// A node, the total, and how many nodes would have done.
    Placed(Str, Str, i64, u32),
    /// Nodes by the plugin that refused them.
    Refused(Vec<u32>),
    /// A pod of the queue waits on; with the node and victims (by uid) of a preemption.
    Waits(Str, Vec<u32>, Option<(Str, Vec<Str>)>),
    /// The queue has nothing to try.
    Idle,
}

/// How the recorded engine was set up.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    seed: u64,
    profiles: Vec<Profile>,
    strict_budgets: bool,
    backoff_ms: (u64, u64, u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Input(Input),
    End { inputs: u64, hash: u64 },
}

/// Why a recording was not replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// It is none, or of another version.
    NotARecording,
    /// A part is damaged: its place in bytes.
    Damaged(usize),
    /// It ends without its end: the recorder was not finished.
    CutOff {
        /// Inputs that are there.
        inputs: u64,
    },
    /// The answers were not the recorded ones.
    Differs {
        /// Inputs replayed.
        inputs: u64,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecording => f.write_str("not a recording of this version"),
            Self::Damaged(at) => write!(f, "the recording is damaged at byte {at}"),
            Self::CutOff { inputs } => {
                write!(f, "the recording was cut off after {inputs} inputs")
            }
            Self::Differs { inputs } => {
                write!(f, "after {inputs} inputs the answers are not those of the recorded run")
            }
        }
    }
}

impl core::error::Error for ReplayError {}

/// A hash over answers, in order (FNV-1a).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    /// Adds an answer.
    pub fn add(&mut self, answer: &Answer) {
        let bytes = postcard::to_allocvec(answer).expect("answers are plain data");
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The hash so far.
    pub fn hash(self) -> u64 {
        self.0
    }
}

/// Writes down what goes into an engine.
#[derive(Debug)]
pub struct Recorder {
    bytes: Vec<u8>,
    trace: Trace,
    inputs: u64,
}

impl Recorder {
    /// A recorder for an engine that is just made from these options.
    pub fn new(options: &Options) -> Self {
        let backoff = &options.backoff;
        let header = Header {
            seed: options.seed,
            profiles: options.profiles.clone(),
            strict_budgets: options.strict_budgets,
            backoff_ms: (backoff.initial_ms, backoff.max_ms, backoff.flush_ms),
        };
        let mut recorder = Self { bytes: MAGIC.to_vec(), trace: Trace::default(), inputs: 0 };
        recorder.write(&header);
        recorder
    }

    /// Feeds the engine, and writes down what it was fed.
    pub fn feed(&mut self, engine: &mut Engine, input: Input) -> Answer {
        let answer = engine.feed(&input);
        self.trace.add(&answer);
        self.inputs += 1;
        self.write(&Part::Input(input));
        answer
    }

    /// Takes the bytes written so far, to be appended to a file.
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }

    /// Ends the recording: the last bytes.
    pub fn finish(mut self) -> Vec<u8> {
        let end = Part::End { inputs: self.inputs, hash: self.trace.hash() };
        self.write(&end);
        self.bytes
    }

    fn write<T: Serialize>(&mut self, part: &T) {
        let part = postcard::to_allocvec(part).expect("inputs are plain data");
        let length = u32::try_from(part.len()).expect("far below PART_MAX");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&part);
    }
}

/// A replay that went the recorded way.
#[derive(Debug)]
pub struct Replayed {
    /// The engine as it was at the end.
    pub engine: Engine,
    /// Inputs fed.
    pub inputs: u64,
    /// The hash of all answers.
    pub hash: u64,
}

/// Replays a recording on a new engine, calling `each` with every input and answer.
pub fn replay(
    recording: &[u8],
    vector: Vector,
    mut each: impl FnMut(&Input, &Answer),
) -> Result<Replayed, ReplayError> {
    let mut rest = recording.strip_prefix(MAGIC.as_slice()).ok_or(ReplayError::NotARecording)?;
    let place = |rest: &[u8]| recording.len() - rest.len();
    let header: Header = match take_part(&mut rest) {
        Ok(Some(header)) => header,
        Ok(None) => return Err(ReplayError::CutOff { inputs: 0 }),
        Err(Broken) => return Err(ReplayError::Damaged(place(rest))),
    };
    let (initial_ms, max_ms, flush_ms) = header.backoff_ms;
    let mut engine = Engine::new(Options {
        seed: header.seed,
        profiles: header.profiles,
        strict_budgets: header.strict_budgets,
        backoff: Backoff { initial_ms, max_ms, flush_ms },
        vector,
        ..Options::default()
    });
    let mut trace = Trace::default();
    let mut inputs = 0;
    loop {
        match take_part(&mut rest) {
            Ok(Some(Part::Input(input))) => {
                let answer = engine.feed(&input);
                trace.add(&answer);
                inputs += 1;
                each(&input, &answer);
            }
            Ok(Some(Part::End { inputs: wanted, hash })) => {
                if (wanted, hash) != (inputs, trace.hash()) {
                    return Err(ReplayError::Differs { inputs });
                }
                return Ok(Replayed { engine, inputs, hash });
            }
            Ok(None) => return Err(ReplayError::CutOff { inputs }),
            Err(Broken) => return Err(ReplayError::Damaged(place(rest))),
        }
    }
}

struct Broken;

/// Takes a part off; `None` at the end, also where that is within a part.
fn take_part<'a, T: Deserialize<'a>>(rest: &mut &'a [u8]) -> Result<Option<T>, Broken> {
    let Some((length, after)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > PART_MAX {
        return Err(Broken);
    }
    let Some((part, after)) = after.split_at_checked(length) else { return Ok(None) };
    let value = postcard::from_bytes(part).map_err(|_| Broken)?;
    *rest = after;
    Ok(Some(value))
}

impl Engine {
    /// Does what an input says, and tells the answer in names.
    pub fn feed(&mut self, input: &Input) -> Answer {
        match input {
            Input::Apply(now, event) => {
                self.apply_at(*now, event.clone());
                Answer::Done
            }
            Input::Place(pod, spec) => {
                let outcome = self.place(pod.id(), spec);
                self.told(outcome)
            }
            Input::PlaceOrPreempt(now, pod, spec) => {
                match self.place_or_preempt(*now, pod.id(), spec) {
                    (Outcome::Refused(refusal), Some((waiting, eviction))) => {
                        self.waits(waiting, &refusal, Some((eviction.node, &eviction.victims)))
                    }
                    (outcome, _) => self.told(outcome),
                }
            }
            Input::Enqueue(now, pod, spec) => match self.enqueue(*now, pod.id(), spec) {
                Ok(_) => Answer::Done,
                Err(_) => Answer::Known,
            },
            Input::Next(now) => match self.next(*now) {
                None => Answer::Idle,
                Some(Decided::Placed(placement)) => self.told(Outcome::Placed(placement)),
                Some(Decided::Waits { pod, refusal, eviction }) => {
                    let eviction = eviction.as_ref().map(|e| (e.node, e.victims.as_slice()));
                    self.waits(pod, &refusal, eviction)
                }
            },
            Input::Release(uid) => Answer::Found(self.release(uid)),
            Input::Cancel(uid) => Answer::Found(self.cancel(uid)),
            Input::Confirm(uid) => Answer::Found(self.confirm(uid)),
        }
    }

    fn told(&self, outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Placed(placement) => Answer::Placed(
                Str::from(self.pod_id(placement.pod).uid),
                self.node_name(placement.node).clone(),
                placement.total,
                placement.feasible,
            ),
            Outcome::Refused(refusal) => Answer::Refused(refusal.nodes.to_vec()),
            Outcome::Known(_) => Answer::Known,
        }
    }

    fn waits(&self, pod: PodIx, refusal: &Refusal, eviction: Option<(Slot, &[PodIx])>) -> Answer {
        let uid = |pod: &PodIx| Str::from(self.pod_id(*pod).uid);
        let eviction = eviction.map(|(node, victims)| {
            (self.node_name(node).clone(), victims.iter().map(uid).collect())
        });
        Answer::Waits(uid(&pod), refusal.nodes.to_vec(), eviction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::format;
    use berth_scheduler_model::node::Node;
    use berth_scheduler_model::requests::{Requests, Resources};

    fn recording() -> Vec<u8> {
        let options = Options { seed: 5, ..Options::default() };
        let mut engine = Engine::new(options.clone());
        let mut recorder = Recorder::new(&options);
        for i in 0..20 {
            let allocatable = Resources { cpu: 4_000, memory: 8 << 30, ..Resources::default() };
            let node = Node { allocatable, pods: 10, ..Node::new(&format!("node-{i}")) };
            recorder.feed(&mut engine, Input::Apply(0, Event::Node(Box::new(node))));
        }
        for i in 0..300_u32 {
            let plain = Resources { cpu: 500, memory: 1 << 28, ..Resources::default() };
            let priority = i32::try_from(i % 3).unwrap();
            let spec = PodSpec {
                priority,
                requests: Requests { plain, ..Requests::default() },
                ..PodSpec::default()
            };
            let text = |kind: &str| Str::from(format!("{kind}-{i}"));
            let pod =
                PodName { uid: text("uid"), namespace: Str::from("default"), name: text("pod") };
            let now = u64::from(i) * 100;
            let input = match i % 4 {
                0 => Input::Place(pod, Arc::new(spec)),
                1 => Input::PlaceOrPreempt(now, pod, Arc::new(spec)),
                _ => Input::Enqueue(now, pod, Arc::new(spec)),
            };
            recorder.feed(&mut engine, input);
            recorder.feed(&mut engine, Input::Next(now));
            if i % 7 == 0 {
                recorder.feed(&mut engine, Input::Release(Str::from(format!("uid-{}", i / 2))));
            }
        }
        recorder.finish()
    }

    #[test]
    fn a_replay_goes_the_recorded_way() {
        let bytes = recording();
        let mut placed = 0;
        let replayed = replay(&bytes, Vector::BASELINE, |_, answer| {
            placed += u32::from(matches!(answer, Answer::Placed(..)));
        });
        let replayed = replayed.expect("the same inputs give the same answers");
        assert!(replayed.inputs > 600 && placed > 100, "{} {placed}", replayed.inputs);
        assert_eq!(bytes, recording(), "one seed, one recording");
    }

    #[test]
    fn a_changed_recording_is_told() {
        let bytes = recording();
        assert_eq!(
            replay(b"something else", Vector::BASELINE, |_, _| ()).unwrap_err(),
            ReplayError::NotARecording
        );
        let cut = replay(&bytes[..bytes.len() / 2], Vector::BASELINE, |_, _| ()).unwrap_err();
        assert!(matches!(cut, ReplayError::CutOff { inputs } if inputs > 100), "{cut}");
        // The hash at the end.
        let mut other = bytes.clone();
        let last = other.len() - 1;
        other[last] ^= 1;
        assert!(matches!(
            replay(&other, Vector::BASELINE, |_, _| ()).unwrap_err(),
            ReplayError::Differs { .. } | ReplayError::Damaged(_)
        ));
        // A length that cannot be.
        let mut long = bytes;
        long[MAGIC.len() + 3] = 0xff;
        assert_eq!(
            replay(&long, Vector::BASELINE, |_, _| ()).unwrap_err(),
            ReplayError::Damaged(MAGIC.len())
        );
    }
}
