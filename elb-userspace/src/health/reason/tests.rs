//! How failures are written and read.

use std::net::IpAddr;

use serde_json::json;

use super::super::Stage;
use super::*;

/// At least one failure of every kind.
fn all() -> Vec<Failure> {
    let by = IpAddr::from([10, 0, 0, 11]);
    let (error, alert) = ("too many open files".to_owned(), "handshake failure".to_owned());
    let expected = "200,202-204".to_owned();
    let mut causes = vec![
        Cause::Refused { by },
        Cause::PortUnreachable { by },
        Cause::HostUnreachable { by: "fd00::1".parse().unwrap() },
        Cause::NetUnreachable { by },
        Cause::AdminProhibited { by },
        Cause::OtherIcmp { by, icmp_type: 12, code: 0 },
        Cause::NoNeighbor,
        Cause::NoRoute { error: error.clone() },
        Cause::NoLocalResource { error: error.clone() },
        Cause::NoCommand { error: error.clone() },
        Cause::CommandExit { status: 2, said: "no primary".to_owned() },
        Cause::CommandSignal { signal: 11, said: String::new() },
        Cause::CommandTimeout { said: "asking".to_owned() },
        Cause::NoEchoReply,
        Cause::NotTls,
        Cause::TlsAlert { alert },
        Cause::TlsFailed { error: error.clone() },
        Cause::BadHttp { error: error.clone() },
        Cause::Answer { expected: "+PONG".to_owned(), seen: r"-ERR\r\n".to_owned() },
        Cause::Body { status: 200, expected: "ready".to_owned(), seen: "starting".to_owned() },
        Cause::Body { status: 200, expected: "ready".to_owned(), seen: String::new() },
        Cause::Status { expected: expected.clone(), seen: 302 },
        Cause::GrpcStatus { expected, seen: 12 },
        Cause::NoGrpcStatus { status: 404 },
        Cause::NotServing { seen: 2 },
    ];
    for stage in [Stage::Connect, Stage::Handshake, Stage::Request, Stage::Response] {
        causes.push(Cause::Timeout { stage });
        causes.push(Cause::Reset { stage });
        causes.push(Cause::Closed { stage });
        causes.push(Cause::Broken { stage, error: error.clone() });
    }
    causes.into_iter().map(Failure::new).collect()
}

#[test]
fn is_read_as_it_was_written() {
    for failure in all() {
        let text = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure, "{text}");
    }
}

#[test]
fn every_reason_code_is_given() {
    let mut given: Vec<ReasonCode> = all().iter().map(Failure::code).collect();
    given.sort_unstable();
    given.dedup();
    let mut codes = ReasonCode::ALL;
    codes.sort_unstable();
    assert_eq!(given, codes);
    for code in codes {
        assert_eq!(serde_json::to_value(code).unwrap(), json!(code.as_str()));
    }
}

#[test]
fn every_detail_is_another() {
    let mut details: Vec<String> = all().iter().map(Failure::detail).collect();
    let count = details.len();
    details.sort_unstable();
    details.dedup();
    assert_eq!(details.len(), count, "{details:#?}");
}

#[test]
fn is_written_as_the_api_does() {
    let mismatch = Failure::new(Cause::Status { expected: "200,202-204".into(), seen: 302 });
    let written = json!({
        "reason_code": "RESPONSE_MISMATCH",
        "expected_response": "200,202-204",
        "healthcheck_response": "302",
        "detail": "status 302, expected 200,202-204",
        "cause": { "kind": "status", "expected": "200,202-204", "seen": 302 },
    });
    assert_eq!(serde_json::to_value(&mismatch).unwrap(), written);
    let silent = Failure::new(Cause::Timeout { stage: Stage::Connect });
    let written = json!({
        "reason_code": "CONNECT_TIMEOUT",
        "expected_response": null,
        "healthcheck_response": null,
        "detail": "no answer to the connection",
        "cause": { "kind": "timeout", "stage": "connect" },
    });
    assert_eq!(serde_json::to_value(&silent).unwrap(), written);
    let text = "RESPONSE_MISMATCH (status 302, expected 200,202-204)";
    assert_eq!(mismatch.to_string(), text);
}

#[test]
fn what_is_not_a_cause_is_not_read() {
    for text in ["{}", r#"{"cause":{"kind":"whim"}}"#, r#"{"cause":{"kind":"refused"}}"#] {
        assert!(serde_json::from_str::<Failure>(text).is_err(), "{text}");
    }
}
