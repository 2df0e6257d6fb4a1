//! Limits on concurrent connections: what counts towards them, and that nothing shuts a listener for long.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_common::room::BELIEVED;
use elb_tests::{
    address::Family,
    client::{HeldConnections, UdpFlows},
    config::{Config, Forwarding, Pool, Protocol},
    generated::Segment,
    lab::Lab,
    netns::NetNs,
    server::Server,
    status,
    wait::wait_for,
    wire::ECHO_PORT,
};

use crate::{
    load::{OPENING, of_listener},
    scene::{ECHO, LIMIT, Scene},
};

/// The greatest number of connections.
const MOST: usize = 100;
const BEAT: Duration = Duration::from_millis(500);
/// How long a client that is to get no answer waits.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most that a listener may be shut after what filled it is gone.
const FREE: Duration = Duration::from_secs(10);

/// Echoes over TCP or UDP in turns, at most so many at once; all other settings are the usual ones.
fn limited(protocol: Protocol, most: usize) -> Result<Scene> {
    let (scene, ()) = Scene::start_of(2, Forwarding::Ipip, |lab: &Lab| {
        let pool = Pool::of(lab, ECHO, Family::V4, protocol, ECHO_PORT).by("ROUND_ROBIN");
        let mut config = Config::new(lab).balance(lab, Family::V4, ECHO_PORT, pool);
        config.listener_mut(ECHO).max_connection = u32::try_from(most)?;
        Ok((config, ()))
    })?;
    Ok(scene)
}

/// What came of an attempt to talk over a new connection by a client that waits so long.
fn attempt(
    netns: &NetNs,
    target: SocketAddr,
    patience: Duration,
) -> Result<Result<TcpStream, ErrorKind>> {
    let talk = move || {
        let mut stream = TcpStream::connect_timeout(&target, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"hello\n")?;
        match stream.read(&mut [0; 64])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(stream),
        }
    };
    Ok(netns.run(talk)?.map_err(|error: std::io::Error| error.kind()))
}

impl Scene {
    fn attempt(&self, patience: Duration) -> Result<Result<TcpStream, ErrorKind>> {
        attempt(self.lab.client(), self.echo(), patience)
    }

    /// The listener's connections and the packets that were refused because of its limit.
    fn counts(&self) -> Result<(u64, u64)> {
        let said = self.agent.status()?;
        Ok((
            of_listener(&said, ECHO, "connections")?,
            status::packets_of(&said, "connection_limit"),
        ))
    }

    /// A connection that is let in by its first packet, however long a busy host takes to answer.
    fn let_in(&self) -> Result<TcpStream> {
        let (_, refused) = self.counts()?;
        let stream = self.attempt(LIMIT)?.ok().context("a new connection is answered")?;
        assert_eq!(self.counts()?.1, refused, "its first packet is refused");
        Ok(stream)
    }

    fn hold(&self, count: usize) -> Result<HeldConnections> {
        HeldConnections::open(self.lab.client(), self.echo(), count, BEAT)
    }

    /// Nothing was refused, and as many connections as may be are let in at once.
    fn is_free(&self) -> Result<()> {
        let begun = Instant::now();
        let held = self.hold(MOST)?;
        println!("{MOST} connections let in within {:?}", begun.elapsed());
        assert_eq!(held.stop()?.broken().len(), 0);
        let said = self.agent.status()?;
        assert_eq!(status::packets_of(&said, "connection_limit"), 0, "{said}");
        Ok(())
    }
}

#[test]
fn connections_to_a_dead_service_do_not_count() -> Result<()> {
    let mut scene = limited(Protocol::Tcp, MOST)?;
    scene.servers.iter_mut().try_for_each(Server::kill)?;
    for _ in 0..10 * MOST {
        let refused = scene.attempt(LIMIT)?.err();
        assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
    }
    scene.servers.iter_mut().try_for_each(Server::restart)?;
    assert_eq!(of_listener(&scene.agent.status()?, ECHO, "connections")?, 0);
    scene.is_free()
}

#[test]
fn forged_openings_do_not_count() -> Result<()> {
    let scene = limited(Protocol::Tcp, MOST)?;
    for clients in [0..100, 100..100_100] {
        scene.play(ECHO_PORT, &[Segment::Syn], clients)?;
        wait_for("no connection to count", LIMIT, || {
            let open = of_listener(&scene.agent.status()?, ECHO, "connections")?;
            Ok((open == 0).then_some(()))
        })?;
        scene.is_free()?;
    }
    Ok(())
}

/// One connection more is let in once one of those at the limit has ended, and no sooner; refused ones,
/// real and generated, leave nothing behind.
#[test]
fn the_limit_holds_exactly() -> Result<()> {
    let scene = limited(Protocol::Tcp, MOST)?;
    let most = scene.hold(MOST - 1)?;
    let mut last = scene.let_in()?;
    for round in 0..3 {
        let (open, before) = scene.counts()?;
        assert_eq!(open, MOST as u64, "round {round}");
        let Err(refused) = scene.attempt(PATIENCE)? else {
            panic!(
                "round {round}: one too many is let in: {:?}; {}",
                most.first_broken(),
                scene.agent.status()?
            )
        };
        assert!(matches!(refused, ErrorKind::TimedOut | ErrorKind::WouldBlock), "{refused}");
        assert!(
            scene.counts()?.1 > before,
            "round {round}: no packet is refused because of the limit"
        );
        drop(last);
        // What a client sends last can be overtaken by what it sends next, on another processor.
        wait_for("the end of a connection to be seen", LIMIT, || {
            Ok((scene.counts()?.0 == open - 1).then_some(()))
        })?;
        last = scene.let_in()?;
    }
    for segment in [Segment::Syn, Segment::Ack, Segment::Syn] {
        scene.play(ECHO_PORT, &[segment], 0..1000)?;
    }
    let before = most.so_far();
    wait_for("answers on every connection", LIMIT, || {
        Ok(most.so_far().is_beyond(&before, 2).then_some(()))
    })?;
    assert_eq!(of_listener(&scene.agent.status()?, ECHO, "connections")?, MOST as u64);
    assert_eq!(most.stop()?.broken().len(), 0);
    drop(last);
    let ended = Instant::now();
    let again = scene.hold(MOST)?;
    println!("{MOST} more let in within {:?} after the end of the others", ended.elapsed());
    assert!(ended.elapsed() < FREE);
    assert_eq!(again.stop()?.broken().len(), 0);
    Ok(())
}

/// Clients fall silent at the limit, and no agent is there that could notice.
#[test]
fn a_dead_agent_shuts_no_listener() -> Result<()> {
    let mut scene = limited(Protocol::Tcp, MOST)?;
    scene.play(ECHO_PORT, &OPENING, 0..u32::try_from(MOST)?)?;
    assert_eq!(of_listener(&scene.agent.status()?, ECHO, "connections")?, MOST as u64);
    scene.agent.kill()?;
    let killed = Instant::now();
    assert!(scene.attempt(PATIENCE)?.is_err(), "the limit holds without an agent");
    let limit = Duration::from_secs(u64::from(BELIEVED) + 10);
    wait_for("a new connection to be let in", limit, || {
        sleep(PATIENCE);
        Ok(scene.attempt(PATIENCE)?.ok())
    })?;
    println!("let in {:?} after the agent was killed", killed.elapsed());
    Ok(())
}

/// Whether one datagram, from a port, is answered within a time.
fn ask_once(scene: &Scene, port: u16, limit: Duration) -> Result<bool> {
    let target = scene.echo();
    let ask = move || {
        let socket = UdpSocket::bind(("0.0.0.0", port))?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(limit))?;
        socket.send(b"question")?;
        std::io::Result::Ok(socket.recv(&mut [0; 64]).is_ok())
    };
    Ok(scene.lab.client().run(ask)??)
}

#[test]
fn single_questions_do_not_count() -> Result<()> {
    let scene = limited(Protocol::Udp, MOST)?;
    // Each from a port of its own: two from the same one are a connection.
    for port in (1..).take(3 * MOST) {
        assert!(ask_once(&scene, port, LIMIT)?, "the question from port {port} is not answered");
    }
    assert_eq!(of_listener(&scene.agent.status()?, ECHO, "connections")?, 0);
    // Those that go on are connections.
    let flows = UdpFlows::open(scene.lab.client(), scene.echo(), MOST, BEAT)?;
    wait_for("all flows to count", LIMIT, || {
        let open = of_listener(&scene.agent.status()?, ECHO, "connections")?;
        Ok((open == MOST as u64).then_some(()))
    })?;
    assert!(!ask_once(&scene, 1000, PATIENCE)?, "one too many is let in");
    let report = flows.stop()?;
    assert_eq!(report.moved().len(), 0);
    Ok(())
}
