//! Configurations of other load balancers as a configuration of this one.
//!
//! What has no equal becomes a comment at the place where it would be. What the rules of this load balancer
//! refuse (members with another port than their listener, for example) is there as comments, with the
//! rule, so that the result is always a valid file.

mod check;
mod counted;
pub mod haproxy;
mod haproxy_words;
pub mod keepalived;
mod keepalived_words;
mod remembered;
mod section;
#[cfg(test)]
mod tests;
mod translation;
mod weights;

use std::net::IpAddr;

use thiserror::Error;

pub use self::translation::Translation;
use crate::model::Forwarding;

/// What the other file does not say.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Interfaces that traffic arrives on; none: those that the file names.
    pub interfaces: Vec<String>,
    /// How packets reach members where the file does not say so.
    pub forwarding: Option<Forwarding>,
    /// Virtual addresses of listeners that the file binds to every address of the host.
    pub vips: Vec<IpAddr>,
}

/// Why a text cannot be read as a file of that load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}; {fix}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: &'static str,
}
