//! Shares and connections at a high rate of new connections, real and generated, while all slots move.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use elb_tests::{
    client::{HeldConnections, HttpLoad, Load},
    config::Forwarding,
    generated::Stream,
    lab::Lab,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use crate::{
    load::{HANDSHAKE, WINDOW, assert_due, is_settled, of_listener, since},
    scene::{self, ECHO, LIMIT, SHORT, Scene, WEB},
};

/// Connections with the owner before, and as many with the ones after.
const HELD: usize = 150;
const BEAT: Duration = Duration::from_millis(500);
/// Packets of a client for each line, at most: the line, and what it acknowledges.
const PER_BEAT: u64 = 3;
/// What is promised for a pool to settle after its last older flow ended; twice as much here, since
/// machines that run tests are busy.
const SETTLED: Duration = Duration::from_secs(SHORT as u64 + 15);
const POOLS: [&str; 2] = [WEB, ECHO];
/// Where generated connections go: two streams for each listener, since the kernel keeps one waiting for
/// most of its time.
const STREAMS: [u16; 4] = [HTTP_PORT, ECHO_PORT, HTTP_PORT, ECHO_PORT];
/// Generated connections a second of each stream, at most: together more than are promised.
const RATE: u32 = 75_000;
/// More than are under way at a time.
const UNDER_WAY: u32 = RATE;
/// More real ones than are under way at a time.
const REAL_UNDER_WAY: usize = 1_000;

/// Connections from now on: generated ones on both listeners, real ones on one.
struct Crowd {
    http: Option<HttpLoad>,
    streams: Vec<Stream>,
}

impl Crowd {
    fn of_both(scene: &Scene) -> Result<Self> {
        let Self { streams, .. } = Self::generated(scene)?;
        Ok(Self { streams, ..Self::real(scene) })
    }

    fn real(scene: &Scene) -> Self {
        let load = Load {
            concurrency: 32,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(20),
            limit: Duration::from_secs(180),
            ..Load::on(scene.web())
        };
        Self { http: Some(HttpLoad::start(scene.lab.client(), load)), streams: Vec::new() }
    }

    fn generated(scene: &Scene) -> Result<Self> {
        let ports = STREAMS.into_iter().zip(0..);
        let streams = ports.map(|(port, n)| scene.stream(n, port, &HANDSHAKE, Some(RATE)));
        Ok(Self { http: None, streams: streams.collect::<Result<_>>()? })
    }

    /// New connections of each pool that has any, and real ones, are shared as the ring says.
    fn is_shared(&self, scene: &Scene, when: &str) -> Result<()> {
        // Connections that began before are those of others.
        let (earlier, earlier_real) = (self.played(), self.answered());
        wait_for("new connections", LIMIT, || {
            let generated = self.streams.is_empty() || self.played() - earlier > UNDER_WAY;
            let real = self.http.is_none() || self.answered() - earlier_real > REAL_UNDER_WAY;
            Ok((generated && real).then_some(()))
        })?;
        let (begun, before) = (Instant::now(), self.played());
        let packets = POOLS.map(|pool| scene.packets(pool));
        sleep(WINDOW);
        let said = scene.agent.status()?;
        let rate = f64::from(self.played() - before) / begun.elapsed().as_secs_f64();
        println!("{when}: {rate:.0} generated connections a second");
        if !self.streams.is_empty() {
            Self::packets_are_shared(scene, &said, packets, begun, when)?;
        }
        let Some(http) = &self.http else { return Ok(()) };
        let real = http.so_far().since(begun);
        let rate = real.answered() as f64 / begun.elapsed().as_secs_f64();
        println!("{when}: {rate:.0} real connections a second");
        let answers = real.answers_by_backend();
        let of = |index| answers.get(&scene.lab.backend_name(index)).copied().unwrap_or(0) as u64;
        let slots = scene.by_member(&said, WEB, "slots")?;
        assert_due(&format!("{when}, real ones"), &[of(0), of(1), of(2)], &slots[..3]);
        assert_eq!(of(3), 0, "a member without weight got new connections");
        Ok(())
    }

    fn packets_are_shared(
        scene: &Scene,
        said: &Value,
        packets: [Result<Vec<u64>>; 2],
        begun: Instant,
        when: &str,
    ) -> Result<()> {
        for (pool, before) in POOLS.iter().zip(packets) {
            let slots = scene.by_member(said, pool, "slots")?;
            let got = since(&before?, &scene.by_member(said, pool, "packets")?);
            assert_due(&format!("{when}, {pool}"), &got[..3], &slots[..3]);
            // The last one owns nothing: what it gets is of connections that it had.
            let beats = begun.elapsed().as_millis() / BEAT.as_millis() + 1;
            let held = HELD as u64 * PER_BEAT * u64::try_from(beats)?;
            assert!(got[3] < held + got.iter().sum::<u64>() / 50, "{when}, {pool}: {got:?}");
        }
        Ok(())
    }

    fn played(&self) -> u32 {
        self.streams.iter().map(Stream::played).sum()
    }

    fn answered(&self) -> usize {
        self.http.as_ref().map_or(0, |http| http.so_far().answered())
    }

    /// No real connection failed.
    fn stop(self) -> Result<()> {
        if let Some(http) = self.http {
            let http = http.stop()?;
            assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
            println!("{} real connections", http.answered());
        }
        let generated: u32 = self.streams.into_iter().map(Stream::stop).sum::<Result<_>>()?;
        println!("{generated} generated connections");
        Ok(())
    }
}

/// Two pools of four members, the last of which owns all slots.
fn start() -> Result<Scene> {
    let (scene, ()) = Scene::start_of(4, Forwarding::Ipip, |lab: &Lab| {
        let config = scene::config(lab, Forwarding::Ipip, |pool| pool.weights(&[0, 0, 0, 1]));
        Ok((config.idle_after(SHORT), ()))
    })?;
    Ok(scene)
}

/// All of the slots change their owner at once. When that was.
fn change_all(scene: &mut Scene) -> Result<Instant> {
    for pool in POOLS {
        let weights = [1, 2, 1, 0];
        let pool = scene.config.pool_mut(pool);
        pool.members.iter_mut().zip(weights).for_each(|(member, weight)| member.weight = weight);
    }
    let last = scene.member(3);
    let owns_nothing =
        |said: &_| POOLS.iter().all(|pool| status::slots(said, pool).get(&last) == Some(&0));
    let said = scene.reload("another ring", owns_nothing)?;
    let changed = Instant::now();
    let moving = POOLS.map(|pool| status::pool(&said, pool).map(|p| p["moving_slots"].clone()));
    assert!(moving.iter().all(|slots| slots == &Some(65_537.into())), "{moving:?}");
    Ok(changed)
}

/// Held connections are with the owner before and with the ones after.
#[test]
fn shares_hold_and_rings_settle_at_any_rate() -> Result<()> {
    let mut scene = start()?;
    let hold = |scene: &Scene| HeldConnections::open(scene.lab.client(), scene.echo(), HELD, BEAT);
    let older = hold(&scene)?;
    let crowd = Crowd::of_both(&scene)?;
    let changed = change_all(&mut scene)?;
    crowd.is_shared(&scene, "at once")?;
    let newer = hold(&scene)?;
    sleep(Duration::from_secs(u64::from(SHORT) + 2).saturating_sub(changed.elapsed()));
    crowd.is_shared(&scene, "after the idle timeout")?;

    scene
        .agent
        .wait_status("the ring of HTTP to be settled", 2 * SETTLED, |said| is_settled(said, WEB))?;
    println!("settled {:?} after the change, {SETTLED:?} are promised", changed.elapsed());
    assert!(!is_settled(&scene.agent.status()?, ECHO), "older connections are there");
    assert_eq!(older.stop()?.broken().len(), 0);
    let ended = Instant::now();
    scene.agent.wait_status("the ring of echoes to be settled", 2 * SETTLED, |said| {
        is_settled(said, ECHO)
    })?;
    println!("settled {:?} after the last older flow ended", ended.elapsed());
    crowd.is_shared(&scene, "settled")?;

    crowd.stop()?;
    let newer = newer.stop()?;
    assert_eq!(newer.broken().len(), 0, "{:?}", newer.broken());
    let said = scene.agent.status()?;
    for pool in POOLS {
        let refused = of_listener(&said, pool, "refused_records")?;
        assert_eq!(refused, 0, "{pool}");
    }
    assert_eq!(status::drops(&said), Vec::<String>::new());
    Ok(())
}

/// As many generated connections as there can be.
#[test]
fn shares_hold_among_generated_connections() -> Result<()> {
    shares_hold_among(Crowd::generated)
}

/// As many real connections as there can be.
#[test]
fn shares_hold_among_real_connections() -> Result<()> {
    shares_hold_among(|scene| Ok(Crowd::real(scene)))
}

fn shares_hold_among(crowd: impl Fn(&Scene) -> Result<Crowd>) -> Result<()> {
    let mut scene = start()?;
    let held = HeldConnections::open(scene.lab.client(), scene.echo(), HELD, BEAT)?;
    let crowd = crowd(&scene)?;
    let changed = change_all(&mut scene)?;
    crowd.is_shared(&scene, "at once")?;
    sleep(Duration::from_secs(u64::from(SHORT) + 2).saturating_sub(changed.elapsed()));
    crowd.is_shared(&scene, "after the idle timeout")?;
    crowd.stop()?;
    let held = held.stop()?;
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
    Ok(())
}
