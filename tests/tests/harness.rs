//! The harness itself, without a load balancer: what it builds works, and what it built goes away.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    client::{
        FailureKind, HeldConnections, HttpLoad, Load, Passing, PassingConnections, Talk, UdpFlows,
        download, http_requests, upload,
    },
    lab::Lab,
    netns::NetNs,
    server::Server,
    veth::{self, End},
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};

const TICK: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_server_is_reached_across_a_pair_of_devices() -> Result<()> {
    let (left, right) = (NetNs::new("left")?, NetNs::new("right")?);
    let end = |netns: &NetNs, number: u8| End {
        netns: netns.clone(),
        name: "eth0".to_owned(),
        mac: [2, 0, 0, 0, 0, number],
        mtu: 1500,
        addresses: vec![([10, 0, 0, number].into(), 24)],
    };
    veth::join(&end(&left, 1), &end(&right, 2))?;
    let _server = Server::start(&right, "right")?;

    let target = SocketAddr::from(([10, 0, 0, 2], HTTP_PORT));
    let report = http_requests(&left, Load::on(target), 20)?;
    assert_eq!(report.answers_by_backend(), [("right".to_owned(), 20)].into());
    Ok(())
}

#[test]
fn a_lab_carries_every_kind_of_load() -> Result<()> {
    let lab = Lab::builder().families(Families::Both).start()?;
    let _servers = lab.serve()?;
    for family in [Family::V4, Family::V6] {
        everything_works_with_a_backend(&lab, family)?;
    }
    Ok(())
}

#[test]
fn a_two_armed_lab_carries_every_kind_of_load() -> Result<()> {
    let lab = Lab::builder().families(Families::Both).two_armed().start()?;
    let _servers = lab.serve()?;
    for family in [Family::V4, Family::V6] {
        everything_works_with_a_backend(&lab, family)?;
    }
    Ok(())
}

fn everything_works_with_a_backend(lab: &Lab, family: Family) -> Result<()> {
    let name = lab.backend_name(1);
    let http = SocketAddr::new(lab.member_addr(1, family), HTTP_PORT);
    let echo = SocketAddr::new(lab.member_addr(1, family), ECHO_PORT);

    let started = Instant::now();
    let report = http_requests(lab.client(), Load::on(http), 200)?;
    assert_eq!((report.answered(), report.share(&name)), (200, 1.0), "{:?}", report.failures());
    assert!(started.elapsed() < Duration::from_secs(2), "a packet was lost and sent again");

    let held = HeldConnections::open(lab.client(), echo, 20, TICK)?;
    let flows = UdpFlows::open(lab.client(), echo, 20, TICK)?;
    assert_eq!(download(lab.client(), http, 1_000_000)?.backend, name);
    assert_eq!(upload(lab.client(), http, 1_000_000)?.backend, name);

    let held = held.stop()?;
    assert_eq!((held.on(&name).len(), held.broken().len()), (20, 0), "{held:?}");
    let flows = flows.stop()?;
    assert_eq!((flows.on(&name).len(), flows.lost(), flows.moved().len()), (20, 0, 0), "{flows:?}");
    Ok(())
}

#[test]
fn the_load_balancer_reaches_the_backends() -> Result<()> {
    let lab = Lab::builder().families(Families::Both).two_armed().start()?;
    let servers = lab.serve()?;
    for (index, server) in servers.iter().enumerate() {
        for family in [Family::V4, Family::V6] {
            let target = SocketAddr::new(lab.member_addr(index, family), HTTP_PORT);
            let report = http_requests(lab.lb(), Load::on(target), 5)?;
            assert_eq!(report.answers_by_backend(), [(server.name().to_owned(), 5)].into());
        }
    }
    Ok(())
}

#[test]
fn load_notices_that_a_server_is_killed_and_is_back() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let mut server = lab.serve()?.remove(0);
    let address = lab.member_addr(0, Family::V4);
    let echo = SocketAddr::new(address, ECHO_PORT);

    let load = HttpLoad::start(lab.client(), Load::on(SocketAddr::new(address, HTTP_PORT)));
    let held = HeldConnections::open(lab.client(), echo, 5, TICK)?;
    thread::sleep(Duration::from_millis(200));
    server.kill()?;
    let killed = Instant::now();
    thread::sleep(Duration::from_millis(200));
    server.restart()?;
    let restarted = Instant::now();
    thread::sleep(Duration::from_millis(200));

    let report = load.stop()?;
    let outage = report.since(killed).before(restarted);
    assert!(outage.failures().iter().any(|failure| failure.kind == FailureKind::Refused));
    assert_eq!(report.since(restarted).failures().len(), 0);
    assert!(report.since(restarted).answered() > 0);
    assert!(report.longest_gap() >= Duration::from_millis(190), "{:?}", report.longest_gap());
    assert_eq!(held.stop()?.broken().len(), 5);
    Ok(())
}

#[test]
fn connections_come_and_go_and_their_ports_are_used_again() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let mut server = lab.serve()?.remove(0);
    let target = SocketAddr::new(lab.member_addr(0, Family::V4), ECHO_PORT);
    let passing = Passing {
        talk: Talk::to(target, TICK),
        every: TICK / 2,
        longest: 30 * TICK,
        ports: 500..510,
        seed: 1,
    };
    let passing = PassingConnections::start(lab.client(), passing)?;
    let come = |count| {
        wait_for("connections to come", LIMIT, || {
            Ok((passing.so_far().connections.len() >= count).then_some(()))
        })
    };
    come(50)?;
    assert!(passing.so_far().broken().is_empty(), "{:?}", passing.so_far().broken());
    server.kill()?;
    let killed = passing.so_far().connections.len();
    come(killed + 10)?;

    let report = passing.stop()?;
    assert!(report.broken().iter().any(|one| one.backend.is_some()), "none was cut off");
    for one in &report.connections[killed..] {
        let failure = one.failure.as_ref().map(|failure| failure.kind);
        assert!(matches!(failure, Some(FailureKind::Refused | FailureKind::Reset)), "{one:?}");
    }
    let ports = report.connections.iter().filter_map(|one| Some(one.local?.port()));
    assert_eq!(ports.collect::<BTreeSet<_>>(), (500..510).collect());
    Ok(())
}

#[test]
fn load_notices_that_a_cable_is_pulled() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let _servers = lab.serve()?;
    let load = Load::on(SocketAddr::new(lab.member_addr(0, Family::V4), HTTP_PORT));
    let hasty = Load { timeout: Duration::from_millis(100), ..load };

    lab.unplug(0)?;
    let silent = http_requests(lab.client(), hasty, 4)?;
    lab.plug(0)?;
    let back = http_requests(lab.client(), load, 4)?;

    assert!(silent.failures().iter().all(|failure| failure.kind == FailureKind::TimedOut));
    assert_eq!((silent.answered(), back.answered()), (0, 4), "{:?}", back.failures());
    Ok(())
}

#[test]
fn labs_live_next_to_each_other() -> Result<()> {
    let start = || Lab::builder().backends(1).start();
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(start);
        (start(), other.join().expect("no panic"))
    });
    let (one, other) = (one?, other?);
    let _server = Server::start(one.backend(0), "one")?;

    let target = SocketAddr::new(one.member_addr(0, Family::V4), HTTP_PORT);
    let load = Load::on(target);
    assert_eq!(http_requests(one.client(), load, 5)?.answered(), 5);
    let failures = http_requests(other.client(), load, 5)?;
    assert!(failures.failures().iter().all(|failure| failure.kind == FailureKind::Refused));
    assert_eq!(failures.answered(), 0);
    Ok(())
}

#[test]
fn nothing_is_left_of_a_lab_even_after_a_panic() -> Result<()> {
    let lab = Lab::builder().families(Families::Both).two_armed().start()?;
    let server = Server::start(lab.backend(0), "doomed")?;
    let mut left = vec![PathBuf::from(format!("/proc/{}", server.id()))];
    left.extend(lab.backends().iter().map(|backend| backend.path().to_owned()));
    for netns in [lab.client(), lab.lb()] {
        left.push(netns.path().to_owned());
    }
    left.extend([lab.files().to_owned(), lab.pins().to_owned()]);
    fs::create_dir(lab.pins().join("inner"))?;
    assert!(left.iter().all(|path| path.exists()), "{left:?}");

    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _in_use = (lab, server);
        panic!("as a failing test does");
    }));

    assert!(panicked.is_err());
    left.retain(|path| path.exists());
    assert_eq!(left, Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn a_server_that_cannot_start_says_so() -> Result<()> {
    let netns = NetNs::new("taken")?;
    let _first = Server::start(&netns, "first")?;
    let second = Server::start(&netns, "second");
    let error = format!("{:#}", second.expect_err("its ports are taken"));
    assert!(error.contains("server second did not start: Error: cannot bind"), "{error}");
    Ok(())
}
