//! Frames for others, hops, joined packets, two interfaces on one segment.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Result, ensure};
use elb_tests::{
    address::{Families, Family, Host, Network},
    agent::Agent,
    client::{HeldConnections, Load, http_requests, upload},
    config::{Announce, Config, Forwarding, Pool, PortRange, Protocol},
    environment::elb_bin,
    lab::Lab,
    process::ended,
    server::{Ports, Server},
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

const WEB: &str = "web";
/// How long anything may take that is not measured.
const LIMIT: Duration = Duration::from_secs(30);
const BEAT: Duration = Duration::from_millis(50);

fn config(lab: &Lab, family: Family, mode: Forwarding) -> Config {
    let pool = Pool::of(lab, WEB, family, Protocol::Tcp, HTTP_PORT).forwarding(mode);
    Config::new(lab).balance(lab, family, HTTP_PORT, pool)
}

/// Packets that the listener forwarded.
fn forwarded(said: &Value) -> u64 {
    status::listener(said, WEB).and_then(|listener| listener["packets"].as_u64()).unwrap_or(0)
}

fn serving(agent: &Agent) -> Result<()> {
    agent.wait_status("all members to serve", LIMIT, status::all_serve).map(drop)
}

/// Requests, none of which fails.
fn answered(lab: &Lab, family: Family, total: usize) -> Result<()> {
    let report = http_requests(lab.client(), Load::on(lab.service(family, HTTP_PORT)), total)?;
    ensure!(report.answered() == total, "{:?}", report.failures());
    Ok(())
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

/// Attempts to connect from a namespace: `None` in time, or how it failed.
fn connect(
    from: &elb_tests::netns::NetNs,
    to: SocketAddr,
    limit: Duration,
) -> Result<Option<std::io::ErrorKind>> {
    from.run(|| TcpStream::connect_timeout(&to, limit).err().map(|error| error.kind()))
}

/// A switch that floods gives a second load balancer, which waits on the same segment, every frame: it must
/// not forward what the first one does.
#[test]
fn a_flooding_switch_makes_no_duplicates() -> Result<()> {
    for mode in [Forwarding::Ipip, Forwarding::L2] {
        let lab = Lab::builder().backends(2).standby().start()?;
        let _servers = lab.serve()?;
        lab.backends_up(mode)?;
        let mut config = config(&lab, Family::V4, mode);
        let first = Agent::start(&lab, &config)?;
        config.load_balancers[0].announce = Announce::None;
        let second = Agent::start_standby(&lab, &config)?;
        serving(&first)?;
        serving(&second)?;
        lab.flood()?;
        answered(&lab, Family::V4, 50)?;
        let (active, waiting) = (first.status()?, second.status()?);
        let passed = status::packets_of(&waiting, "foreign_mac");
        assert!(forwarded(&active) >= 50 * 4, "{mode:?}: {active}");
        assert_eq!(forwarded(&waiting), 0, "{mode:?}: {waiting}");
        assert!(passed >= forwarded(&active), "{mode:?}: {passed} frames were flooded");
        assert_eq!(status::packets_of(&active, "ttl_expired"), 0, "{mode:?}: {active}");
    }
    Ok(())
}

/// A stale neighbour entry of a client: the frames are for a host that is gone. They are served again when
/// the entry is right.
#[test]
fn a_stale_ethernet_address_is_not_served_and_says_so() -> Result<()> {
    let lab = Lab::builder().backends(1).families(Families::V6).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let agent = Agent::start(&lab, &config(&lab, Family::V6, Forwarding::Ipip))?;
    serving(&agent)?;
    lab.flood()?;
    let (vip, device) = (lab.vip6(), lab.device());
    lab.client()
        .ip(&format!("neigh replace {vip} lladdr 02:00:00:00:99:99 dev {device} nud permanent"))?;
    let target = lab.service(Family::V6, HTTP_PORT);
    let failed = connect(lab.client(), target, Duration::from_millis(1500))?;
    assert_eq!(failed, Some(std::io::ErrorKind::TimedOut));
    let said = agent.status()?;
    assert_eq!(forwarded(&said), 0, "{said}");
    assert!(status::packets_of(&said, "foreign_mac") > 0, "{said}");
    assert!(agent.run(&["status"])?.contains("foreign_mac"), "{said}");

    lab.client().ip(&format!("neigh del {vip} dev {device}"))?;
    answered(&lab, Family::V6, 10)
}

/// The interface's Ethernet address changes under the agent, and clients use that of a macvlan on it: both
/// are its own within two seconds.
#[test]
fn own_addresses_are_followed() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let agent = Agent::start(&lab, &config(&lab, Family::V4, Forwarding::Ipip))?;
    serving(&agent)?;
    answered(&lab, Family::V4, 5)?;

    let served_by = |address: &str| -> Result<()> {
        let (vip, device) = (lab.vip4(), lab.device());
        lab.client()
            .ip(&format!("neigh replace {vip} lladdr {address} dev {device} nud permanent"))?;
        let target = lab.service(Family::V4, HTTP_PORT);
        wait_for(&format!("frames to {address} to be served"), Duration::from_secs(3), || {
            let failed = connect(lab.client(), target, Duration::from_millis(200))?;
            Ok(failed.is_none().then_some(()))
        })?;
        answered(&lab, Family::V4, 5)
    };
    lab.lb().ip("link set lb0 address 02:e1:b0:00:07:07")?;
    served_by("02:e1:b0:00:07:07")?;
    let old = mac(Host::LoadBalancer.mac(Network::Back, false));
    lab.lb().ip(&format!("link add virtual link lb0 address {old} type macvlan mode private"))?;
    served_by(&old)?;
    lab.lb().ip("link del virtual")?;
    lab.flood()?;
    let foreign = || Ok::<_, anyhow::Error>(status::packets_of(&agent.status()?, "foreign_mac"));
    let before = foreign()?;
    wait_for("the macvlan's address to be foreign", Duration::from_secs(3), || {
        connect(lab.client(), lab.service(Family::V4, HTTP_PORT), Duration::from_millis(200))?;
        Ok((foreign()? > before).then_some(()))
    })
}

/// Two load balancers that are each other's member send a packet to and fro until it has no hop left.
#[test]
fn balancers_that_are_members_of_each_other_end_in_hops() -> Result<()> {
    for family in [Family::V4, Family::V6] {
        let lab = Lab::builder().backends(1).standby().families(Families::Both).start()?;
        let config = |other: Host| {
            let mut config = config(&lab, family, Forwarding::L2);
            config.pool_mut(WEB).members[0].address = Network::Back.address(family, other);
            config
        };
        let first = Agent::start(&lab, &config(Host::Standby))?;
        let mut quiet = config(Host::LoadBalancer);
        quiet.load_balancers[0].announce = Announce::None;
        let second = Agent::start_standby(&lab, &quiet)?;
        serving(&first)?;
        serving(&second)?;
        let target = lab.service(family, HTTP_PORT);
        let limit = Duration::from_millis(500);
        assert!(connect(lab.client(), target, limit)?.is_some(), "there is no server");
        let both = || -> Result<[u64; 2]> {
            let said = [first.status()?, second.status()?];
            let sum = |of: &dyn Fn(&Value) -> u64| said.iter().map(of).sum::<u64>();
            Ok([sum(&forwarded), sum(&|said| status::packets_of(said, "ttl_expired"))])
        };
        let [frames, expired] = wait_for("the last hop", LIMIT, || {
            let counts = both()?;
            Ok((counts[1] > 0).then_some(counts))
        })?;
        // The first packet, perhaps repeated meanwhile: each ends after less than 64 hops.
        assert!(
            (1..=4).contains(&expired) && frames < 64 * (expired + 1),
            "{family:?}: {frames} frames, {expired} ended"
        );
        let text = first.run(&["status"])? + &second.run(&["status"])?;
        assert!(text.contains("ttl_expired"), "{text}");
    }
    Ok(())
}

/// Routed to a load balancer that forwards packets as a router does, and has its default route by where they
/// come from.
#[test]
fn a_closed_port_is_refused_instead_of_circling() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::L2)?;
    let mut config = config(&lab, Family::V4, Forwarding::L2);
    let vip = Ipv4Addr::new(10, 99, 0, 100);
    lab.backend(0).ip(&format!("address add {vip}/32 dev lo"))?;
    (config.load_balancers[0].vip_address, config.load_balancers[0].announce) =
        (Some(vip), Announce::None);
    let agent = Agent::start(&lab, &config)?;
    serving(&agent)?;
    let balancer = Network::Back.address(Family::V4, Host::LoadBalancer);
    let client = lab.client_addr(Family::V4);
    lab.client().ip(&format!("route add {vip}/32 via {balancer}"))?;
    lab.client().sysctl("ipv4/ip_forward", "1")?;
    lab.lb().ip(&format!("route add default via {client}"))?;
    lab.lb().sysctl("ipv4/ip_forward", "1")?;

    let limit = Duration::from_secs(5);
    let refused = connect(lab.client(), SocketAddr::from((vip, 81)), limit)?;
    assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
    let datagram = lab.client().run(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(limit))?;
        socket.connect((vip, 53))?;
        socket.send(b"question")?;
        socket.recv(&mut [0; 9])
    })?;
    assert_eq!(datagram.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionRefused));
    let said = agent.status()?;
    assert_eq!(status::packets_of(&said, "closed_port_answered"), 2, "{said}");
    assert_eq!(status::packets_of(&said, "no_listener"), 0, "{said}");
    let (src, dst) = (client.to_string(), format!("{vip}:81"));
    let shown = agent.ask(&["explain", "--src", &src, "--dst", &dst, "--proto", "tcp", "--syn"])?;
    assert_eq!(shown["decision"]["reason"], "closed_port_answered", "{shown}");
    assert_eq!(shown["answer"]["kind"], "reset", "{shown}");

    // The address becomes this host's own: the rest is the kernel's at once, which has an answer, too.
    lab.lb().ip(&format!("address add {vip}/32 dev lo"))?;
    let _host = Server::start_on(lab.lb(), "the-host", Ports { http: 8181, ..Ports::default() })?;
    wait_for("the host's own server to answer", LIMIT, || {
        Ok(connect(lab.client(), SocketAddr::from((vip, 8181)), limit)?.is_none().then_some(()))
    })?;
    let report = http_requests(lab.client(), Load::on(SocketAddr::from((vip, HTTP_PORT))), 10)?;
    assert_eq!(report.answered(), 10, "{:?}", report.failures());
    Ok(())
}

/// The virtual address becomes the host's own, and ports of it are balanced that the host's connections have.
#[test]
fn connections_of_the_host_outlive_a_range_that_covers_them() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let pool = Pool::of(&lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT).any_port();
    let mut config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
    let listener = config.listener_mut(WEB);
    (listener.protocol_port, listener.port_ranges) =
        (0, vec![PortRange { start_port: 1, end_port: 65_535 }]);
    let agent = Agent::start(&lab, &config)?;
    serving(&agent)?;
    let vip = lab.vip4();
    lab.lb().ip(&format!("address add {vip}/32 dev lo"))?;
    let _elsewhere = Server::start(lab.client(), "elsewhere")?;

    let server = SocketAddr::new(lab.client_addr(Family::V4), ECHO_PORT);
    lab.lb().ip(&format!("route replace {}/32 dev lb0 src {vip}", server.ip()))?;
    // Whatever its port, it is one of the range.
    wait_for("a connection of the host from that address", LIMIT, || {
        Ok(connect(lab.lb(), server, Duration::from_secs(1))?.is_none().then_some(()))
    })?;
    let held = HeldConnections::open(lab.lb(), server, 10, BEAT)?;
    // What is none of these is balanced: the server in the backend answers.
    let held_by_clients =
        HeldConnections::open(lab.client(), lab.service(Family::V4, ECHO_PORT), 10, BEAT)?;
    let own = || Ok::<_, anyhow::Error>(status::packets_of(&agent.status()?, "own_connection"));
    let before = own()?;
    wait_for("more packets of them", LIMIT, || Ok((own()? > before + 20).then_some(())))?;
    for report in [held.stop()?, held_by_clients.stop()?] {
        assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    }
    Ok(())
}

/// Generic XDP gets what a sender on the same machine joined: that is said, and it is over when the sender
/// stops joining.
#[test]
fn joined_packets_are_no_ones_fault_and_named() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let mut config = config(&lab, Family::V4, Forwarding::Ipip);
    config.agent.attach_mode = "generic".to_owned();
    let agent = Agent::start(&lab, &config)?;
    serving(&agent)?;
    lab.join_packets(true)?;

    let target = lab.service(Family::V4, HTTP_PORT);
    let stream = lab.client().run(|| -> Result<TcpStream> {
        let mut stream = TcpStream::connect(target)?;
        let head = b"POST /sum HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
        stream.write_all(head)?;
        stream.write_all(&[7; 100_000])?;
        Ok(stream)
    })??;
    let joined = |said: &Value| status::packets_of(said, "joined") > 0;
    let said = agent.wait_status("joined packets", LIMIT, joined)?;
    drop(stream);
    assert_eq!(status::packets_of(&said, "too_big_answered"), 0, "{said}");
    let problems = said["agent"]["problems"].to_string();
    for word in ["generic", "tso off gso off", "gro off lro off"] {
        assert!(problems.contains(word), "{problems}");
    }
    let mut doctor = lab.lb().command(elb_bin()?);
    doctor.args(["doctor", "--config"]).arg(said["agent"]["config"].as_str().unwrap_or_default());
    let doctor = ended(doctor, LIMIT)?;
    assert!(doctor.printed.contains("tso off gso off"), "{doctor:?}");

    lab.join_packets(false)?;
    upload(lab.client(), target, 1_000_000)?;
    Ok(())
}
