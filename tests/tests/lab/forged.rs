//! Forged segments: two listeners are flooded at once while all slots move, and a member is drained while
//! segments of no one's connections keep coming.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use elb_tests::{
    address::Family,
    client::{HeldConnections, Load, http_requests},
    config::{Config, Forwarding, Listener, Pool, Protocol},
    environment,
    generated::Segment,
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT, Service},
};

use crate::{
    load::{assert_due, of_listener, since},
    scene::{ECHO, LIMIT, SHORT, Scene, WEB},
};

/// The pool that all ports but one belong to, and the listeners that are flooded.
const SHARED: &str = "shared";
const OPENED: &str = "opened";
const ANSWERED: &str = "answered";
const OPENED_PORT: u16 = 9001;
const ANSWERED_PORT: u16 = 9002;
/// A second service of echoes, of a pool of its own.
const OTHER: &str = "other";
const OTHER_PORT: u16 = 1007;

/// Protected connections in all, unless `ELB_LAB_PROTECTED` says how many.
const PROTECTED: usize = 10_000;
/// They are idle most of the time.
const IDLE: Duration = Duration::from_secs(8);
/// What is promised for a drain meanwhile; twice as much here, since machines that run tests are busy.
const DRAINED: Duration = Duration::from_secs(2 * SHORT as u64 + 15);
/// Forged segments of each kind, each of a source of its own.
const SOURCES: u32 = 1 << 20;

/// Listeners of one pool for HTTP, echoes and both floods, and a pool of its own for other echoes.
fn flooded(lab: &Lab) -> Config {
    let start = [0, 0, 0, 1];
    let shared = Pool::of(lab, SHARED, Family::V4, Protocol::Tcp, 0).any_port().weights(&start);
    let other = Pool::of(lab, OTHER, Family::V4, Protocol::Tcp, OTHER_PORT).weights(&start);
    let config = Config::new(lab).balance(lab, Family::V4, HTTP_PORT, shared);
    let mut config = config.balance(lab, Family::V4, OTHER_PORT, other);
    let listeners = &mut config.load_balancers[0].listeners;
    let like = listeners[0].clone();
    for (name, port) in [(ECHO, ECHO_PORT), (OPENED, OPENED_PORT), (ANSWERED, ANSWERED_PORT)] {
        listeners.push(Listener { name: name.to_owned(), protocol_port: port, ..like.clone() });
    }
    config.listener_mut(SHARED).name = WEB.to_owned();
    config
}

#[test]
fn floods_at_two_listeners_harm_no_third() -> Result<()> {
    let (mut scene, _others) = Scene::start_of(4, Forwarding::Ipip, |lab: &Lab| {
        let start = |(index, netns)| {
            let offers = [(Service::Echo, OTHER_PORT)];
            Server::start_with(netns, &lab.backend_name(index), &offers, None)
        };
        let others = lab.backends().iter().enumerate().map(start).collect::<Result<Vec<_>>>()?;
        Ok((flooded(lab), others))
    })?;
    // To two listeners before the change, and to both after it.
    let quarter = environment::number("ELB_LAB_PROTECTED", PROTECTED)? / 4;
    environment::allow_descriptors(4 * quarter)?;
    let hold = |scene: &Scene| -> Result<Vec<HeldConnections>> {
        let targets = [ECHO_PORT, OTHER_PORT].map(|port| scene.lab.service(Family::V4, port));
        let open = |target| HeldConnections::open(scene.lab.client(), target, quarter, IDLE);
        targets.into_iter().map(open).collect()
    };
    let mut protected = hold(&scene)?;
    for pool in &mut scene.config.pools {
        let weights = [1, 2, 1, 0];
        pool.members.iter_mut().zip(weights).for_each(|(member, weight)| member.weight = weight);
    }
    let last = scene.member(3);
    scene.reload("another ring", |said| {
        [SHARED, OTHER].iter().all(|pool| status::slots(said, pool).get(&last) == Some(&0))
    })?;
    protected.extend(hold(&scene)?);

    let begun = Instant::now();
    let opening = scene.stream(0, OPENED_PORT, &[Segment::Syn], None)?;
    let answered = scene.stream(1, ANSWERED_PORT, &[Segment::Ack], None)?;
    let load = Load { timeout: Duration::from_secs(20), ..Load::on(scene.web()) };
    let http = http_requests(scene.lab.client(), load, 4_000)?;
    assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
    wait_for("a million sources of each flood", 6 * LIMIT, || {
        Ok((opening.played().min(answered.played()) >= SOURCES).then_some(()))
    })?;
    let before: Vec<_> = protected.iter().map(HeldConnections::so_far).collect();
    wait_for("an answer on every protected connection", 3 * LIMIT, || {
        let mut pairs = protected.iter().zip(&before);
        Ok(pairs.all(|(now, before)| now.so_far().is_beyond(before, 1)).then_some(()))
    })?;
    let (opening, answered) = (opening.stop()?, answered.stop()?);
    println!("{opening} forged openings, {answered} others within {:?}", begun.elapsed());

    let said = scene.agent.status()?;
    let answers = http.answers_by_backend();
    let of = |index| answers.get(&scene.lab.backend_name(index)).copied().unwrap_or(0) as u64;
    let slots = scene.by_member(&said, SHARED, "slots")?;
    assert_due("answers", &[of(0), of(1), of(2)], &slots[..3]);
    for held in protected {
        let report = held.stop()?;
        assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    }
    for listener in [WEB, ECHO, OTHER, OPENED, ANSWERED] {
        println!(
            "{listener}: {} records refused",
            of_listener(&said, listener, "refused_records")?
        );
    }
    for listener in [WEB, ECHO, OTHER] {
        assert_eq!(of_listener(&said, listener, "refused_records")?, 0, "{listener}");
    }
    Ok(())
}

/// Backscatter, as from a flood elsewhere that forges this address: 500 segments a second.
#[test]
fn a_member_drains_while_segments_of_no_connection_come() -> Result<()> {
    let scene = Scene::start_short(2, |pool| pool)?;
    let stream = scene.stream(0, ECHO_PORT, &[Segment::Ack], Some(500))?;
    let member = scene.member(1).to_string();
    let begun = Instant::now();
    let waiting = scene.agent.start_command(&["drain", &member, "--pool", ECHO, "--wait"])?;
    sleep(Duration::from_secs(1));
    let before = scene.packets(ECHO)?;
    let printed = waiting.finish(2 * DRAINED)?;
    println!("drained within {:?}, {DRAINED:?} are promised", begun.elapsed());
    assert!(printed.ends_with("nothing is left\n"), "{printed}");
    let got = since(&before, &scene.packets(ECHO)?);
    println!("{got:?} packets meanwhile, {:.0} a second", stream.rate());
    assert!(got.iter().sum::<u64>() > 1_000, "{got:?}");
    stream.stop().map(drop)
}
