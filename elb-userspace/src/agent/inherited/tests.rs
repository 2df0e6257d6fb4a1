//! Verdicts that follow members, and those that do not.

use std::time::{Duration, SystemTime};

use super::*;
use crate::health::{History, OperatingStatus, Verdict};
use crate::source::file;

/// Pools with a monitor and members.
fn model(pools: &[(&str, &str, &[u8])]) -> Model {
    let mut text = "[agent]\ninterfaces = [\"eth0\"]\n".to_owned();
    for (name, monitor, members) in pools {
        text += &format!(
            "[[pool]]\nname = \"{name}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n{monitor}\n"
        );
        for n in *members {
            text += &format!("[[pool.member]]\naddress = \"10.0.0.{n}\"\nprotocol_port = 80\n");
        }
    }
    file::parse("test", &text).unwrap().model
}

fn id(pool: &str) -> ResourceId {
    ResourceId::of_pool(pool)
}

fn member(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

fn known(n: u8, status: OperatingStatus, since: u64) -> saved::SavedMember {
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(since);
    let verdict = Verdict { status, since, reason: None, streak: 0, decided: None };
    saved::SavedMember { member: member(n), verdict: Some(verdict), history: History::default() }
}

const HTTP: &str = "healthmonitor = { type = \"HTTP\", url_path = \"/a\", delay = 10 }";
const OTHER: &str = "healthmonitor = { type = \"HTTP\", url_path = \"/b\", delay = 10 }";

fn inherited(health: &saved::SavedHealth, pool: &str) -> Vec<(SocketAddr, OperatingStatus)> {
    let members = health.pools.get(&id(pool)).into_iter().flatten();
    members.map(|one| (one.member, one.verdict.as_ref().unwrap().status)).collect()
}

#[test]
fn a_verdict_follows_address_port_and_check() {
    let old = model(&[("blue", HTTP, &[11, 12])]);
    let new = model(&[("blue", HTTP, &[11, 12]), ("green", HTTP, &[11, 12, 13])]);
    let all = [(
        id("blue"),
        vec![known(11, OperatingStatus::Online, 5), known(12, OperatingStatus::Offline, 6)],
    )];
    let health = verdicts(&old, &new, &[], &all.clone().into());
    let green = inherited(&health, "green");
    assert_eq!(
        green,
        [(member(11), OperatingStatus::Online), (member(12), OperatingStatus::Offline)]
    );
    assert_eq!(inherited(&health, "blue"), [], "it is known there already");
    let new = model(&[("green", OTHER, &[11, 12])]);
    let health = verdicts(&old, &new, &[], &all.into());
    assert_eq!(inherited(&health, "green"), [], "another check");
}

#[test]
fn of_several_verdicts_the_latest_counts() {
    let old = model(&[("a", HTTP, &[11]), ("b", HTTP, &[11])]);
    let new = model(&[("c", HTTP, &[11])]);
    let all = [
        (id("a"), vec![known(11, OperatingStatus::Offline, 7)]),
        (id("b"), vec![known(11, OperatingStatus::Online, 5)]),
    ];
    let health = verdicts(&old, &new, &[], &all.clone().into());
    assert_eq!(inherited(&health, "c"), [(member(11), OperatingStatus::Offline)]);

    // The wall clock was set back between the two.
    let mut all = all;
    for ((_, known), at) in all.iter_mut().zip([10, 20]) {
        let verdict = known[0].verdict.as_mut().unwrap();
        verdict.decided = Some(crate::model::time::Time::from_nanos(at));
    }
    let health = verdicts(&old, &new, &[], &all.into());
    assert_eq!(inherited(&health, "c"), [(member(11), OperatingStatus::Online)]);
}

#[test]
fn a_member_that_joins_a_pool_with_another_name_is_known_there() {
    let old = model(&[("a", HTTP, &[11, 12]), ("b", HTTP, &[13])]);
    let new = model(&[("z", HTTP, &[11, 12, 13])]);
    let renamed = [Renamed { from: id("a"), to: id("z") }];
    let all = [
        (
            id("z"),
            vec![known(11, OperatingStatus::Online, 5), known(12, OperatingStatus::Online, 5)],
        ),
        (id("b"), vec![known(13, OperatingStatus::Online, 5)]),
    ];
    let health = verdicts(&old, &new, &renamed, &all.into());
    assert_eq!(inherited(&health, "z"), [(member(13), OperatingStatus::Online)]);
}
