//! Security policies that are there without being made: which versions and cipher suites of TLS their names stand for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::View;

/// The suites that most of them choose from, as a server prefers them.
const SUITES: [&str; 18] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-SHA256",
    "AES128-SHA256",
    "AES256-SHA256",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-SHA",
    "AES256-SHA",
];

/// Those of TLS 1.3.
const NEWEST: [&str; 5] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

/// Those that only `tls-1-0-inherit` has besides.
const OLDEST: [&str; 14] = [
    "DHE-RSA-AES128-SHA",
    "DHE-DSS-AES128-SHA",
    "CAMELLIA128-SHA",
    "EDH-RSA-DES-CBC3-SHA",
    "DES-CBC3-SHA",
    "ECDHE-RSA-RC4-SHA",
    "RC4-SHA",
    "DHE-RSA-AES256-SHA",
    "DHE-DSS-AES256-SHA",
    "DHE-RSA-CAMELLIA256-SHA",
    "DHE-DSS-CAMELLIA256-SHA",
    "CAMELLIA256-SHA",
    "EDH-DSS-DES-CBC3-SHA",
    "DHE-RSA-CAMELLIA128-SHA",
];

/// Which of [`SUITES`] a policy has, and which others.
#[derive(Clone, Copy)]
enum Choice {
    All,
    /// None with SHA-1.
    Strict,
    /// None with SHA-1, and none without forward secrecy.
    ForwardSecret,
}

/// Each: its name, the versions, the suites, and others behind them.
const POLICIES: [(&str, &str, Choice, &[&str]); 9] = [
    ("tls-1-0", "TLSv1.2 TLSv1.1 TLSv1", Choice::All, &[]),
    ("tls-1-0-inherit", "TLSv1.2 TLSv1.1 TLSv1", Choice::All, &OLDEST),
    ("tls-1-1", "TLSv1.2 TLSv1.1", Choice::All, &[]),
    ("tls-1-2", "TLSv1.2", Choice::All, &[]),
    ("tls-1-2-strict", "TLSv1.2", Choice::Strict, &[]),
    ("tls-1-2-fs", "TLSv1.2", Choice::ForwardSecret, &[]),
    ("tls-1-0-with-1-3", "TLSv1.3 TLSv1.2 TLSv1.1 TLSv1", Choice::All, &NEWEST),
    ("tls-1-2-fs-with-1-3", "TLSv1.3 TLSv1.2", Choice::ForwardSecret, &NEWEST),
    ("hybrid-policy-1-0", "TLSv1.2 TLSv1.1", Choice::All, &[]),
];

pub(super) fn list(call: &Call, _: &View<'_>) -> Result<Reply, Refusal> {
    let project = &call.caller.project;
    let show = |(name, protocols, choice, more): &(&str, &str, Choice, &[&str])| {
        let ciphers = suites(*choice, more);
        json!({"name": name, "protocols": protocols, "ciphers": ciphers, "project_id": project})
    };
    let all: Value = POLICIES.iter().map(show).collect();
    Ok(Reply::new(StatusCode::OK, "system_security_policies", all))
}

fn suites(choice: Choice, more: &[&str]) -> String {
    let is_meant = |suite: &&&str| match choice {
        Choice::All => true,
        Choice::Strict => !suite.ends_with("-SHA"),
        Choice::ForwardSecret => suite.starts_with("ECDHE") && !suite.ends_with("-SHA"),
    };
    let all: Vec<&str> = SUITES.iter().filter(is_meant).chain(more).copied().collect();
    all.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_strict_has_fewer() {
        let count = |choice, more| suites(choice, more).split(':').count();
        assert_eq!(count(Choice::All, &[]), 18);
        assert_eq!(count(Choice::Strict, &[]), 12);
        assert_eq!(count(Choice::ForwardSecret, &[]), 8);
        assert_eq!(count(Choice::ForwardSecret, &NEWEST), 13);
        assert!(
            POLICIES.iter().all(|(name, versions, ..)| {
                name.ends_with("1-3") == versions.contains("TLSv1.3")
            })
        );
    }
}
