//! Servers that do not keep up.

use std::net::TcpStream;

use anyhow::Result;
use elb_tests::wait::wait_for;
use elb_userspace::diagnosis::{check::Check, report::Outcome};
use nix::sys::signal::Signal;

use crate::scene::*;

const PORT: u16 = 7000;

/// Connections from the load balancer until the queue of a server that does not accept is full.
fn fill(bench: &Bench, question: &str) -> Result<Vec<TcpStream>> {
    let mut held = Vec::new();
    let to = std::net::SocketAddr::new(bench.member(), PORT);
    wait_for("the accept queue to be full", LIMIT, || {
        let connect = || TcpStream::connect_timeout(&to, std::time::Duration::from_millis(300));
        held.extend(bench.lab.lb().run(connect)?);
        let inspection = bench.inspect(question)?;
        Ok((verdict(&inspection, Check::Load) == Some(Outcome::Fail)).then_some(()))
    })?;
    Ok(held)
}

#[test]
fn a_stopped_process_is_named_and_goes_on() -> Result<()> {
    let bench = Bench::new()?;
    let server = format!("exec socat TCP-LISTEN:{PORT},fork SYSTEM:true");
    let mut server = bench.start(&server, PORT)?;
    let question = format!("--port {PORT} --from {}", bench.lb());
    bench.clean(&question)?;
    server.signal(Signal::SIGSTOP)?;
    let finding = bench.repairs(&question, Check::Load, &["socat (process ", "is stopped"])?;
    assert_eq!(finding.fix.as_deref(), Some(&*format!("kill -CONT {}", server.id())));
    Ok(())
}

#[test]
fn a_full_accept_queue_of_a_server_that_does_not_accept_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let listener = bench.host().run(|| -> Result<_> {
        let socket = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )?;
        socket.bind(&std::net::SocketAddr::from(([0, 0, 0, 0], PORT)).into())?;
        socket.listen(1)?;
        Ok(socket)
    })??;
    let question = format!("--port {PORT} --from {}", bench.lb());
    bench.clean(&question)?;
    let held = fill(&bench, &question)?;
    bench.names(&question, Check::Load, &["2 connections wait, its backlog is 1"])?;
    // What the fix says: it accepts.
    for _ in &held {
        listener.accept()?;
    }
    bench.clean(&question)
}

#[test]
fn a_process_without_free_descriptors_is_named_and_gets_more() -> Result<()> {
    let bench = Bench::new()?;
    let server = format!("ulimit -Sn 6; exec socat TCP-LISTEN:{PORT},fork SYSTEM:true 8>&- 9>&-");
    let server = bench.start(&server, PORT)?;
    let question = format!("--port {PORT} --from {}", bench.lb());
    // Descriptors that it holds already count against the new limit.
    bench.sh(&format!("prlimit --pid {} --nofile=5:", server.id()))?;
    bench.repairs(&question, Check::Load, &["of 5 open files", "socat"])?;
    Ok(())
}
