//! What labs under load have in common: generated clients next to real ones, and what members got.

use std::{
    net::{IpAddr, SocketAddrV4},
    ops::Range,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_common::names;
use elb_tests::{
    generated::{Generator, Play, Segment, Stream},
    status,
    wait::wait_for,
};
use serde_json::Value;

use crate::scene::{LIMIT, Scene};

/// A connection that opens, is established, and ends.
pub(crate) const HANDSHAKE: [Segment; 3] = [Segment::Syn, Segment::Ack, Segment::Fin];
/// A connection that stays.
pub(crate) const OPENING: [Segment; 2] = [Segment::Syn, Segment::Ack];

impl Scene {
    /// A port of the virtual address.
    pub(crate) fn port(&self, port: u16) -> SocketAddrV4 {
        let IpAddr::V4(vip) = self.lab.vip4() else { unreachable!("it is of IPv4") };
        SocketAddrV4::new(vip, port)
    }

    /// Something that is pinned in the BPF file system.
    pub(crate) fn pin(&self, name: &str) -> PathBuf {
        self.config.agent.pin_dir.join(format!("v{}", names::ABI_VERSION)).join(name)
    }

    /// The link that holds the program on the load balancer's only interface.
    fn link(&self) -> Result<PathBuf> {
        Ok(self.pin(&format!("link-{}", self.lab.lb().index_of("lb0")?)))
    }

    /// Generated clients that come from now on, `number` of them apart from all others.
    pub(crate) fn stream(
        &self,
        number: u32,
        port: u16,
        segments: &[Segment],
        rate: Option<u32>,
    ) -> Result<Stream> {
        let (target, segments) = (self.port(port), segments.to_vec());
        let play = Play { target, segments, first: number << 27, rate };
        Ok(Stream::start(self.lab.lb(), self.link()?, play))
    }

    /// Lets generated clients send these segments, one after the other.
    pub(crate) fn play(&self, port: u16, segments: &[Segment], clients: Range<u32>) -> Result<()> {
        let (link, target) = (self.link()?, self.port(port));
        self.lab.lb().run(|| Generator::at_link(&link)?.play(target, segments, clients))?
    }

    /// Gives the agent the configuration, and waits until the status is as `wanted`.
    pub(crate) fn reload(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let taken_over = |agent: &elb_tests::agent::Agent| {
            agent.log().matches("the configuration is accepted").count()
        };
        let before = taken_over(&self.agent);
        self.agent.reload(&self.config)?;
        wait_for("the configuration to be taken over", LIMIT, || {
            Ok((taken_over(&self.agent) > before).then_some(()))
        })?;
        self.agent.wait_status(what, LIMIT, wanted)
    }

    /// Packets that each backend got by a pool.
    pub(crate) fn packets(&self, pool: &str) -> Result<Vec<u64>> {
        self.by_member(&self.agent.status()?, pool, "packets")
    }

    /// A number that the status has of each backend in a pool.
    pub(crate) fn by_member(&self, said: &Value, pool: &str, field: &str) -> Result<Vec<u64>> {
        let number = |index| {
            let member = status::member(said, pool, self.member(index)).context("no member")?;
            member[field].as_u64().with_context(|| format!("no {field} in {member}"))
        };
        (0..self.lab.backends().len()).map(number).collect()
    }
}

/// What came since `before`.
pub(crate) fn since(before: &[u64], now: &[u64]) -> Vec<u64> {
    now.iter().zip(before).map(|(now, before)| now - before).collect()
}

/// Whether all have near the share of the sum that their `weights` have: within two hundredths of it, and
/// what chance allows among so many (five standard deviations).
pub(crate) fn assert_due(what: &str, counts: &[u64], weights: &[u64]) {
    let all = counts.iter().sum::<u64>() as f64;
    let weight = weights.iter().sum::<u64>() as f64;
    let share = |count: &u64| *count as f64 / all;
    println!("{what}: {:.4?} of {all}", counts.iter().map(share).collect::<Vec<_>>());
    for (count, due) in counts.iter().zip(weights.iter().map(|one| *one as f64 / weight)) {
        let chance = 5.0 * (due * (1.0 - due) / all).sqrt();
        assert!(
            (share(count) - due).abs() <= due * 0.02 + chance,
            "{what}: {counts:?} instead of {weights:?}"
        );
    }
}

/// Whether a pool that is said to be moving is settled.
pub(crate) fn is_settled(said: &Value, pool: &str) -> bool {
    let pool = status::pool(said, pool);
    pool.is_some_and(|pool| pool["moving_slots"] == 0 && pool["former_slots"] == 0)
}

/// A number that the status has of a listener.
pub(crate) fn of_listener(said: &Value, listener: &str, field: &str) -> Result<u64> {
    let listener = status::listener(said, listener).context("no such listener")?;
    listener[field].as_u64().with_context(|| format!("no {field} in {listener}"))
}

/// A time in which packets are counted: long enough for many, on the slowest machine too.
pub(crate) const WINDOW: Duration = Duration::from_secs(3);
