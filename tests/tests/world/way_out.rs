//! An operator can end what is served, drain an idle host, and cut connections.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{HeldConnections, Load, http_requests},
    config::{AccessList, Config, Forwarding, MonitorKind, Pool, Protocol},
    lab::Lab,
    netns::NetNs,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

const WEB: &str = "web";
const DATAGRAMS: &str = "datagrams";
const BEAT: Duration = Duration::from_millis(50);
/// How long anything may take that is not measured.
const LIMIT: Duration = Duration::from_secs(30);
const AT_ONCE: Duration = Duration::from_secs(1);

/// One backend, over TCP where a monitor watches it, and over UDP, for clients of this family.
fn config(lab: &Lab, family: Family) -> Config {
    let web = Pool::of(lab, WEB, family, Protocol::Tcp, HTTP_PORT);
    let web = web.forwarding(Forwarding::Ipip).monitored_by(MonitorKind::Http);
    let datagrams = Pool::of(lab, DATAGRAMS, family, Protocol::Udp, ECHO_PORT);
    Config::new(lab).balance(lab, family, HTTP_PORT, web).balance(lab, family, ECHO_PORT, datagrams)
}

fn serving(agent: &Agent) -> Result<()> {
    agent.wait_status("all members to serve", LIMIT, status::all_serve).map(drop)
}

/// Waits until the monitor says so of the member that it watches.
fn wait_member(agent: &Agent, address: IpAddr, state: &str) -> Result<()> {
    let is = |said: &Value| {
        status::member(said, WEB, address).is_some_and(|m| m["operating_status"] == state)
    };
    agent.wait_status(state, LIMIT, is).map(drop)
}

fn connect(from: &NetNs, to: SocketAddr, limit: Duration) -> Result<Option<ErrorKind>> {
    from.run(|| TcpStream::connect_timeout(&to, limit).err().map(|error| error.kind()))
}

/// What becomes of a datagram: how the answer to it fails.
fn ask(from: &NetNs, to: SocketAddr, limit: Duration) -> Result<Option<ErrorKind>> {
    let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let answer = from.run(|| {
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(limit))?;
        socket.connect(to)?;
        socket.send(b"question\n")?;
        socket.recv(&mut [0; 99])
    })?;
    Ok(answer.err().map(|error| error.kind()))
}

/// Without a member, clients wait in vain, or learn of it at once where the listener says so; when one is back,
/// they are served.
#[test]
fn clients_learn_that_no_member_is_left() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::builder().backends(1).families(Families::Both).start()?;
        let mut servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let mut config = config(&lab, family);
        let mut agent = Agent::start(&lab, &config)?;
        serving(&agent)?;
        let web = lab.service(family, HTTP_PORT);
        servers[0].kill()?;
        wait_member(&agent, lab.member_addr(0, family), "OFFLINE")?;
        assert_eq!(connect(lab.client(), web, AT_ONCE)?, Some(ErrorKind::TimedOut));

        for listener in [WEB, DATAGRAMS] {
            config.listener_mut(listener).no_member = Some("reset".to_owned());
        }
        // Its member is healthy, by all that is known, but takes no new flows.
        config.pool_mut(DATAGRAMS).members[0].weight = 0;
        agent.reload(&config)?;
        wait_for("a refusal", LIMIT, || {
            let failed = connect(lab.client(), web, AT_ONCE)?;
            Ok((failed == Some(ErrorKind::ConnectionRefused)).then_some(()))
        })?;
        let begun = Instant::now();
        assert_eq!(connect(lab.client(), web, LIMIT)?, Some(ErrorKind::ConnectionRefused));
        ensure!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        let datagrams = lab.service(family, ECHO_PORT);
        wait_for("a refusal of datagrams", LIMIT, || {
            let failed = ask(lab.client(), datagrams, AT_ONCE)?;
            Ok((failed == Some(ErrorKind::ConnectionRefused)).then_some(()))
        })?;

        let said = agent.status()?;
        assert!(status::packets_of(&said, "no_backend_answered") >= 3, "{said}");
        assert_eq!(
            status::listener(&said, WEB).map(|l| l["no_member"].clone()),
            Some("reset".into())
        );
        let text = agent.run(&["status"])?;
        assert!(text.contains("clients are reset while no member serves"), "{text}");
        let (client, dst) = (lab.client_addr(family).to_string(), web.to_string());
        let src = if family == Family::V4 { client } else { format!("[{client}]:9") };
        let asked = ["explain", "--src", &src, "--dst", &dst, "--proto", "tcp", "--syn"];
        let shown = agent.ask(&asked)?;
        assert_eq!(shown["decision"]["reason"], "no_backend_answered", "{shown}");
        assert_eq!(shown["answer"]["kind"], "reset", "{shown}");

        servers[0].restart()?;
        config.pool_mut(DATAGRAMS).members[0].weight = 1;
        agent.reload(&config)?;
        wait_member(&agent, lab.member_addr(0, family), "ONLINE")?;
        wait_for("a datagram to be answered", LIMIT, || {
            Ok(ask(lab.client(), datagrams, AT_ONCE)?.is_none().then_some(()))
        })?;
        let report = http_requests(lab.client(), Load::on(web), 10)?;
        assert_eq!(report.answered(), 10, "{:?}", report.failures());
    }
    Ok(())
}

/// A connection from one of the client's addresses.
fn from(lab: &Lab, source: [u8; 4], to: SocketAddr) -> Result<TcpStream> {
    let stream = lab.client().run(|| {
        let domain = socket2::Domain::IPV4;
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        socket.connect_timeout(&to.into(), LIMIT)?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok::<_, std::io::Error>(TcpStream::from(socket))
    })??;
    Ok(stream)
}

fn talks(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello\n")?;
    match stream.read(&mut [0; 200])? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// A client that an IP group excludes keeps what it has, unless the listener cuts: then it is reset with its
/// next packet, all others go on, and what the list lets in again connects again.
#[test]
fn an_excluded_client_is_cut_and_no_other() -> Result<()> {
    const GOOD: [u8; 4] = [10, 0, 0, 10];
    const BAD: [u8; 4] = [10, 0, 0, 60];
    for algorithm in ["5_TUPLE_HASH", "ROUND_ROBIN"] {
        let lab = Lab::builder().backends(2).start()?;
        let _servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        lab.client().ip(&format!("address add 10.0.0.60/24 dev {}", lab.device()))?;
        let pool = Pool::of(&lab, WEB, Family::V4, Protocol::Tcp, ECHO_PORT).by(algorithm);
        let mut config = Config::new(&lab).balance(&lab, Family::V4, ECHO_PORT, pool);
        config.set_group("bad", &["192.0.2.0/24"]);
        config.restrict(WEB, AccessList::Black, "bad");
        let mut agent = Agent::start(&lab, &config)?;
        serving(&agent)?;
        let echo = lab.service(Family::V4, ECHO_PORT);
        let (mut good, mut bad) = (from(&lab, GOOD, echo)?, from(&lab, BAD, echo)?);
        let held = HeldConnections::open(lab.client(), echo, 20, BEAT)?;
        talks(&mut good)?;
        talks(&mut bad)?;

        config.set_group("bad", &["10.0.0.60/32"]);
        agent.reload(&config)?;
        talks(&mut bad)?;

        config.listener_mut(WEB).ipgroup.as_mut().expect("it is restricted").cut = true;
        agent.reload(&config)?;
        let ended = wait_for("the connection to be reset", Duration::from_secs(10), || {
            Ok(talks(&mut bad).err().map(|error| error.kind()))
        })?;
        assert!(
            [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&ended),
            "{algorithm}: {ended:?}"
        );
        talks(&mut good)?;
        let again = lab.client().run(|| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((BAD, 0)).into())?;
            socket.connect_timeout(&echo.into(), AT_ONCE)
        })?;
        assert!(again.is_err(), "{algorithm}");
        let said = agent.status()?;
        assert!(status::packets_of(&said, "cut_answered") > 0, "{said}");
        let text = agent.run(&["status"])?;
        assert!(text.contains("blacklist bad of 1 networks, cuts connections"), "{text}");
        let vip = echo.to_string();
        let asked = ["explain", "--src", "10.0.0.60", "--dst", &vip, "--proto", "tcp"];
        let shown = agent.ask(&asked)?;
        assert_eq!(shown["decision"]["reason"], "cut_answered", "{shown}");

        config.set_group("bad", &[]);
        agent.reload(&config)?;
        wait_for("the client to be let in again", LIMIT, || {
            Ok(talks(&mut from(&lab, BAD, echo)?).is_ok().then_some(()))
        })?;
        let report = held.stop()?;
        assert_eq!(report.broken().len(), 0, "{algorithm}: {:?}", report.broken());
    }
    Ok(())
}
