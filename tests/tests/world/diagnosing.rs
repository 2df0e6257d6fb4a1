//! A diagnosis names what explains the failure, and nothing that is merely peculiar.

#[path = "../diagnosis/scene.rs"]
#[allow(dead_code, reason = "the labs of diagnosis use the rest of it")]
mod scene;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elb_tests::{
    address::{Families, Family, Host, Network},
    agent::Agent,
    client::{Load, http_requests},
    config::{Forwarding, HealthMonitor, MonitorKind},
    diagnosis::Diagnosis,
    lab::Lab,
    wire::HTTP_PORT,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use self::scene::{LIMIT, Scene, is_named, is_well};

/// What hosts are like without harm, all at once: loose and strict filtering that drops nothing, a second
/// address, rules of firewalld and kube-proxy and others that have nothing to do with the service.
const PECULIAR: &str = "
    sysctl -qw net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.lo.rp_filter=2
    ip route add default via 10.0.0.10
    ip address add 10.0.0.201/24 dev eth0
    ip address add 10.0.0.102/32 dev lo
    nft add table inet firewalld
    nft 'add chain inet firewalld filter_PREROUTING { type filter hook prerouting priority 10; }'
    nft add rule inet firewalld filter_PREROUTING meta nfproto ipv6 fib saddr . mark . iif oif missing drop
    nft 'add chain inet firewalld filter_INPUT { type filter hook input priority 10; }'
    nft add rule inet firewalld filter_INPUT ct state established,related accept
    nft add rule inet firewalld filter_INPUT ip protocol icmp accept
    nft 'add rule inet firewalld filter_INPUT tcp dport { 22, 80 } accept'
    nft 'add rule inet firewalld filter_INPUT meta l4proto { 4, 41 } accept'
    nft add rule inet firewalld filter_INPUT tcp dport 8443 drop
    nft add table ip kube-proxy
    nft 'add chain ip kube-proxy services { type nat hook prerouting priority -100; }'
    nft add rule ip kube-proxy services ip daddr 10.96.0.1 tcp dport 443 dnat to 10.0.0.12:6443
    nft 'add chain ip kube-proxy masquerading { type nat hook postrouting priority 100; }'
    nft add rule ip kube-proxy masquerading meta mark 0x4000 masquerade";

fn no_mtu(shown: &Diagnosis) {
    for check in ["mtu", "sysctls", "firewall", "route"] {
        assert_ne!(shown.cause(), Some(check), "{:#}", shown.said);
        assert_ne!(shown.outcome(check), "fail", "{:#}", shown.said);
    }
}

/// U2, U8 and more of the matrix, where interfaces take 1500 bytes everywhere: a service that hangs, one
/// that is gone, one that works again, and one that works.
#[test]
fn the_cause_is_named_next_to_what_is_peculiar() -> Result<()> {
    let quick = HealthMonitor::quick(MonitorKind::Http);
    let monitor = HealthMonitor { delay: 3, max_retries: 10, ..quick };
    let shape = Lab::builder().backends(3).mtu(1500).standby();
    let mut scene =
        Scene::start_in(shape, |lab| Ok(scene::config(lab, Forwarding::Ipip, monitor)))?;
    for index in 0..3 {
        scene.run(index, PECULIAR)?;
    }
    advertise_by_vrrp(&scene.lab)?;
    for shown in [scene.diagnose(2)?, scene.diagnose_with_host(2)?] {
        is_well(&shown);
        assert_eq!(shown.all_that("fail"), Vec::<&str>::new(), "{:#}", shown.said);
    }

    let stopped = scene.servers[0].id();
    scene.run(0, &format!("kill -STOP {stopped}"))?;
    scene.servers[1].kill()?;
    let shown = scene.names(0, "load")?;
    is_named(&shown, "load", "takes connections, but the service answers none within 1s");
    no_mtu(&shown);
    let shown = scene.names_with_host(0, "load")?;
    is_named(&shown, "load", &format!("lab-server (process {stopped}) is stopped"));
    scene.follow(0, &shown, &[])?;
    let shown = scene.names(1, "listening")?;
    no_mtu(&shown);
    scene.servers[1].restart()?;

    // Both work now, and ten probes in a row are to succeed before they are ONLINE.
    for index in [0, 1] {
        let shown = scene.diagnose(index)?;
        is_well(&shown);
        let said = shown.finding("configuration")["evidence"].as_str().unwrap_or_default();
        assert!(said.contains("it works now; 10 successful probes in a row"), "{:#}", shown.said);
    }
    // The other two are well, for all that is peculiar about them.
    is_well(&scene.diagnose(2)?);
    Ok(())
}

/// A neighbour that speaks VRRP (RFC 5798), as keepalived does.
fn advertise_by_vrrp(lab: &Lab) -> Result<()> {
    const VRRP: i32 = 112;
    let source = Network::Back.address(Family::V4, Host::Standby);
    lab.standby().run(|| -> Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(VRRP)))?;
        socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        socket.set_multicast_ttl_v4(255)?;
        if let IpAddr::V4(source) = source {
            socket.set_multicast_if_v4(&source)?;
        }
        let group = SockAddr::from(SocketAddr::from(([224, 0, 0, 18], 0)));
        for _ in 0..3 {
            socket.send_to(&[0x31, 7, 100, 1, 0, 100, 0, 0, 10, 0, 0, 99], &group)?;
        }
        Ok(())
    })?
}

/// U3: `/` is served, and the health path says that the service is not ready.
#[test]
fn a_service_that_says_that_it_is_not_ready_is_believed() -> Result<()> {
    for (code, words) in [
        (503, "the service itself says that it is not ready; / is answered as expected"),
        (429, "the service itself says that it gets too many requests; / is answered"),
    ] {
        let path = format!("/status/{code}");
        let monitor = HealthMonitor::quick(MonitorKind::Http).path(&path);
        let scene = Scene::begin(Lab::builder().backends(1).mtu(1500), |lab| {
            Ok(scene::config(lab, Forwarding::Ipip, monitor))
        })?;
        let shown = scene.names(0, "listening")?;
        is_named(&shown, "listening", words);
        assert!(
            shown.fix().contains(&format!("curl -i http://10.0.0.11:80{path}")),
            "{}",
            shown.fix()
        );
    }
    Ok(())
}

/// U6: a backend that answers ARP for the virtual address, and a stranger that has the IPv6 one.
#[test]
fn others_that_answer_for_a_virtual_address_are_named() -> Result<()> {
    let scene = Scene::start_in(Lab::builder().families(Families::Both).backends(2), |lab| {
        let monitor = HealthMonitor::quick(MonitorKind::Tcp);
        let mut config = scene::config(lab, Forwarding::Ipip, monitor);
        let IpAddr::V6(vip) = lab.vip6() else { unreachable!("it is of IPv6") };
        config.load_balancers[0].ipv6_vip_address = Some(vip);
        Ok(config)
    })?;
    let none =
        |said: &serde_json::Value| said["agent"]["problems"].as_array().is_some_and(Vec::is_empty);
    scene.agent.wait_status("no problem", LIMIT, none)?;

    scene.run(1, "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0")?;
    wait_problem(&scene.agent, &["10.0.0.12", "02:e1:b0:00:00:0c", "10.0.0.100 on lb0"])?;
    let shown = scene.diagnose(1)?;
    is_named(
        &shown,
        "sysctls",
        "10.0.0.12 answers for the virtual address 10.0.0.100 on its segment",
    );
    let shown = scene.agent.diagnose(&[])?;
    assert_eq!((shown.code, shown.cause()), (1, Some("sysctls")), "{:#}", shown.said);
    is_well(&scene.diagnose(0)?);
    scene.run(1, "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.eth0.arp_ignore=1")?;
    scene.agent.wait_status("no problem", LIMIT, none)?;

    scene.lab.client().ip("address add fd00::100/128 dev eth0 nodad")?;
    wait_problem(&scene.agent, &["another host (02:e1:b0:00:00:0a)", "fd00::100 on lb0"])?;
    let shown = scene.agent.diagnose(&["lb:lb-0"])?;
    is_named(&shown, "address-bound", "another host (02:e1:b0:00:00:0a) answers for");
    scene.lab.client().ip("address del fd00::100/128 dev eth0")?;
    scene.agent.wait_status("no problem", LIMIT, none).map(drop)
}

fn wait_problem(agent: &Agent, words: &[&str]) -> Result<()> {
    let has = |said: &serde_json::Value| {
        let problems = said["agent"]["problems"].as_array();
        problems
            .into_iter()
            .flatten()
            .filter_map(|one| one.as_str())
            .any(|problem| words.iter().all(|word| problem.contains(word)))
    };
    agent.wait_status(&format!("a problem with {words:?}"), LIMIT, has).map(drop)
}

/// U10: probes are answered, which come from the load balancer's own segment, and clients are not.
#[test]
fn a_member_whose_answers_do_not_find_the_clients_is_named() -> Result<()> {
    let scene = Scene::start_in(Lab::builder().backends(2).two_armed(), |lab| {
        Ok(scene::config(lab, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp)))
    })?;
    let routes = scene.run(1, "ip route show | grep via")?;
    scene.run(1, "ip route show | grep via | while read route; do ip route del $route; done")?;
    let target = scene.lab.service(Family::V4, HTTP_PORT);
    let stuck = |said: &serde_json::Value| {
        let problems = said["agent"]["problems"].as_array();
        problems.into_iter().flatten().filter_map(|one| one.as_str()).any(|problem| {
            problem.contains("no packet followed one") && problem.contains("10.0.0.12")
        })
    };
    let deadline = Instant::now() + LIMIT;
    while !stuck(&scene.agent.status()?) {
        ensure!(
            Instant::now() < deadline,
            "it is not noticed: {:#}",
            scene.agent.status()?["agent"]
        );
        knock(&scene.lab, target)?;
    }
    scene.wait_for(1, "ONLINE")?;
    let shown = scene.diagnose(1)?;
    is_named(&shown, "route", "not one was followed by a packet");
    let asked = scene.run(1, "elb backend inspect --client 10.1.0.10 -o json || true")?;
    assert!(asked.contains("there is no route to 10.1.0.10"), "{asked}");
    is_well(&scene.diagnose(0)?);

    for route in routes.lines() {
        scene.run(1, &format!("ip route add {route}"))?;
    }
    let report = http_requests(scene.lab.client(), Load::on(target), 400)?;
    assert_eq!(report.answered(), report.total());
    scene.agent.wait_status("nothing stuck", LIMIT, |said| !stuck(said))?;
    is_well(&scene.diagnose(1)?);
    Ok(())
}

/// A few connections, which half of the members do not answer.
fn knock(lab: &Lab, target: SocketAddr) -> Result<()> {
    let connect = || {
        (0..6)
            .map(|_| TcpStream::connect_timeout(&target, Duration::from_millis(150)))
            .collect::<Vec<_>>()
    };
    let tried = lab.client().run(connect)?;
    ensure!(tried.iter().any(std::result::Result::is_ok) || tried.len() == 6, "no attempt");
    Ok(())
}
