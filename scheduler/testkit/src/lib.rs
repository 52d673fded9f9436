// SPDX-License-Identifier: Apache-2.0
//! Recorded verdicts of kube-scheduler (`scheduler/testdata/oracle`): the reader of the files, and the comparison of a
//! scheduler with them.
//!
//! ```no_run
//! # fn compare(scheduler: &mut dyn berth_scheduler_testkit::Oracle) -> Result<(), berth_scheduler_testkit::ReadError> {
//! let mut report = berth_scheduler_testkit::Report::default();
//! for record in berth_scheduler_testkit::open("cases.jsonl.gz")? {
//!     report.compare(&record?, scheduler);
//! }
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod case;
mod cluster;
mod compare;
mod error;
mod file;
mod preemption;
mod sequence;
mod verdict;

pub use case::{CaseExpectation, ExpectedRejection, OracleCase};
pub use compare::Report;
pub use error::{Problem, ReadError};
pub use file::{Record, Records, open, read};
pub use preemption::{ExpectedCandidate, OraclePreemption, PreemptionExpectation};
pub use sequence::{OracleSequence, ScheduleExpectation, Step};
pub use verdict::{Candidate, Decision, Ineligible, Oracle, PreemptionVerdict, Rejection, Verdict};
