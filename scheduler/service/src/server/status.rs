// SPDX-License-Identifier: Apache-2.0
//! Statuses with details: the messages of google.rpc that the contract promises, as far as they are used.

use crate::convert::Violation;
use berth_proto::v1;
use berth_proto::v1::not_accepted::Reason;
use berth_proto::wire::WireError;
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

/// google.rpc.Status.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// google.protobuf.Any.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// google.rpc.ErrorInfo.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
}

/// google.rpc.RetryInfo, with the Duration in it.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// google.protobuf.Duration.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// google.rpc.BadRequest.
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<BadField>,
}

#[derive(Clone, PartialEq, Message)]
struct BadField {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value: message.encode_to_vec(),
    }
}

fn with(code: Code, message: String, details: Vec<Any>) -> Status {
    let encoded = Details { code: code as i32, message: message.clone(), details };
    Status::with_details(code, message, Bytes::from(encoded.encode_to_vec()))
}

/// A field that cannot be used.
pub(super) fn invalid(violation: &Violation) -> Status {
    let message = if violation.field.is_empty() {
        violation.message.clone()
    } else {
        format!("{}: {}", violation.field, violation.message)
    };
    let field = BadField { field: violation.field.clone(), description: violation.message.clone() };
    let details = any("BadRequest", &BadRequest { field_violations: vec![field] });
    with(Code::InvalidArgument, message, vec![details])
}

/// Bytes that are not the message they should be.
pub(super) fn malformed(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

/// The request was not taken up.
pub(super) fn not_accepted(why: &v1::NotAccepted) -> Status {
    let (code, reason) = match why.reason() {
        Reason::JournalFailed => (Code::Unavailable, "JOURNAL_FAILED"),
        Reason::Stopping => (Code::Unavailable, "STOPPING"),
        Reason::DiskFull => (Code::ResourceExhausted, "DISK_FULL"),
        Reason::Limit => (Code::ResourceExhausted, "LIMIT"),
        Reason::Overloaded | Reason::Unspecified => (Code::ResourceExhausted, "OVERLOADED"),
    };
    let info = ErrorInfo { reason: reason.into(), domain: "berth.scheduler.v1".into() };
    let mut details = vec![any("ErrorInfo", &info)];
    if why.retry_after_ms > 0 {
        let seconds = why.retry_after_ms / 1_000;
        let nanos = i32::try_from(why.retry_after_ms % 1_000 * 1_000_000).unwrap_or(0);
        let retry_delay = Some(Delay { seconds, nanos });
        details.push(any("RetryInfo", &RetryInfo { retry_delay }));
    }
    with(code, why.message.clone(), details)
}

/// Too much waits already.
pub(super) fn overloaded() -> v1::NotAccepted {
    v1::NotAccepted {
        reason: Reason::Overloaded.into(),
        message: "too much is waiting for the scheduler; try again a little later".into(),
        retry_after_ms: 100,
    }
}

/// The service stops.
pub(super) fn stopping() -> v1::NotAccepted {
    v1::NotAccepted {
        reason: Reason::Stopping.into(),
        message: "the service is stopping".into(),
        retry_after_ms: 0,
    }
}

/// The journal failed.
pub(super) fn journal_failed(trouble: Option<&str>) -> v1::NotAccepted {
    let trouble = trouble.unwrap_or("its disk failed");
    v1::NotAccepted {
        reason: Reason::JournalFailed.into(),
        message: format!("the journal takes no more writes ({trouble}); restart the service"),
        retry_after_ms: 0,
    }
}

/// The journal's disk is full.
pub(super) fn disk_full(trouble: Option<&str>) -> v1::NotAccepted {
    let trouble = trouble.unwrap_or("no space");
    v1::NotAccepted {
        reason: Reason::DiskFull.into(),
        message: format!(
            "the journal's disk is full ({trouble}); free space and it goes on by itself"
        ),
        retry_after_ms: 1_000,
    }
}

/// The client leaves its answers unread.
pub(super) fn reads_too_slowly() -> Status {
    let message = "answers were left unread for too long".to_owned();
    let info = ErrorInfo { reason: "LIMIT".into(), domain: "berth.scheduler.v1".into() };
    with(Code::ResourceExhausted, message, vec![any("ErrorInfo", &info)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_what_google_rpc_says() {
        let status = not_accepted(&overloaded());
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = Details::decode(status.details()).unwrap();
        assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.ErrorInfo");
        let info = ErrorInfo::decode(&*details.details[0].value).unwrap();
        assert_eq!(info.reason, "OVERLOADED");
        let retry = RetryInfo::decode(&*details.details[1].value).unwrap();
        assert_eq!(retry.retry_delay, Some(Delay { seconds: 0, nanos: 100_000_000 }));
    }
}
