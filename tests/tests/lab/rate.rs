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
/// Generated connections a second to each, at most: together as many as are promised.
const RATE: u32 = 100_000;
/// More than are under way at a time.
const UNDER_WAY: u32 = RATE / 2;

/// Real and generated connections from now on, on both listeners.
struct Crowd {
    http: HttpLoad,
    streams: Vec<Stream>,
}

impl Crowd {
    fn start(scene: &Scene) -> Result<Self> {
        let load = Load {
            concurrency: 16,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(20),
            limit: Duration::from_secs(180),
            ..Load::on(scene.web())
        };
        let ports = [HTTP_PORT, ECHO_PORT].into_iter().zip(0..);
        let streams = ports.map(|(port, n)| scene.stream(n, port, &HANDSHAKE, Some(RATE)));
        let streams = streams.collect::<Result<_>>()?;
        Ok(Self { http: HttpLoad::start(scene.lab.client(), load), streams })
    }

    /// New connections of each pool, and real ones, are shared as the ring says.
    fn is_shared(&self, scene: &Scene, when: &str) -> Result<()> {
        // Connections that began before are those of others.
        let earlier = self.played();
        wait_for("new connections", LIMIT, || {
            Ok((self.played() - earlier > UNDER_WAY).then_some(()))
        })?;
        let (begun, before) = (Instant::now(), self.played());
        let packets = POOLS.map(|pool| scene.packets(pool));
        sleep(WINDOW);
        let said = scene.agent.status()?;
        let played = self.played() - before;
        let rate = f64::from(played) / begun.elapsed().as_secs_f64();
        let real = self.http.so_far().since(begun);
        let real_rate = real.answered() as f64 / begun.elapsed().as_secs_f64();
        println!("{when}: {rate:.0} generated connections a second, {real_rate:.0} real ones");
        for (pool, before) in POOLS.iter().zip(packets) {
            let slots = scene.by_member(&said, pool, "slots")?;
            let got = since(&before?, &scene.by_member(&said, pool, "packets")?);
            assert_due(&format!("{when}, {pool}"), &got[..3], &slots[..3]);
            // The last one owns nothing: what it gets is of connections that it had.
            let beats = begun.elapsed().as_millis() / BEAT.as_millis() + 1;
            let held = HELD as u64 * PER_BEAT * u64::try_from(beats)?;
            assert!(got[3] < held + got.iter().sum::<u64>() / 50, "{when}, {pool}: {got:?}");
        }
        let answers = real.answers_by_backend();
        let of = |index| answers.get(&scene.lab.backend_name(index)).copied().unwrap_or(0) as u64;
        let slots = scene.by_member(&said, WEB, "slots")?;
        assert_due(&format!("{when}, real ones"), &[of(0), of(1), of(2)], &slots[..3]);
        assert_eq!(of(3), 0, "a member without weight got new connections");
        Ok(())
    }

    fn played(&self) -> u32 {
        self.streams.iter().map(Stream::played).sum()
    }
}

/// All of the slots change their owner at once. Held connections are with the owner before and with
/// the ones after.
#[test]
fn shares_hold_and_rings_settle_at_any_rate() -> Result<()> {
    let (mut scene, ()) = Scene::start_of(4, Forwarding::Ipip, |lab: &Lab| {
        let config = scene::config(lab, Forwarding::Ipip, |pool| pool.weights(&[0, 0, 0, 1]));
        Ok((config.idle_after(SHORT), ()))
    })?;
    let hold = |scene: &Scene| HeldConnections::open(scene.lab.client(), scene.echo(), HELD, BEAT);
    let older = hold(&scene)?;
    let crowd = Crowd::start(&scene)?;

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

    let Crowd { http, streams } = crowd;
    let http = http.stop()?;
    assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
    let generated: u32 = streams.into_iter().map(Stream::stop).sum::<Result<_>>()?;
    println!("{} real connections, {generated} generated ones", http.answered());
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
