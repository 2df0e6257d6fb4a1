//! An operator cuts recorded connections: of a client, of a member, of many, and learns what cannot be cut.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::HeldConnections,
    config::{Config, Forwarding, Member, MonitorKind, Pool, Protocol},
    lab::Lab,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

/// Records every connection.
const TURNS: &str = "turns";
/// Records connections on slots only that are not settled.
const HASHED: &str = "hashed";
const BEAT: Duration = Duration::from_millis(50);
const HELD: usize = 20;
/// How long anything may take that is not measured.
const LIMIT: Duration = Duration::from_secs(30);

/// A second pool on the HTTP port, whose servers are not asked here.
fn config(lab: &Lab, family: Family, name: &str, algorithm: &str) -> Config {
    let pool = Pool::of(lab, name, family, Protocol::Tcp, ECHO_PORT).by(algorithm);
    let pool = pool.forwarding(Forwarding::Ipip).monitored_by(MonitorKind::Tcp);
    let other = Pool::of(lab, "other", family, Protocol::Tcp, HTTP_PORT);
    let other = other.forwarding(Forwarding::Ipip).monitored_by(MonitorKind::Http);
    Config::new(lab).balance(lab, family, ECHO_PORT, pool).balance(lab, family, HTTP_PORT, other)
}

/// A connection from one of the client's addresses.
fn from(lab: &Lab, source: SocketAddr, to: SocketAddr) -> Result<TcpStream> {
    lab.client().run(|| {
        let domain = socket2::Domain::for_address(to);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
        socket.connect_timeout(&to.into(), LIMIT)?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok(TcpStream::from(socket))
    })?
}

fn talks(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello\n")?;
    match stream.read(&mut [0; 200])? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The next words on a connection that was cut end it.
fn is_reset(stream: &mut TcpStream) -> Result<()> {
    let ended = talks(stream).err().context("it was not cut")?.kind();
    ensure!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&ended), "{ended:?}");
    Ok(())
}

fn states(listed: &Value) -> Vec<&str> {
    let flows = listed["flows"].as_array().expect("a list");
    flows.iter().map(|flow| flow["state"].as_str().expect("a string")).collect()
}

/// Two connections of one client are reset with what they send next, those of others go on, and the client
/// connects again, from the same port as well.
#[test]
#[expect(clippy::too_many_lines, reason = "one history, step by step")]
fn the_connections_of_a_client_are_cut_and_no_others() -> Result<()> {
    for (family, bad) in [(Family::V4, "10.0.0.60"), (Family::V6, "fd00::60")] {
        let lab = Lab::builder().backends(2).families(Families::Both).start()?;
        let _servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        // Of several IPv6 addresses, the kernel chooses no deprecated one for the others.
        let bits = if family == Family::V4 { "24" } else { "64 nodad preferred_lft 0" };
        lab.client().ip(&format!("address add {bad}/{bits} dev {}", lab.device()))?;
        let agent = Agent::start(&lab, &config(&lab, family, TURNS, "ROUND_ROBIN"))?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        let echo = lab.service(family, ECHO_PORT);
        let held = HeldConnections::open(lab.client(), echo, HELD, BEAT)?;
        let address: IpAddr = bad.parse()?;
        let any = SocketAddr::new(address, 0);
        let mut cut = [from(&lab, any, echo)?, from(&lab, any, echo)?];
        for stream in &mut cut {
            talks(stream)?;
        }

        let filter = ["flows", "--cut", "--client", bad];
        let said = agent.ask(&[&filter[..], &["--dry-run"]].concat())?;
        let found = [&said["dry_run"], &said["connections"], &said["cut"]];
        assert_eq!(found, [&Value::from(true), &2.into(), &0.into()], "{said}");
        for stream in &mut cut {
            talks(stream)?;
        }
        let words = agent.run(&[&filter[..], &["--listener", TURNS]].concat())?;
        assert_eq!(words, "2 connections cut; each client is reset when it next sends\n");

        let ports: Vec<u16> =
            cut.iter().map(|s| Ok(s.local_addr()?.port())).collect::<Result<_>>()?;
        for stream in &mut cut {
            is_reset(stream)?;
        }
        let listed = agent.ask(&["flows", "--client", bad])?;
        assert_eq!((states(&listed), &listed["summary"]["cut"]), (vec!["cut", "cut"], &2.into()));
        let said = agent.run(&["flows"])?;
        assert!(
            said.starts_with(&format!("{} tracked flows; {HELD} open, 2 cut;", HELD + 2)),
            "{said}"
        );
        let (open, ended) =
            said.split_once("\nEnded:\n").context("what has ended is not set apart")?;
        assert!(
            !open.contains(bad) && ended.lines().all(|line| line.contains("  cut, ")),
            "{said}"
        );
        assert!(status::packets_of(&agent.status()?, "cut_answered") >= 2);
        let src = SocketAddr::new(address, ports[0]).to_string();
        let dst = echo.to_string();
        let shown = agent.ask(&["explain", "--src", &src, "--dst", &dst, "--proto", "tcp"])?;
        assert_eq!(shown["decision"]["reason"], "cut_answered", "{shown}");
        assert_eq!(shown["admission"]["admitted"], true, "{shown}");
        let again = agent.run(&filter)?;
        assert!(again.starts_with("no recorded connection matches: nothing was cut\n"), "{again}");
        // At the other pool's listener the client may have connections that are not known.
        assert!(again.contains("not cut: connections on settled slots"), "{again}");

        drop(cut);
        let closes = from(&lab, any, echo)?;
        let closed = SocketAddr::new(address, closes.local_addr()?.port()).to_string();
        drop(closes);
        wait_for("a closed connection to be set apart", LIMIT, || {
            let listed = agent.ask(&["flows", "--client", &closed])?;
            Ok((states(&listed) == ["closed"]).then_some(()))
        })?;
        for port in [ports[0], 0] {
            talks(&mut from(&lab, SocketAddr::new(address, port), echo)?)?;
        }
        let before = held.so_far();
        wait_for("answers to the others", LIMIT, || {
            Ok(held.so_far().is_beyond(&before, 3).then_some(()))
        })?;
        let report = held.stop()?;
        assert_eq!(report.broken().len(), 0, "{family:?}: {:?}", report.broken());
    }
    Ok(())
}

/// More than a hundred are cut only at the operator's word.
#[test]
fn many_connections_are_cut_at_the_operators_word() -> Result<()> {
    const MANY: usize = 110;
    let lab = Lab::builder().backends(2).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let agent = Agent::start(&lab, &config(&lab, Family::V4, TURNS, "LEAST_CONNECTIONS"))?;
    agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    let echo = lab.service(Family::V4, ECHO_PORT);
    let held = HeldConnections::open(lab.client(), echo, MANY, BEAT)?;

    let wrong = agent.end(&["flows", "--cut"], LIMIT)?;
    assert_eq!(wrong.code, Some(2), "{}", wrong.said);
    let cut = ["flows", "--cut", "--pool", TURNS];
    let refused = agent.end(&cut, LIMIT)?;
    assert_eq!((refused.code, refused.printed.as_str()), (Some(1), ""), "{}", refused.said);
    assert!(refused.said.contains("This cuts 110 connections."), "{}", refused.said);
    assert!(refused.said.contains("nothing was cut"), "{}", refused.said);
    let before = held.so_far();
    wait_for("answers to all", LIMIT, || Ok(held.so_far().is_beyond(&before, 2).then_some(())))?;
    assert_eq!(held.so_far().broken().len(), 0);

    let said = agent.ask(&[&cut[..], &["--yes"]].concat())?;
    assert_eq!((&said["cut"], &said["dry_run"]), (&MANY.into(), &false.into()), "{said}");
    wait_for("all connections to end", LIMIT, || {
        Ok((held.so_far().broken().len() == MANY).then_some(()))
    })?;
    talks(&mut from(&lab, "0.0.0.0:0".parse()?, echo)?)?;
    Ok(())
}

/// On a settled ring no connection is recorded, and the command says so and what to do; while slots move, what
/// is recorded is cut, and only that.
#[test]
fn what_has_no_record_is_not_cut_and_the_operator_learns_it() -> Result<()> {
    let lab = Lab::builder().backends(3).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let mut config = config(&lab, Family::V4, HASHED, "5_TUPLE_HASH");
    config.pool_mut(HASHED).members.truncate(2);
    let mut agent = Agent::start(&lab, &config)?;
    agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    let echo = lab.service(Family::V4, ECHO_PORT);
    let held = HeldConnections::open(lab.client(), echo, 2 * HELD, BEAT)?;
    let cut = ["flows", "--cut", "--listener", HASHED];
    let said = agent.run(&cut)?;
    assert!(said.starts_with("no recorded connection matches: nothing was cut\n"), "{said}");
    assert!(said.contains("connections on settled slots, which are not recorded"), "{said}");
    assert!(said.contains("65537 of 65537 slots are settled"), "{said}");
    assert!(said.contains("black list of it with cut = true, and run `elb reload`"), "{said}");

    let address = lab.member_addr(2, Family::V4);
    config.pool_mut(HASHED).members.push(Member {
        address,
        protocol_port: ECHO_PORT,
        weight: 1,
        backup: false,
        max_connection: 0,
    });
    agent.reload(&config)?;
    let serves = |said: &Value| status::slots(said, HASHED).get(&address) > Some(&0);
    agent.wait_status("slots for the new member", LIMIT, serves)?;
    let recorded = wait_for("connections to be recorded", LIMIT, || {
        let before = held.so_far();
        wait_for("answers to all", LIMIT, || {
            Ok(held.so_far().is_beyond(&before, 2).then_some(()))
        })?;
        let said = agent.ask(&["flows", "--listener", HASHED, "--limit", "0"])?;
        Ok(said["summary"]["open"].as_u64().filter(|open| *open > 0))
    })?;
    assert!(recorded < 2 * HELD as u64, "all slots moved");
    let said = agent.run(&cut)?;
    assert!(said.contains("not cut: connections on settled slots"), "{said}");
    let first = said.lines().next().context("no words")?;
    let wanted = if recorded == 1 { "connection cut" } else { "connections cut" };
    assert!(first.starts_with(&format!("{recorded} {wanted};")), "{said}");
    wait_for("what was recorded to end", LIMIT, || {
        Ok((held.so_far().broken().len() as u64 == recorded).then_some(()))
    })?;
    // Those that ended do not take others with them.
    std::thread::sleep(BEAT * 10);
    let report = held.stop()?;
    assert_eq!(report.broken().len() as u64, recorded, "{:?}", report.broken());
    Ok(())
}
