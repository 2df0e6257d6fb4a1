//! Listeners that change their pool by reload: connections go on where they are, new ones go to the new
//! pool at once, and nothing of another listener is inherited.

use std::time::{Duration, Instant};

use anyhow::Result;
use elb_tests::{
    address::Family,
    client::{FailureKind, HeldConnections, UdpFlows},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wait::wait_for,
    wire::ECHO_PORT,
};

use crate::{
    load::is_settled,
    scene::{ECHO, LIMIT, SHORT, Scene},
};

const BLUE: &str = "blue";
const GREEN: &str = "green";
const HELD: usize = 100;
const BEAT: Duration = Duration::from_millis(200);
/// The most that datagrams may take to follow a listener.
const FOLLOWED: Duration = Duration::from_secs(SHORT as u64 + 15);

/// Echoes of the first two backends, and of the last two; the listener serves the first. Both pools choose
/// as `algorithm` says, or by the hash of flows.
fn blue_and_green(protocol: Protocol, algorithm: Option<&str>) -> Result<Scene> {
    let (scene, ()) = Scene::start_of(4, Forwarding::Ipip, |lab: &Lab| {
        let mut blue = Pool::of(lab, BLUE, Family::V4, protocol, ECHO_PORT);
        blue.lb_algorithm = algorithm.map(str::to_owned);
        let mut green = Pool { name: GREEN.to_owned(), ..blue.clone() };
        green.members.drain(..2);
        blue.members.truncate(2);
        let mut config = Config::new(lab).balance(lab, Family::V4, ECHO_PORT, blue);
        config.listener_mut(BLUE).name = ECHO.to_owned();
        config.pools.push(green);
        Ok((config.idle_after(SHORT), ()))
    })?;
    Ok(scene)
}

impl Scene {
    /// Lets the listener serve another pool.
    fn switch(&mut self, pool: &str) -> Result<()> {
        self.config.listener_mut(ECHO).default_pool = pool.to_owned();
        let serves = |said: &_| {
            status::listener(said, ECHO).is_some_and(|listener| listener["default_pool"] == pool)
        };
        self.reload(&format!("the pool {pool} to serve"), serves).map(drop)
    }

    fn open(&self, count: usize) -> Result<HeldConnections> {
        HeldConnections::open(self.lab.client(), self.echo(), count, BEAT)
    }

    /// New connections, which go to exactly these backends, and stay.
    fn open_on(&self, backends: &[usize]) -> Result<HeldConnections> {
        let held = self.open(HELD)?;
        let report = held.so_far();
        let on = |index: &usize| report.on(&self.lab.backend_name(*index)).len();
        let counts: Vec<_> = backends.iter().map(on).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert_eq!(counts.iter().sum::<usize>(), HELD, "{counts:?} on {backends:?}");
        Ok(held)
    }
}

/// Each connection gets more answers, of its own member.
fn go_on(what: &str, held: &[HeldConnections]) -> Result<()> {
    for held in held {
        let before = held.so_far();
        wait_for(&format!("answers on every connection {what}"), LIMIT, || {
            let broken = held.first_broken();
            assert!(broken.is_none(), "{what}: {broken:?}");
            Ok(held.so_far().is_beyond(&before, 3).then_some(()))
        })?;
    }
    Ok(())
}

/// Longer, in seconds, than any flow without a record could be protected, which these are not.
fn go_on_for(seconds: u32, what: &str, held: &[HeldConnections]) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds.into()) {
        go_on(what, held)?;
    }
    Ok(())
}

fn end(held: Vec<HeldConnections>) -> Result<()> {
    for held in held {
        let report = held.stop()?;
        assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    }
    Ok(())
}

/// There and back again within the idle timeout, and there once more when the pool is removed: by a later
/// reload, and by the same one.
fn connections_stay(algorithm: Option<&str>) -> Result<()> {
    let mut scene = blue_and_green(Protocol::Tcp, algorithm)?;
    let mut held = vec![scene.open_on(&[0, 1])?];
    scene.switch(GREEN)?;
    held.push(scene.open_on(&[2, 3])?);
    go_on("after the switch", &held)?;
    scene.switch(BLUE)?;
    held.push(scene.open_on(&[0, 1])?);
    go_on("after the way back", &held)?;

    scene.switch(GREEN)?;
    held.push(scene.open_on(&[2, 3])?);
    let blue = scene.config.pools.remove(0);
    scene.reload("the pool to be removed", |said| status::pool(said, GREEN).is_some())?;
    held.push(scene.open_on(&[2, 3])?);
    go_on("after the pool was removed", &held)?;

    scene.config.pools = vec![blue];
    scene.switch(BLUE)?;
    held.push(scene.open_on(&[0, 1])?);
    go_on("after the other pool was removed by the same reload", &held)?;
    go_on_for(2 * SHORT + 2, "until all is settled", &held)?;
    end(held)?;
    let drops = status::drops(&scene.agent.status()?);
    assert_eq!(drops, Vec::<String>::new());
    if algorithm.is_none() {
        let settled = |said: &_| is_settled(said, BLUE);
        scene.agent.wait_status("the pool to be settled", 2 * FOLLOWED, settled)?;
    }
    Ok(())
}

#[test]
fn connections_outlive_a_change_of_pool() -> Result<()> {
    connections_stay(None)
}

#[test]
fn connections_outlive_a_change_of_pool_that_takes_turns() -> Result<()> {
    connections_stay(Some("ROUND_ROBIN"))
}

/// All that shows where connections with a drained member are is their records: its slots keep asking for them while
/// the listener serves another pool, for as long as it likes.
#[test]
fn connections_with_a_drained_member_outlive_a_way_out_and_back() -> Result<()> {
    let mut scene = blue_and_green(Protocol::Tcp, None)?;
    let held = [scene.open_on(&[0, 1])?];
    let drained = scene.lab.member_addr(0, Family::V4).to_string();
    scene.agent.run(&["drain", &drained, "--pool", BLUE])?;
    go_on_for(2 * SHORT + 2, "while the member is drained", &held)?;
    scene.switch(GREEN)?;
    go_on_for(2 * SHORT + 2, "while the listener serves another pool", &held)?;
    scene.switch(BLUE)?;
    go_on_for(2 * SHORT + 2, "until nothing shows that the listener was moved", &held)?;
    end(held.into())?;
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

/// Datagrams have no end: those that go on follow.
#[test]
fn datagrams_follow_to_the_new_pool() -> Result<()> {
    let mut scene = blue_and_green(Protocol::Udp, Some("ROUND_ROBIN"))?;
    let flows = UdpFlows::open(scene.lab.client(), scene.echo(), 40, BEAT)?;
    let on = |scene: &Scene, backends: [usize; 2]| {
        let report = flows.so_far();
        backends.map(|index| report.on(&scene.lab.backend_name(index)).len()).iter().sum::<usize>()
    };
    assert_eq!(on(&scene, [0, 1]), 40);
    scene.switch(GREEN)?;
    let switched = Instant::now();
    wait_for("all flows to be served by the new pool", FOLLOWED, || {
        Ok((on(&scene, [2, 3]) == 40).then_some(()))
    })?;
    println!("all flows followed within {:?}", switched.elapsed());
    let report = flows.stop()?;
    assert!(report.flows.iter().all(|flow| flow.backends.len() == 2), "each moves once");
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

/// One reload removes a listener and puts another tenant's in its place: what the first one's
/// connections send is never for its members again.
#[test]
fn another_listener_in_the_same_place_inherits_nothing() -> Result<()> {
    for algorithm in [None, Some("ROUND_ROBIN")] {
        let mut scene = blue_and_green(Protocol::Tcp, algorithm)?;
        let held = scene.open_on(&[0, 1])?;
        let green = scene.config.pools.remove(1);
        scene.config.pools = vec![green];
        let listener = scene.config.listener_mut(ECHO);
        listener.name = "tenant".to_owned();
        listener.default_pool = GREEN.to_owned();
        scene.reload("the other listener", |said| status::listener(said, "tenant").is_some())?;
        let new = scene.open_on(&[2, 3])?;
        wait_for("the connections of before to be reset", LIMIT, || {
            Ok((held.so_far().broken().len() == HELD).then_some(()))
        })?;
        let report = held.stop()?;
        let kinds = report.broken().into_iter().filter_map(|one| one.failure.as_ref());
        assert!(
            kinds.clone().all(|failure| failure.kind == FailureKind::Reset),
            "{:?}",
            kinds.map(|failure| failure.kind).collect::<Vec<_>>()
        );
        go_on("of the new listener", std::slice::from_ref(&new))?;
        assert_eq!(new.stop()?.broken().len(), 0);
    }
    Ok(())
}
