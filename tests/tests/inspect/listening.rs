//! Servers that do not listen where probes go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use elb_tests::address::Families;
use elb_userspace::diagnosis::{check::Check, report::Outcome};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::scene::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[test]
fn a_stopped_server_is_named_and_started_again() -> Result<()> {
    let bench = Bench::new()?;
    let mut server = bench.serve()?;
    bench.clean(&bench.http())?;
    server.kill()?;
    let place = format!("{} port {HTTP}/tcp", bench.member());
    bench.names(&bench.http(), Check::Listening, &["nothing listens on", &place])?;
    server.restart()?;
    bench.clean(&bench.http())
}

#[test]
fn a_server_for_this_host_only_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let listener = bench.listen(LOOPBACK, HTTP)?;
    let words =
        [&*format!("on 127.0.0.1:{HTTP}/tcp takes connections from this host only"), "inspect-"];
    bench.names(&bench.http(), Check::Listening, &words)?;
    drop(listener);
    // What the fix says: the wildcard.
    let _listener = bench.listen(ANY, HTTP)?;
    bench.clean(&bench.http())
}

#[test]
fn a_server_on_another_port_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let _listener = bench.listen(ANY, HTTP + 1)?;
    bench.names(&bench.http(), Check::Listening, &[&format!("0.0.0.0:{}/tcp", HTTP + 1)])?;
    bench.clean(&format!("--port {} --from {}", HTTP + 1, bench.lb()))
}

#[test]
fn a_server_of_ipv6_only_is_named() -> Result<()> {
    let bench = Bench::of(Families::Both)?;
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, HTTP));
    let listen = |only_v6| {
        bench.bind(|| {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_only_v6(only_v6)?;
            socket.bind(&SockAddr::from(address))?;
            socket.listen(16)?;
            Ok(socket)
        })
    };
    let socket = listen(true)?;
    bench.names(&bench.http(), Check::Listening, &["takes IPv6 only"])?;
    drop(socket);
    let _socket = listen(false)?;
    bench.clean(&bench.http())
}

#[test]
fn a_server_that_does_not_serve_the_virtual_address_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let listener = bench.listen(bench.member(), HTTP)?;
    bench.clean(&bench.http())?;
    bench.up("l2")?;
    let vip = bench.lab.vip4().to_string();
    // The virtual address is known from what was set up.
    bench.names(&bench.http(), Check::Listening, &[&vip, "listens on another address"])?;
    drop(listener);
    let _listener = bench.listen(ANY, HTTP)?;
    bench.clean(&bench.http())
}

#[test]
fn a_server_of_the_virtual_address_alone_serves_traffic() -> Result<()> {
    let bench = Bench::new()?;
    bench.up("ipip")?;
    let _listener = bench.listen(bench.lab.vip4(), HTTP)?;
    let inspection = bench.inspect(&bench.vip("ipip"))?;
    clean(&inspection)?;
    assert_eq!(verdict(&inspection, Check::Listening), Some(Outcome::Warn));
    Ok(())
}

#[test]
fn a_udp_server_is_no_tcp_server() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.clean(&bench.udp())?;
    let other = format!("--protocol udp --port {HTTP} --from {}", bench.lb());
    bench.names(&other, Check::Listening, &["nothing listens", "/udp"])?;
    Ok(())
}

#[test]
fn without_a_question_it_lists_what_listens() -> Result<()> {
    let bench = Bench::new()?;
    let server = bench.serve()?;
    let inspection = bench.inspect("")?;
    clean(&inspection)?;
    assert_eq!(verdict(&inspection, Check::Listening), Some(Outcome::NotApplicable));
    let evidence = &inspection.report.finding(Check::Listening).expect("it is there").evidence;
    let process = format!("lab-server (process {}) on 0.0.0.0:{HTTP}/tcp", server.id());
    assert!(evidence.contains(&process), "{evidence}");
    assert!(evidence.contains(&format!("0.0.0.0:{ECHO}/udp")), "{evidence}");
    Ok(())
}
