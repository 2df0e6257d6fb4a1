//! What a failure makes likely: findings that would explain it, the likeliest first. Only the first
//! that nothing contradicts is named; the others look the same from outside.

mod answer;
mod command;
mod connection;
mod explains;
mod own;
mod own_address;
mod return_path;
mod traffic;
mod vip;
mod way;

pub use explains::explains;

use super::evidence::Evidence;
use super::report::Finding;
use crate::health::{Cause, Stage};

/// What may keep a member from working; empty if nothing does.
pub fn suspects(evidence: &Evidence) -> Vec<Finding> {
    if let Some(finding) = own_address::taken(evidence) {
        return vec![finding];
    }
    if let Some(finding) = way::blocked(evidence) {
        return vec![finding];
    }
    if let Some(finding) = own::seen(evidence) {
        return vec![finding];
    }
    if let Some(cause) = evidence.vip_failure() {
        let (own, theirs) = (own::inferred(evidence), vip::suspects(evidence, cause));
        // A route that only this pool's packets need is what all members lack, sooner than that this host is at fault.
        return if evidence.wanted.pool.forwarding.embeds_clients() {
            theirs.into_iter().chain(own).collect()
        } else {
            own.into_iter().chain(theirs).collect()
        };
    }
    match evidence.failure() {
        Some(cause) => of_failure(evidence, cause),
        None => traffic::suspects(evidence),
    }
}

fn of_failure(evidence: &Evidence, cause: &Cause) -> Vec<Finding> {
    match cause {
        Cause::NoNeighbor => vec![way::no_neighbor(evidence, evidence.address())],
        Cause::NoRoute { error } => vec![way::no_route(evidence, error)],
        Cause::NoLocalResource { error } => vec![own::no_local_resource(evidence, error)],
        Cause::NoCommand { error } => vec![command::not_run(error)],
        Cause::CommandExit { .. } | Cause::CommandSignal { .. } | Cause::CommandTimeout { .. } => {
            vec![command::says_no(evidence, cause)]
        }
        Cause::HostUnreachable { by } => vec![way::host_unreachable(evidence, *by)],
        Cause::NetUnreachable { by } => vec![way::net_unreachable(evidence, *by)],
        Cause::AdminProhibited { by } => connection::prohibited(evidence, *by, cause),
        Cause::OtherIcmp { by, .. } => connection::prohibited(evidence, *by, cause),
        Cause::PortUnreachable { by } => connection::port_unreachable(evidence, *by, cause),
        Cause::Refused { .. } => connection::refused(evidence),
        Cause::NoEchoReply => connection::no_echo(evidence),
        Cause::Timeout { stage: Stage::Connect } => connection::silent(evidence),
        Cause::Timeout { .. } => answer::late(evidence, cause),
        Cause::Reset { .. } | Cause::Closed { .. } | Cause::Broken { .. } => {
            answer::broken(evidence, cause)
        }
        Cause::NotTls | Cause::TlsAlert { .. } | Cause::TlsFailed { .. } => {
            vec![answer::tls(evidence, cause)]
        }
        Cause::BadHttp { .. } => vec![answer::not_http(evidence, cause)],
        Cause::TooMuch { .. } => vec![answer::endless(evidence, cause)],
        Cause::Answer { .. } => vec![answer::words(evidence, cause)],
        Cause::Body { .. } => vec![answer::body(evidence, cause)],
        Cause::Status { seen, .. } => vec![answer::status(evidence, *seen)],
        Cause::GrpcStatus { .. } | Cause::NoGrpcStatus { .. } | Cause::NotServing { .. } => {
            vec![answer::grpc(evidence, cause)]
        }
    }
}
