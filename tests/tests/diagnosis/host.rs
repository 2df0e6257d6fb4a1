//! What only the member's host knows: it is asked, its words come first, and the commands of the
//! report are run there as they stand.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Families,
    config::{Forwarding, HealthMonitor, MonitorKind},
    diagnosis::Diagnosis,
    lab::Lab,
    running::Running,
    server::Server,
    wire::{HTTP_PORT, Service},
};

use crate::scene::{self, Harm, Scene, at_once, is_named};

fn start(backends: u8, mode: Forwarding, monitor: HealthMonitor) -> Result<Scene> {
    let shape = Lab::builder().backends(backends);
    Scene::start_in(shape, |lab| Ok(scene::config(lab, mode, monitor)))
}

#[test]
fn the_rule_that_drops_probes_or_answers_is_named() -> Result<()> {
    let scene = start(5, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.are_named_and_mended(
        "OFFLINE",
        &[
            Harm::new(
                "nft add table inet lab
                 nft 'add chain inet lab out { type filter hook output priority 0; }'
                 nft add rule inet lab out tcp sport 80 drop",
                "firewall",
                "nft rule inet lab out handle 2 (`tcp sport 80 drop`) drops TCP from 10.0.0.",
            ),
            Harm::new(
                "nft add table inet lab
                 nft 'add chain inet lab early { type filter hook prerouting priority -300; }'
                 nft add rule inet lab early tcp dport 80 drop",
                "firewall",
                "nft rule inet lab early handle 2",
            ),
            Harm::new(
                "nft add table inet lab
                 nft 'add chain inet lab in { type filter hook input priority 0; policy drop; }'",
                "firewall",
                "the policy of nft chain inet lab in drops",
            ),
            Harm::new(
                "iptables-legacy -A INPUT -p tcp --dport 80 -j DROP",
                "firewall",
                "iptables-legacy table filter, chain INPUT, rule 1",
            ),
            Harm::new(
                "iptables-nft -A OUTPUT -p tcp --sport 80 -j REJECT",
                "firewall",
                "iptables-nft table filter, chain OUTPUT, rule 1",
            ),
        ],
    )
}

#[test]
fn what_sends_answers_nowhere_or_leaves_probes_wrapped_is_named() -> Result<()> {
    let scene = start(7, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.are_named_and_mended(
        "OFFLINE",
        &[
            Harm::new(
                "ip route add unreachable 10.0.0.2",
                "route",
                "`route unreachable 10.0.0.2/32` is in the way",
            ),
            Harm::new(
                "ip route add blackhole 10.0.0.2",
                "route",
                "`route blackhole 10.0.0.2/32` is in the way",
            ),
            Harm::new("ip rule add to 10.0.0.2 prohibit pref 77", "route", "`rule preference 77"),
            Harm::new(
                "ip route del 10.0.0.0/24 dev eth0",
                "route",
                "the route of that network is gone",
            ),
            Harm::new(
                "elb backend up --vip 10.0.0.101 --mode ipip --from 10.0.0.2
                 elb backend down --vip 10.0.0.100
                 ip address add 10.0.0.100/32 dev lo scope host",
                "decapsulation",
                "elb's program is on eth0, but does not know 10.0.0.100",
            ),
            Harm::new(
                "elb backend up --vip 10.0.0.100 --mode ipip --from 10.0.0.77",
                "decapsulation",
                "elb's program drops tunnel packets from 10.0.0.2, the load balancer",
            ),
            Harm::new(
                "ip link set eth0 down",
                "route",
                "eth0, which has an address next to it, is down",
            ),
        ],
    )
}

/// Answers leave by another interface than the one that probes come in by.
#[test]
fn a_strict_rp_filter_is_named() -> Result<()> {
    let scene = start(1, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp))?;
    let lb = scene.lab.lb();
    scene.run(
        0,
        &format!(
            "ip link add other type veth peer name far
             ip link set far netns {0}
             ip address add 10.9.0.11/24 dev other
             ip link set other up
             ip -netns {0} address add 10.9.0.2/24 dev far
             ip -netns {0} link set far up",
            lb.name()
        ),
    )?;
    for interface in ["all", "far"] {
        lb.sysctl(&format!("ipv4/conf/{interface}/rp_filter"), "0")?;
    }
    scene.run(0, "ip route add 10.0.0.2 via 10.9.0.2 dev other")?;
    scene.repaired(0)?;

    scene.run(0, "sysctl -w net.ipv4.conf.eth0.rp_filter=1")?;
    let answer = scene.names_with_host(0, "sysctls")?;
    is_named(&answer, "sysctls", "answers to 10.0.0.2 go out by other: those packets are dropped");
    scene.follow(0, &answer, &[])?;
    scene.repaired(0)
}

#[test]
fn what_spoils_direct_server_return_is_named_though_probes_succeed() -> Result<()> {
    let scene = start(3, Forwarding::L2, HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.are_named_and_mended(
        "ONLINE",
        &[
            Harm::new(
                "sysctl -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0",
                "sysctls",
                "arp_ignore is 0, and so this host answers ARP requests for virtual addresses",
            ),
            Harm::new(
                "sysctl -w net.ipv4.conf.all.arp_announce=0 net.ipv4.conf.eth0.arp_announce=0",
                "sysctls",
                "arp_announce is 0, and so this host announces virtual addresses as its own",
            ),
            Harm::new(
                "ip address del 10.0.0.100/32 dev lo
                 ip address add 10.0.0.100/32 dev eth0",
                "virtual-address",
                "10.0.0.100 is on eth0, which answers for it",
            ),
        ],
    )
}

#[test]
fn a_service_that_listens_elsewhere_is_named_with_where() -> Result<()> {
    let shape = Lab::builder().families(Families::Both).backends(4);
    let mut scene = Scene::start_in(shape, |lab| {
        let monitor = HealthMonitor::quick(MonitorKind::Tcp);
        Ok(scene::config(lab, Forwarding::Ipip, monitor))
    })?;
    let own = scene.address(1);
    let places: [(IpAddr, &str); 3] = [
        ("127.0.0.1".parse()?, "takes connections from this host only"),
        (own, "listens on another address"),
        ("::".parse()?, "takes IPv6 only"),
    ];
    let mut servers = Vec::new();
    for (index, (address, _)) in places.iter().enumerate() {
        scene.servers[index].kill()?;
        servers.push(serve(&scene, index, *address)?);
    }
    scene.servers[3].kill()?;
    let mut command = scene.lab.backend(3).command("socat");
    command.args(["TCP4-LISTEN:80,fork,reuseaddr,so-bindtodevice=lo", "PIPE"]);
    let bound = Running::start("a service of lo", command)?;

    for (index, (_, why)) in places.iter().enumerate() {
        scene.names(index, "listening")?;
        let answer = scene.diagnose_with_host(index)?;
        is_named(&answer, "listening", why);
        drop(servers.remove(0));
        servers.push(serve(&scene, index, address_to_listen_on(&answer)?)?);
    }
    let answer = scene.names_with_host(3, "listening")?;
    is_named(&answer, "listening", "takes only what comes in by lo; probes come in by eth0");
    assert!(answer.fix().contains("without SO_BINDTODEVICE"), "{}", answer.fix());
    drop(bound);
    scene.servers[3].restart()?;
    at_once(4, |index| scene.repaired(index))
}

/// With `probe_path = "direct"`, what probes of the member's own address meet decides.
#[test]
fn a_service_of_the_virtual_address_alone_is_named_for_direct_probes() -> Result<()> {
    let mut scene = start(1, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp).direct())?;
    scene.servers[0].kill()?;
    let server = serve(&scene, 0, scene.lab.vip4())?;
    let answer = scene.names_with_host(0, "listening")?;
    is_named(&answer, "listening", "nothing listens on 10.0.0.11 port 80/tcp");
    let outside = scene.diagnose(0)?.finding("virtual-address")["evidence"].to_string();
    assert!(outside.contains("is not probed: probe_path is"), "{outside}");
    drop(server);
    let _server = serve(&scene, 0, address_to_listen_on(&answer)?)?;
    scene.repaired(0)
}

#[test]
fn a_host_that_ignores_echo_requests_is_named_for_udp() -> Result<()> {
    let scene = Scene::start_in(Lab::builder().backends(1), |lab| Ok(scene::echoes(lab)))?;
    scene.are_named_and_mended(
        "OFFLINE",
        &[Harm::new(
            "sysctl -w net.ipv4.icmp_echo_ignore_all=1",
            "sysctls",
            "net.ipv4.icmp_echo_ignore_all is 1",
        )],
    )
}

fn serve(scene: &Scene, index: usize, address: IpAddr) -> Result<Server> {
    let name = scene.lab.backend_name(index);
    let offers = [(Service::Http, HTTP_PORT)];
    Server::start_with(scene.lab.backend(index), &name, &offers, Some(address))
}

/// `let NAME listen on ADDRESS, or on …`
fn address_to_listen_on(answer: &Diagnosis) -> Result<IpAddr> {
    let (_, rest) = answer.fix().split_once("listen on ").context("where to listen")?;
    let end = rest.find(',').unwrap_or(rest.len());
    Ok(rest[..end].trim_matches(['[', ']']).parse()?)
}
