// SPDX-License-Identifier: Apache-2.0
//! Why a run could not be made.

use crate::trace::read::TraceError;
use berth_proto::wire::WireError;
use std::error::Error as _;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

/// Why a run could not be made, or not to its end. (A run that was made and did not hold is no error: see
/// [`Verdict`](crate::Verdict).)
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder for journals could not be made.
    #[error("cannot make a folder for the journal; name one with --data DIR")]
    Folder(#[source] io::Error),
    /// The output could not be written.
    #[error("cannot write to the standard output")]
    Output(#[source] io::Error),
    /// Verdicts could not be read.
    #[error("cannot read the verdicts")]
    Verdicts(#[source] berth_scheduler_testkit::ReadError),
    /// A trace could not be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// There is no such row.
    #[error("there is no row {name:?}; --list-rows lists them")]
    UnknownRow {
        /// The name that was given.
        name: String,
    },
    /// A flag says otherwise than the row.
    #[error(
        "row {row} fixes how its load travels, so {flag} cannot be given; use --row {workload} {flag} ..."
    )]
    FixedRow {
        /// The row.
        row: String,
        /// The flag.
        flag: &'static str,
        /// The row's workload.
        workload: String,
    },
    /// A row only goes over the stream.
    #[error(
        "row {row} goes over the stream, because pods wait there for their room: leave --unary out"
    )]
    StreamRow {
        /// The row.
        row: String,
    },
    /// The runtime could not be started.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// The timer does not work.
    #[error("the timer fails")]
    Timer(#[source] io::Error),
    /// A peer is not installed.
    #[error("{name} is not installed; on Debian: apt install {package}")]
    NoPeer {
        /// Which.
        name: &'static str,
        /// Its package.
        package: &'static str,
    },
    /// The balancer is not there.
    #[error(
        "{} is not there, which is the balancer to measure: build it with `cargo build --release -p berth`, \
         or say with --berth where it is",
        .path.display()
    )]
    NoBalancer {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Nothing is left to measure.
    #[error("there is nothing to measure ({why}); name what is there with --against or --only")]
    NothingToMeasure {
        /// What is missing.
        why: String,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("{line} failed ({status}): {said}")]
    Command {
        /// It and its arguments.
        line: String,
        /// How it ended.
        status: String,
        /// What it printed.
        said: String,
    },
    /// A network namespace does not do what it should.
    #[error("cannot {what}")]
    Namespace {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The backends do not work.
    #[error("the backends do not work")]
    Backends(#[source] io::Error),
    /// The client does not work.
    #[error("the client does not work")]
    Load(#[source] io::Error),
    /// The service's process could not be started.
    #[error("cannot start the service's process")]
    Spawn(#[source] io::Error),
    /// The service does not start, in its own process.
    #[error("the service does not start")]
    Serve(#[source] berth_scheduler_service::StartError),
    /// The service's process is gone, or did not start properly.
    #[error("the service's process ended ({status}); what it printed is above")]
    ServerGone {
        /// How it ended.
        status: String,
    },
    /// No connection to the service.
    #[error("cannot connect to the service at {address}; is it running there?")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// TLS is asked for, and the address says otherwise.
    #[error("the --tls flags need an address that begins with https://, not {address}")]
    TlsWithoutHttps {
        /// The address.
        address: String,
    },
    /// The service is in use.
    #[error(
        "the service already has {nodes} nodes and {pods} pods, and a load would mix with them; \
         use an empty service, or --replace to remove what it has"
    )]
    Occupied {
        /// Nodes it has.
        nodes: u32,
        /// Pods it has.
        pods: u32,
    },
    /// The service keeps no journal.
    #[error("the service keeps no journal, and the row is about one: start it with --data DIR")]
    NoJournal,
    /// A call failed as a whole.
    #[error("{call} failed: {} ({:?})", .status.message(), .status.code())]
    Call {
        /// Which.
        call: &'static str,
        /// What the service said.
        status: Box<tonic::Status>,
    },
    /// The service ended the stream.
    #[error("the service ended the stream while answers were due")]
    StreamEnded,
    /// An answer is no message of the contract.
    #[error("an answer cannot be read")]
    Answer(#[source] WireError),
    /// A balancer, or a row of `balance`, does not do what it should.
    #[error("{0}")]
    Balancer(String),
    /// The apiserver is not there.
    #[error(
        "{} is not there, which is the server to measure: build it with `cargo build --release -p berth`, \
         or say with --server where it is",
        .path.display()
    )]
    NoApiserver {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A kubeconfig says not what is needed.
    #[error("{} cannot be used: {why}", .path.display())]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] tokio_rustls::rustls::Error),
    /// No connection to an apiserver, or what answers like one.
    #[error("cannot connect to {address}")]
    Dial {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A request over HTTP came to nothing.
    #[error("{what}")]
    Http {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// An apiserver, or a row of `api`, does not do what it should.
    #[error("{0}")]
    Api(String),
    /// The cluster could not be registered.
    #[error("the cluster could not be registered: {0}")]
    Setup(String),
}

impl Error {
    /// A call that failed.
    pub fn call(call: &'static str) -> impl Fn(tonic::Status) -> Self {
        move |status| Self::Call { call, status: Box::new(status) }
    }

    /// Whether the run itself is impossible, so that trying the next row has no sense either.
    pub fn is_about_the_run(&self) -> bool {
        let row = matches!(
            self,
            Self::ServerGone { .. }
                | Self::Call { .. }
                | Self::StreamEnded
                | Self::Answer(_)
                | Self::Setup(_)
                | Self::Balancer(_)
                | Self::NoJournal
                | Self::Start { .. }
                | Self::Command { .. }
                | Self::Load(_)
                | Self::Dial { .. }
                | Self::Http { .. }
                | Self::Api(_)
        );
        !row
    }
}

/// An error with what caused it, in one line.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // An error that shows its cause in its own text is not told twice.
        let told = error.to_string();
        if !text.ends_with(&told) {
            let _ = write!(text, ": {told}");
        }
        cause = error.source();
    }
    text
}
