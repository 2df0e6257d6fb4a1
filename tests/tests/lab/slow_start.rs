//! Slow start: a member that is new, or back, gets its share little by little; connections stay where they are.
//!
//! What a member gets is compared with what was due between two looks, however long what is in between took.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    client::{HeldConnections, HttpReport},
    config::{Forwarding, Member, MonitorKind, Pool},
    lab::Lab,
    server::{Ports, Server},
    status,
    wait::{STUCK, wait_for},
};
use serde_json::Value;

use crate::scene::{self, ECHO, LIMIT, Scene, WEB, all_go_on};

/// Seconds of a rise, in steps of one.
const RISE: u32 = 16;
/// For what waits for the end of a rise.
const OVER: Duration = Duration::from_secs(RISE as u64 + 20);
const REQUESTS: usize = 1_000;
const BEAT: Duration = Duration::from_millis(100);
const HEALTH: Ports = Ports { http: 8080, echo: 8081 };

/// A pool of `algorithm` with slow start and of two backends, the second of which is still to come.
fn start(algorithm: &str) -> Result<(Scene, Vec<Member>)> {
    let shape = |pool: Pool| pool.by(algorithm).rising_in(RISE);
    Scene::start_of(2, Forwarding::Ipip, |lab: &Lab| {
        let mut config = scene::config(lab, Forwarding::Ipip, shape);
        let second = config.pools.iter_mut().filter_map(|pool| pool.members.pop()).collect();
        Ok((config, second))
    })
}

/// What is due to a member, and what it has.
#[derive(Debug)]
struct Look {
    /// How far it has risen, 0 to 1.
    part: f64,
    /// Seconds until it has all of its share.
    full_in: f64,
    /// Its part of the pool's new connections, 0 to 1.
    share: f64,
    slots: f64,
    all_slots: f64,
}

impl Scene {
    /// The second backend comes into both pools; when it was added at the earliest.
    fn add(&mut self, second: Vec<Member>) -> Result<Instant> {
        for (pool, member) in self.config.pools.iter_mut().zip(second) {
            pool.members.push(member);
        }
        let at = Instant::now();
        self.agent.reload(&self.config)?;
        self.wait_rising(0.0)?;
        Ok(at)
    }

    /// Events of the second backend's slow start in the pool of HTTP, the oldest first.
    fn rise_events(&self) -> Result<Vec<String>> {
        let member = self.member(1).to_string();
        let said = self.agent.run(&["events", "--pool", WEB, "--member", &member, "-o", "json"])?;
        let lines = said.lines().map(serde_json::from_str::<Value>);
        let events = lines.collect::<Result<Vec<_>, _>>()?;
        let kinds = events.iter().filter_map(|event| event["event"].as_str());
        Ok(kinds.filter(|kind| kind.starts_with("slow_start")).map(str::to_owned).collect())
    }

    fn look(&self, pool: &str) -> Result<Look> {
        look(&self.agent.status()?, pool, self.member(1)).context("it is no member")
    }

    /// Waits until the second backend has risen so far in the pool of HTTP, and more than nothing.
    fn wait_rising(&self, part: f64) -> Result<()> {
        let risen = |said: &Value| {
            let look = look(said, WEB, self.member(1));
            look.is_some_and(|look| look.share > 0.0 && look.part >= part)
        };
        self.agent.wait_status(&format!("{part} of the rise"), OVER, risen).map(drop)
    }

    /// Requests, of which the second backend gets what is due to it meanwhile, give or take a part of all.
    fn is_due(&self, chance: f64) -> Result<HttpReport> {
        let before = self.look(WEB)?;
        let report = self.request(REQUESTS)?;
        let after = self.look(WEB)?;
        assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
        let got = report.share("backend-1");
        let (least, most) = (before.part / 2.0 - chance, after.part / 2.0 + chance);
        assert!((least..=most).contains(&got), "{got} between {before:?} and {after:?}");
        Ok(report)
    }
}

fn look(said: &Value, pool: &str, member: IpAddr) -> Option<Look> {
    let one = status::member(said, pool, member)?;
    let rising = &one["rising"];
    Some(Look {
        part: if rising.is_null() { 1.0 } else { rising["part"].as_f64()? },
        full_in: if rising.is_null() { 0.0 } else { rising["full_in"].as_f64()? },
        share: one["share"].as_f64()?,
        slots: one["slots"].as_f64()?,
        all_slots: status::pool(said, pool)?["slots"].as_f64()?,
    })
}

/// Five times the deviation that chance makes of `REQUESTS` of which a half is due at the most.
fn chance() -> f64 {
    5.0 * (0.25 / REQUESTS as f64).sqrt()
}

/// Nothing rises sooner than it may: half at half of the time, whatever an agent that is late does. The
/// clock of a rise counts whole seconds, so that it may show one that has only begun, and a step is the mean
/// of its second.
fn is_not_early(look: &Look, passed: Duration) {
    const CLOCK: f64 = 1.0;
    const HALF_STEP: f64 = 0.5;
    let most = (passed.as_secs_f64() + CLOCK + HALF_STEP) / f64::from(RISE);
    assert!(look.part <= most, "{look:?} after {passed:?}");
}

#[test]
fn a_new_member_rises_to_its_share_across_a_restart() -> Result<()> {
    let (mut scene, second) = start("5_TUPLE_HASH")?;
    let first = scene.look_of_first()?;
    assert!((first - 1.0).abs() < f64::EPSILON, "a first ring is whole: {first}");
    let before = HeldConnections::open(scene.lab.client(), scene.echo(), 60, BEAT)?;

    let added = scene.add(second)?;
    let look = scene.look(WEB)?;
    is_not_early(&look, added.elapsed());
    scene.is_due(chance())?;
    let early = HeldConnections::open(scene.lab.client(), scene.echo(), 60, BEAT)?;
    let text = scene.agent.run(&["status"])?;
    let says_so = text.contains(" of its share, all of it in ");
    assert!(says_so || scene.look(WEB)?.part == 1.0, "{text}");

    // About half of the share at half of the time; slots are counted, connections made.
    scene.wait_rising(0.47)?;
    let half = scene.look(WEB)?;
    is_not_early(&half, added.elapsed());
    assert!((half.share - half.part / 2.0).abs() < 0.01, "{half:?}");
    assert!((half.slots / half.all_slots - half.share).abs() < 0.001, "{half:?}");
    scene.is_due(chance())?;
    let midway = HeldConnections::open(scene.lab.client(), scene.echo(), 60, BEAT)?;

    // The next agent goes on where this one was: with no less, and to an end that is as near.
    let last = scene.look(WEB)?;
    scene.agent.restart()?;
    let next = scene.look(WEB)?;
    is_not_early(&next, added.elapsed());
    assert!(next.slots >= last.slots && next.full_in <= last.full_in, "{last:?}, then {next:?}");
    scene.is_due(chance())?;

    scene.wait_rising(1.0)?;
    assert!(added.elapsed() >= Duration::from_secs(u64::from(RISE) - 1), "{:?}", added.elapsed());
    let full = scene.look(WEB)?;
    assert!((full.share - 0.5).abs() < 0.01, "{full:?}");
    scene.is_due(chance())?;
    scene.agent.restart()?;
    let still = scene.look(WEB)?;
    assert_eq!((still.part, still.slots), (1.0, full.slots), "who has risen has its share");
    // Each once, although agents came and went.
    assert_eq!(scene.rise_events()?, ["slow_start", "slow_start_over"]);
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    all_go_on([("before", before), ("early", early), ("midway", midway)])
}

/// A member that fails its probes, and works again, rises as a new one does.
#[test]
fn a_member_that_recovers_rises_again() -> Result<()> {
    let (scene, mut health) = Scene::start_of(2, Forwarding::Ipip, |lab: &Lab| {
        let shape = |pool: Pool| {
            let pool = pool.by("ROUND_ROBIN").rising_in(RISE);
            pool.monitored_on(MonitorKind::Http, HEALTH.http)
        };
        let backends = lab.backends().iter().enumerate();
        let start = |(n, netns)| Server::start_on(netns, &format!("health-{n}"), HEALTH);
        let health = backends.map(start).collect::<Result<Vec<_>>>()?;
        Ok((scene::config(lab, Forwarding::Ipip, shape), health))
    })?;
    let all = [scene.member(0), scene.member(1)];
    scene.agent.wait_members(&all, "ONLINE", LIMIT)?;
    assert_eq!(scene.look(WEB)?.part, 1.0, "a first ring");
    let before = scene.held_on(&[0, 1])?;

    health[1].kill()?;
    scene.agent.wait_members(&[scene.member(1)], "OFFLINE", LIMIT)?;
    wait_for(
        "the others to have all",
        LIMIT,
        || Ok((scene.look(WEB)?.slots == 0.0).then_some(())),
    )?;
    let from = Instant::now();
    health[1].restart()?;
    scene.agent.wait_members(&[scene.member(1)], "ONLINE", LIMIT)?;
    scene.wait_rising(0.0)?;
    assert_eq!(scene.rise_events()?.first().map(String::as_str), Some("slow_start"));
    is_not_early(&scene.look(WEB)?, from.elapsed());
    // Turns are exact, apart from the requests that are under way together.
    scene.is_due(0.02)?;
    let diagnosed =
        scene.agent.end(&["diagnose", &format!("{WEB}/{}", scene.name_of_second()?)], STUCK)?;
    let is_said = diagnosed.printed.contains("it rises: ");
    assert!(is_said || scene.look(WEB)?.part == 1.0, "{}", diagnosed.printed);
    scene.wait_rising(0.47)?;
    scene.is_due(0.02)?;
    scene.wait_rising(1.0)?;
    let report = scene.is_due(0.02)?;
    assert!((report.share("backend-1") - 0.5).abs() < 0.01);
    all_go_on([("before", before)])
}

/// A new member has no connections, and so would get all new ones: it gets no more than it has risen to.
#[test]
fn a_new_member_rises_where_the_fewest_connections_count() -> Result<()> {
    let (mut scene, second) = start("LEAST_CONNECTIONS")?;
    let mut held = scene.hold_a_hundred()?;
    scene.add(second)?;
    for part in [0.0, 0.47] {
        scene.wait_rising(part)?;
        let before = scene.look(ECHO)?;
        held.extend(scene.hold_a_hundred()?);
        let after = scene.look(ECHO)?;
        let (has, all) = (on_second(&held) as f64, held.len() as f64 * AT_ONCE as f64);
        let most = after.part / 2.0 * all + AT_ONCE as f64;
        assert!(has <= most, "{has} of {all} between {before:?} and {after:?}");
        assert!(has > 0.0 || part == 0.0, "{has} of {all} between {before:?} and {after:?}");
    }
    scene.wait_rising(1.0)?;
    // It lacks 150 of the first 300 at the most.
    held.extend(scene.hold_a_hundred()?);
    held.extend(scene.hold_a_hundred()?);
    let (has, all) = (on_second(&held), held.len() * AT_ONCE);
    assert!(has.abs_diff(all / 2) <= AT_ONCE, "{has} of {all}: it has caught up");
    all_go_on(held.into_iter().map(|held| ("held", held)))
}

/// Connections that are opened together: they do not count for each other yet.
const AT_ONCE: usize = 10;

/// How many of these connections the second backend has.
fn on_second(held: &[HeldConnections]) -> usize {
    held.iter().map(|held| held.so_far().on("backend-1").len()).sum()
}

impl Scene {
    /// The share of the first backend.
    fn look_of_first(&self) -> Result<f64> {
        let said = self.agent.status()?;
        let one = status::member(&said, WEB, self.member(0)).context("it is no member")?;
        one["share"].as_f64().context("it has no share")
    }

    fn hold_a_hundred(&self) -> Result<Vec<HeldConnections>> {
        let hold = |_| HeldConnections::open(self.lab.client(), self.echo(), AT_ONCE, BEAT);
        (0..100 / AT_ONCE).map(hold).collect()
    }

    /// What the second backend is called.
    fn name_of_second(&self) -> Result<String> {
        let said = self.agent.status()?;
        let one = status::member(&said, WEB, self.member(1)).context("it is no member")?;
        Ok(one["name"].as_str().context("it has no name")?.to_owned())
    }
}
