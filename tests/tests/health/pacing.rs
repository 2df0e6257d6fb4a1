//! When probes start: acceptance 7 of the semantics.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, HealthMonitor, Member, MonitorKind, Pool, Protocol},
    lab::Lab,
    script::Script,
    wait::wait_for,
    wire::HTTP_PORT,
};

use crate::watched::{HEALTH, LIMIT, WEB};

const MEMBERS: u8 = 60;
const DELAY: Duration = Duration::from_secs(2);
/// The time within which first probes start.
const FIRST: Duration = Duration::from_secs(1);
/// The part of the delay that probes may start sooner.
const JITTER: u32 = 16;
/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(1);

#[test]
fn a07_first_probes_come_at_once_the_next_spread_over_an_interval_and_then_once_in_each()
-> Result<()> {
    // Many members on one host, so that one clock sees all probes.
    let lab = Lab::builder().backends(1).start()?;
    lab.backend(0).ip("route add local 10.64.0.0/24 dev lo")?;
    lab.lb().ip(&format!("route add 10.64.0.0/24 via {}", lab.member_addr(0, Family::V4)))?;
    let script = Script::start(lab.backend(0), HEALTH)?;
    let mut pool = Pool::of(&lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT);
    let member = |n| Member {
        address: IpAddr::from([10, 64, 0, n]),
        protocol_port: HTTP_PORT,
        weight: 1,
        backup: false,
        max_connection: 0,
    };
    pool.members = (1..=MEMBERS).map(member).collect();
    let monitor = HealthMonitor::quick(MonitorKind::Http).direct();
    let delay = u32::try_from(DELAY.as_secs())?;
    pool.healthmonitor = Some(HealthMonitor { delay, monitor_port: Some(HEALTH), ..monitor });
    let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
    let _agent = Agent::start(&lab, &config)?;

    let by_member = wait_for("five probes of each member", LIMIT, || {
        let mut by_member: BTreeMap<IpAddr, Vec<Instant>> = BTreeMap::new();
        for seen in script.seen() {
            by_member.entry(seen.to).or_default().push(seen.at);
        }
        let all = by_member.len() == usize::from(MEMBERS);
        Ok((all && by_member.values().all(|times| times.len() >= 5)).then_some(by_member))
    })?;

    let (span, half) = spread(by_member.values().map(|times| times[0]));
    assert!(span > FIRST * 3 / 4 && span < FIRST + BUSY, "{span:?}");
    assert!(half > FIRST / 8, "{half:?}");
    // The middle half of evenly spread times takes half of the time.
    let (span, half) = spread(by_member.values().map(|times| times[1]));
    assert!(span > DELAY * 3 / 4 && span < FIRST + DELAY + BUSY, "{span:?}");
    assert!(half > DELAY / 8 && half < DELAY * 7 / 8, "{half:?}");

    let gaps =
        by_member.values().flat_map(|times| times[1..].windows(2).map(|two| two[1] - two[0]));
    let mut gaps: Vec<Duration> = gaps.collect();
    gaps.sort_unstable();
    let least = DELAY - DELAY / JITTER;
    let typical = gaps[gaps.len() / 2];
    assert!(typical > least && typical < DELAY + BUSY, "{typical:?}");
    // Jitter: some come sooner, by more than their server may mistake.
    let soonest = gaps[gaps.len() / 20];
    assert!(soonest < DELAY - DELAY / JITTER / 8, "{soonest:?}");
    Ok(())
}

/// How far the times are apart, and how far the middle half of them.
fn spread(times: impl Iterator<Item = Instant>) -> (Duration, Duration) {
    let mut times: Vec<Instant> = times.collect();
    times.sort_unstable();
    let quarter = times.len() / 4;
    (times[times.len() - 1] - times[0], times[3 * quarter] - times[quarter])
}
