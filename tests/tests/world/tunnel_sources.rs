//! Backends unwrap what their load balancers sent, and nothing else.

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{HttpLoad, Load, http_requests},
    config::{
        AccessControl, AccessList, Config, Forwarding, HealthMonitor, IpGroup, MonitorKind, Pool,
        Protocol,
    },
    environment::elb_bin,
    lab::Lab,
    netns::NetNs,
    process::output,
    server::Server,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

const LIMIT: Duration = Duration::from_secs(60);
/// Strangers send from this port, and their answers come to it.
const PORT: u16 = 40_011;

/// Backends that serve HTTP and UDP echo at the virtual address, by tunnels.
struct Scene {
    agent: Agent,
    _servers: Vec<Server>,
    lab: Lab,
}

impl Scene {
    fn start(mode: Forwarding, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let lab = Lab::builder().families(Families::Both).start()?;
        let servers = lab.serve()?;
        lab.backends_up(mode)?;
        let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT).forwarding(mode);
        let pool = pool.watched(HealthMonitor::patient(MonitorKind::Http));
        let mut config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
        change(&mut config);
        let agent = Agent::start(&lab, &config)?;
        let scene = Self { agent, _servers: servers, lab };
        scene.wait_for("ONLINE")?;
        Ok(scene)
    }

    fn wait_for(&self, state: &str) -> Result<()> {
        let members = [0, 1].map(|index| self.lab.member_addr(index, Family::V4));
        self.agent.wait_members(&members, state, LIMIT)
    }

    /// `elb backend` on the host of a member.
    fn backend(&self, index: usize, arguments: &str) -> Result<Command> {
        let mut command = self.lab.backend(index).command(elb_bin()?);
        command.arg("backend").args(arguments.split_whitespace());
        command.args(self.lab.backend_place(index));
        Ok(command)
    }

    /// Sets both hosts up again, with other sources.
    fn up(&self, mode: Forwarding, from: &str) -> Result<String> {
        Ok([self.up_at(0, mode, from)?, self.up_at(1, mode, from)?].concat())
    }

    /// As [`Self::up`], one host only.
    fn up_at(&self, index: usize, mode: Forwarding, from: &str) -> Result<String> {
        let vip = self.lab.vip4();
        let (mode, device) = (mode.name(), self.lab.device());
        let up = format!("up --vip {vip} --mode {mode} --interface {device} {from}");
        output(self.backend(index, &up)?, LIMIT)
    }

    /// What `elb backend status` says, and whether it ended well.
    fn status(&self, index: usize) -> Result<(Value, bool)> {
        let ended = self.backend(index, "status -o json")?.output()?;
        let said =
            elb_tests::printed::value(&["backend", "status"], std::str::from_utf8(&ended.stdout)?)
                .with_context(|| String::from_utf8_lossy(&ended.stderr).into_owned())?;
        Ok((said, ended.status.success()))
    }

    fn dropped(&self, index: usize) -> Result<u64> {
        let (status, _) = self.status(index)?;
        let counts = status["packets"].as_array().context("no packets")?;
        let found = counts.iter().find(|count| count["name"] == "untrusted_source");
        found.and_then(|count| count["packets"].as_u64()).context("no count of untrusted sources")
    }

    /// What the host of a member finds wrong with its tunnels: outcome, words and fix.
    fn inspected(&self, index: usize) -> Result<[String; 3]> {
        let question = format!("inspect --outer {} -o json", self.lb(Family::V4));
        let ended = self.backend(index, &question)?.output()?;
        let said = elb_tests::printed::value(
            &["backend", "inspect"],
            std::str::from_utf8(&ended.stdout)?,
        )?;
        let findings = said["report"]["findings"].as_array().context("no findings")?;
        let found = findings.iter().find(|finding| finding["check"] == "decapsulation");
        let found = found.context("decapsulation was not looked at")?;
        Ok(["outcome", "evidence", "fix"]
            .map(|key| found[key].as_str().unwrap_or_default().to_owned()))
    }

    fn lb(&self, family: Family) -> IpAddr {
        self.lab.lb_addrs(family)[0]
    }

    /// Whether the service of a member answers what a host sends it in a tunnel of its own, past the
    /// load balancer.
    fn is_reached_past(&self, from: &NetNs, by: &Stranger, index: usize) -> Result<bool> {
        let vip = self.lab.vip4();
        let inner = datagram(by.source, vip, b"past");
        let to = self.lab.member_addr(index, by.outer);
        let answered = from.run(|| -> Result<bool> {
            let listening = UdpSocket::bind((by.source, PORT))?;
            listening.set_read_timeout(Some(Duration::from_millis(400)))?;
            by.send(&inner, to)?;
            let mut answer = [0; 512];
            Ok(listening.recv_from(&mut answer).is_ok_and(|(_, from)| from.ip() == vip))
        })??;
        Ok(answered)
    }

    fn requests(&self, total: usize) -> Result<(usize, usize)> {
        let target = self.lab.service(Family::V4, HTTP_PORT);
        let report = http_requests(self.lab.client(), Load::on(target), total)?;
        Ok((report.answered(), report.total()))
    }
}

/// Who sends tunnel packets and is no load balancer.
struct Stranger {
    /// Its IPv4 address, which is the source inside.
    source: IpAddr,
    /// The version of the outer header.
    outer: Family,
    /// In UDP and GUE, or alone.
    gue: bool,
}

impl Stranger {
    fn send(&self, inner: &[u8], to: IpAddr) -> Result<()> {
        let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let (kind, protocol, port) = match self.gue {
            true => (Type::DGRAM, 17, 6080),
            false => (Type::RAW, 4, 0),
        };
        let socket = Socket::new(domain, kind, Some(protocol.into()))?;
        let header: &[u8] = if self.gue { &[0, 4, 0, 0] } else { &[] };
        let bytes = [header, inner].concat();
        let sent = socket.send_to(&bytes, &SockAddr::from(SocketAddr::new(to, port)))?;
        ensure!(sent == bytes.len(), "only {sent} bytes were sent");
        Ok(())
    }
}

/// An IPv4 datagram to the echo service, without a UDP checksum (RFC 768 allows that).
fn datagram(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else {
        unreachable!("strangers of these labs speak IPv4 inside");
    };
    let length = u16::try_from(payload.len()).unwrap_or_default() + 8;
    let mut packet = vec![0x45, 0];
    packet.extend((length + 20).to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, 17, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let mut sum: u32 =
        packet.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).unwrap_or_default();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    for word in [PORT, ECHO_PORT, length, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend(payload);
    packet
}

/// Case 16: a client that the white list leaves out sends IPIP straight to the backends.
#[test]
fn the_white_list_cannot_be_walked_around() -> Result<()> {
    let scene = Scene::start(Forwarding::Ipip, |config| {
        let ip_list = vec!["203.0.113.0/24".to_owned()];
        config.ip_groups.push(IpGroup { name: "friends".to_owned(), ip_list });
        config.load_balancers[0].listeners[0].ipgroup = Some(AccessControl {
            ipgroup: "friends".to_owned(),
            list: AccessList::White,
            enable_ipgroup: true,
            cut: false,
        });
    })?;
    let client = scene.lab.client();
    let source = scene.lab.client_addr(Family::V4);
    let stranger = Stranger { source, outer: Family::V4, gue: false };
    for index in [0, 1] {
        assert!(!scene.is_reached_past(client, &stranger, index)?, "backend {index}");
        assert_eq!(scene.dropped(index)?, 1);
    }
    assert_eq!(scene.inspected(0)?[0], "pass");

    // With everyone let in, the same packets are answered, and the host says so.
    scene.up(Forwarding::Ipip, "--from any")?;
    assert!(scene.is_reached_past(client, &stranger, 0)?);
    let (status, good) = scene.status(0)?;
    assert!(!good && status["problems"][0].as_str().is_some_and(|one| one.contains("--from any")));
    let [outcome, evidence, fix] = scene.inspected(0)?;
    assert_eq!(outcome, "warn");
    assert!(evidence.contains("accepts tunnel packets from any sender"), "{evidence}");
    assert!(fix.contains("--from 10.0.0.2 "), "{fix}");

    // What the report says closes it again, and probes, which come the same way, go on.
    scene.up(Forwarding::Ipip, "--from 10.0.0.2")?;
    assert!(!scene.is_reached_past(client, &stranger, 0)?);
    let (status, good) = scene.status(0)?;
    assert!(good, "{status:#}");
    assert_eq!(status["from"], serde_json::json!(["10.0.0.2/32"]));
    scene.wait_for("ONLINE")
}

/// Not a client, but another backend, in GUE over IPv6; the load balancers are given as networks.
#[test]
fn a_neighbour_in_another_kind_of_tunnel_is_dropped_too() -> Result<()> {
    let scene = Scene::start(Forwarding::Gue, |_| {})?;
    scene.up(Forwarding::Gue, "--from 10.0.0.0/29 --from fd00::2/127")?;
    let source = scene.lab.member_addr(1, Family::V4);
    for (count, (outer, gue)) in (1..).zip([
        (Family::V6, true),
        (Family::V4, true),
        (Family::V6, false),
        (Family::V4, false),
    ]) {
        let neighbour = Stranger { source, outer, gue };
        assert!(!scene.is_reached_past(scene.lab.backend(1), &neighbour, 0)?);
        assert_eq!(scene.dropped(0)?, count, "{outer:?} {gue}");
    }
    assert_eq!(scene.requests(200)?, (200, 200));
    assert_eq!(scene.dropped(0)?, 4);
    Ok(())
}

/// Sets that take each other's place while clients are served: none of their packets meets half of one.
#[test]
fn sources_are_replaced_without_a_lost_request() -> Result<()> {
    let scene = Scene::start(Forwarding::Ipip, |_| {})?;
    let many: String = (0..100).map(|n| format!(" --from 10.9.{n}.0/24")).collect();
    let target = scene.lab.service(Family::V4, HTTP_PORT);
    let load = HttpLoad::start(scene.lab.client(), Load::on(target));
    for round in 0..10 {
        let from = if round % 2 == 0 {
            format!("--from 10.0.0.2{many}")
        } else {
            "--from 10.0.0.0/24".into()
        };
        let said = scene.up(Forwarding::Ipip, &from)?;
        assert!(said.contains("decap takes packets from"), "{said}");
    }
    let report = load.stop()?;
    assert!(
        report.total() > 100 && report.failures().is_empty(),
        "{:?}",
        report.failures().first()
    );
    assert_eq!((scene.dropped(0)?, scene.dropped(1)?), (0, 0));
    Ok(())
}

/// A set that leaves the load balancer out is named from both sides, and what is said repairs it.
#[test]
fn a_load_balancer_that_is_left_out_is_named() -> Result<()> {
    let scene = Scene::start(Forwarding::Ipip, |_| {})?;
    // Where both left it out, the load balancer would suspect itself.
    scene.up_at(0, Forwarding::Ipip, "--from 10.0.0.77")?;
    let address = scene.lab.member_addr(0, Family::V4);
    scene.agent.wait_members(&[address], "OFFLINE", LIMIT)?;
    let member = format!("web/{address}");
    let shown = scene.agent.diagnose(&[&member])?;
    assert!(shown.fix().ends_with("--mode ipip --from 10.0.0.2"), "{:#}", shown.said);
    let [outcome, evidence, fix] = scene.inspected(0)?;
    assert_eq!(outcome, "fail");
    assert!(
        evidence.contains("drops tunnel packets from 10.0.0.2, the load balancer"),
        "{evidence}"
    );
    assert!(fix.contains("--from 10.0.0.77/32 --from 10.0.0.2 "), "{fix}");
    assert!(scene.dropped(0)? > 0);
    scene.up_at(0, Forwarding::Ipip, "--from 10.0.0.77/32 --from 10.0.0.2")?;
    scene.wait_for("ONLINE")?;
    assert_eq!(scene.requests(50)?, (50, 50));
    Ok(())
}

/// What an older version left: no set of sources, in the folder of another version of the maps. It goes
/// on, it is said, and `up` takes it over in place.
#[test]
fn a_set_up_of_an_older_version_is_said_and_taken_over() -> Result<()> {
    let scene = Scene::start(Forwarding::Ipip, |_| {})?;
    let place = scene.lab.backend_place(0);
    let pins = std::path::Path::new(&place[1]);
    let now = pins.join(format!("v{}", elb_common::names::ABI_VERSION));
    for map in [elb_common::names::DECAP_SOURCES, elb_common::names::DECAP_SET] {
        fs::remove_file(now.join(map))?;
    }
    fs::rename(&now, pins.join("v2"))?;
    let (status, good) = scene.status(0)?;
    let problem = status["problems"][0].as_str().unwrap_or_default().to_owned();
    assert!(!good && problem.contains("run `elb backend up` again, with --from"), "{status:#}");
    let [outcome, evidence, _] = scene.inspected(0)?;
    assert!(outcome == "warn" && evidence.contains("of an older version"), "{outcome}: {evidence}");

    let target = scene.lab.service(Family::V4, HTTP_PORT);
    let load = HttpLoad::start(scene.lab.client(), Load::on(target));
    let said = scene.up(Forwarding::Ipip, "--from 10.0.0.2")?;
    assert!(said.contains("took over what an older version pinned"), "{said}");
    let report = load.stop()?;
    assert!(report.failures().is_empty(), "{:?}", report.failures().first());
    assert!(scene.status(0)?.1);
    let source = scene.lab.client_addr(Family::V4);
    let stranger = Stranger { source, outer: Family::V4, gue: false };
    assert!(!scene.is_reached_past(scene.lab.client(), &stranger, 0)?);
    assert_eq!(scene.dropped(0)?, 1);
    Ok(())
}
