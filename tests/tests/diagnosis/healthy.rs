//! Where nothing is wrong, nothing is named: every check by every way of forwarding and version of
//! IP, and set-ups that are unusual, or strict, and right.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    diagnosis::Diagnosis,
    lab::Lab,
    server::Server,
    wire::{ECHO_PORT, HTTP_PORT, Service},
};

use crate::scene::{self, LIMIT, Scene, WEB, at_once, is_well};

const TLS_PORT: u16 = 443;
const HTTPS_PORT: u16 = 8443;
const GRPC_PORT: u16 = 50051;

/// Nothing is named, no check fails, and none warns but those in `deserved`.
fn is_clean(what: &str, answer: &Diagnosis, deserved: &[&str]) {
    is_well(answer);
    assert_eq!(answer.all_that("fail"), Vec::<&str>::new(), "{what}: {:#}", answer.said);
    let mut warned = answer.all_that("warn");
    // The machine that runs tests may be busy, and then it is right to say so.
    warned.retain(|check| *check != "load");
    assert_eq!(warned, deserved, "{what}: {:#}", answer.said);
}

/// All members of all pools are ONLINE, and one of each pool is looked at: in turns.
fn all_are_clean(scene: &Scene, deserved: &[&str]) -> Result<()> {
    at_once(scene.config.pools.len(), |turn| {
        let pool = &scene.config.pools[turn];
        let addresses: Vec<_> = pool.members.iter().map(|member| member.address).collect();
        scene.agent.wait_members(&addresses, "ONLINE", LIMIT)?;
        let name = format!("{}/{}", pool.name, addresses[turn % addresses.len()]);
        is_clean(&name, &scene.agent.diagnose(&[&name])?, deserved);
        Ok(())
    })?;
    let all = scene.agent.diagnose(&[])?;
    assert_eq!(all.code, 0, "{:#}", all.said);
    let members: usize = scene.config.pools.iter().map(|pool| pool.members.len()).sum();
    assert_eq!(all.said["healthy"].as_array().map(Vec::len), Some(members), "{:#}", all.said);
    Ok(())
}

/// A pool for each check that there is, in each version of IP.
fn pools(lab: &Lab, mode: Forwarding) -> Config {
    let quick = HealthMonitor::quick;
    let checks = [
        ("http", Protocol::Tcp, HTTP_PORT, quick(MonitorKind::Http).path("/health")),
        ("tcp", Protocol::Tcp, ECHO_PORT, quick(MonitorKind::Tcp)),
        ("tls", Protocol::Tcp, TLS_PORT, quick(MonitorKind::Tls)),
        ("https", Protocol::Tcp, HTTPS_PORT, quick(MonitorKind::Https)),
        ("grpc", Protocol::Tcp, GRPC_PORT, quick(MonitorKind::Grpc)),
        ("udp", Protocol::Udp, ECHO_PORT, quick(MonitorKind::UdpConnect)),
    ];
    let mut config = Config::new(lab);
    for (name, protocol, port, monitor) in checks {
        for (family, version) in [(Family::V4, "v4"), (Family::V6, "v6")] {
            let pool = Pool::of(lab, &format!("{name}-{version}"), family, protocol, port);
            let pool = pool.forwarding(mode).watched(monitor.clone());
            config = config.balance(lab, family, port, pool);
        }
    }
    config
}

fn nothing_is_named(mode: Forwarding) -> Result<()> {
    let mut more = Vec::new();
    let scene = Scene::start_in(Lab::builder().families(Families::Both), |lab| {
        for netns in lab.backends() {
            let https = [TLS_PORT, HTTPS_PORT].map(|port| (Service::Https, port));
            let offers = [&https[..], &[(Service::Grpc, GRPC_PORT)]].concat();
            more.push(Server::start_with(netns, "more", &offers, None)?);
        }
        Ok(pools(lab, mode))
    })?;
    all_are_clean(&scene, &[])?;
    let text = scene.agent.end(&["diagnose", "lb-0"], LIMIT)?;
    assert!(text.printed.contains("http-v4/10.0.0.11:80: healthy"), "{text:?}");
    Ok(())
}

#[test]
fn nothing_is_named_for_healthy_members_by_l2() -> Result<()> {
    nothing_is_named(Forwarding::L2)
}

#[test]
fn nothing_is_named_for_healthy_members_by_ipip() -> Result<()> {
    nothing_is_named(Forwarding::Ipip)
}

#[test]
fn nothing_is_named_for_healthy_members_by_gue() -> Result<()> {
    nothing_is_named(Forwarding::Gue)
}

/// A member without weight, direct probes, a port, a host, a code and a source of their own.
#[test]
fn nothing_is_named_where_the_configuration_is_only_unusual() -> Result<()> {
    const PORTS: [u16; 5] = [8081, 8082, 8083, 8084, 8085];
    let quick = HealthMonitor::quick;
    let mut more = Vec::new();
    let scene = Scene::start_in(Lab::builder(), |lab| {
        lab.lb().ip("address add 10.0.0.3/24 dev lb0")?;
        let monitors = [
            ("no-weight", quick(MonitorKind::Tcp)),
            ("direct", quick(MonitorKind::Http).direct()),
            ("other-port", quick(MonitorKind::Tcp).port(ECHO_PORT)),
            ("host", quick(MonitorKind::Http).path("/host/a.example").host("a.example")),
            ("code", quick(MonitorKind::Http).path("/status/404").codes("200-299,404")),
        ];
        for netns in lab.backends() {
            let offers = PORTS.map(|port| (Service::Http, port));
            more.push(Server::start_with(netns, "more", &offers, None)?);
        }
        let mut config = Config::new(lab);
        config.agent.probe_source = Some([10, 0, 0, 3].into());
        for (port, (name, monitor)) in PORTS.into_iter().zip(monitors) {
            let pool = Pool::of(lab, name, Family::V4, Protocol::Tcp, port).watched(monitor);
            config = config.balance(lab, Family::V4, port, pool);
        }
        config.pool_mut("no-weight").members[0].weight = 0;
        Ok(config)
    })?;
    all_are_clean(&scene, &[])
}

#[test]
fn nothing_is_named_where_nothing_is_watched() -> Result<()> {
    let scene = Scene::begin(Lab::builder(), |lab| {
        let pool = Pool::of(lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT);
        Ok(Config::new(lab).balance(lab, Family::V4, HTTP_PORT, pool))
    })?;
    scene.wait_for(0, "NO_MONITOR")?;
    is_clean("no health check", &scene.diagnose(0)?, &[]);
    Ok(())
}

/// Its link takes packets of clients, but not with outer headers: of that the report warns.
#[test]
fn nothing_is_named_behind_a_router() -> Result<()> {
    let scene = scene::behind_a_router(|lab| {
        let pool = |name: &str, port| Pool::of(lab, name, Family::V4, Protocol::Tcp, port);
        let ipip = pool("ipip", HTTP_PORT).monitored_by(MonitorKind::Http);
        let gue = pool("gue", ECHO_PORT).forwarding(Forwarding::Gue);
        let config = Config::new(lab).balance(lab, Family::V4, HTTP_PORT, ipip);
        let gue = gue.monitored_by(MonitorKind::Tcp);
        Ok(config.balance(lab, Family::V4, ECHO_PORT, gue))
    })?;
    all_are_clean(&scene, &["mtu"])
}

/// Hosts that are strict, and let probes in; they are asked as well.
#[test]
fn nothing_is_named_on_hosts_that_are_only_strict() -> Result<()> {
    const HOSTS: [&str; 8] = [
        "nft add table inet lab
         nft 'add chain inet lab in { type filter hook input priority 0; policy drop; }'
         nft 'add rule inet lab in ip saddr 10.0.0.2 tcp dport { 22, 80 } accept'
         nft 'add rule inet lab in ip protocol icmp accept'",
        "nft add table inet lab
         nft 'add chain inet lab in { type filter hook input priority 0; policy drop; }'
         nft 'add rule inet lab in ct state established,related accept'
         nft 'add rule inet lab in ip saddr 10.0.0.0/24 tcp dport 80 ct state new accept'
         nft 'add chain inet lab way { type filter hook forward priority 0; policy drop; }'
         nft 'add chain inet lab out { type filter hook output priority 0; policy drop; }'
         nft 'add rule inet lab out ct state established accept'
         nft 'add rule inet lab out ip protocol icmp accept'",
        "iptables-legacy -A INPUT -s 10.0.0.0/24 -p tcp --dport 80 -j ACCEPT
         iptables-legacy -A INPUT -p icmp -j ACCEPT
         iptables-legacy -A INPUT -j DROP",
        "iptables-nft -A INPUT -p tcp --dport 22 -j DROP
         iptables-nft -A INPUT -s 10.0.0.77 -j DROP
         iptables-nft -A OUTPUT -d 10.0.0.77 -j REJECT",
        "ip route add blackhole 192.0.2.0/24
         ip rule add to 10.77.0.0/16 prohibit pref 77
         ip route add default via 10.0.0.10",
        "sysctl -w net.ipv4.icmp_echo_ignore_all=1 net.ipv4.conf.all.accept_redirects=0 \
         net.ipv4.conf.all.log_martians=1 net.ipv4.tcp_syncookies=2",
        "sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.all.arp_ignore=2 \
         net.ipv4.conf.eth0.arp_ignore=2 net.ipv4.conf.all.arp_announce=2",
        "ip address add 10.0.0.200/24 dev eth0
         ip address add 10.88.0.1/24 dev eth0
         ip address add 10.0.0.101/32 dev lo",
    ];
    let hosts = u8::try_from(HOSTS.len())?;
    let scene = Scene::start_in(Lab::builder().backends(hosts), |lab| {
        let monitor = HealthMonitor::quick(MonitorKind::Http);
        Ok(scene::config(lab, Forwarding::Ipip, monitor))
    })?;
    for (index, lines) in HOSTS.iter().enumerate() {
        scene.run(index, lines)?;
        scene.run(index, "ip route replace default via 10.0.0.10")?;
    }
    at_once(HOSTS.len(), |index| {
        scene.wait_for(index, "ONLINE")?;
        is_clean(HOSTS[index], &scene.diagnose_with_host(index)?, &[]);
        Ok(())
    })
}

/// As containers with published ports have it: the port that is probed goes to another one, which a
/// strict filter lets in.
#[test]
fn nothing_is_named_where_ports_are_translated() -> Result<()> {
    const PUBLISHED: u16 = 8088;
    // Direct ones, which do not contradict what the host says of traffic.
    let monitor = HealthMonitor::quick(MonitorKind::Tcp).port(PUBLISHED).direct();
    let scene = Scene::begin(Lab::builder(), |lab| {
        Ok(scene::config(lab, Forwarding::Ipip, monitor.clone()))
    })?;
    scene.run(
        0,
        &format!(
            "nft add table ip lab
             nft 'add chain ip lab pre {{ type nat hook prerouting priority -100; }}'
             nft add rule ip lab pre tcp dport {PUBLISHED} redirect to :{HTTP_PORT}
             nft 'add chain ip lab in {{ type filter hook input priority 0; policy drop; }}'
             nft add rule ip lab in meta l4proto '{{ ipencap, icmp }}' accept
             nft add rule ip lab in tcp dport {HTTP_PORT} accept
             nft add rule ip lab in ct state established accept"
        ),
    )?;
    scene.wait_for(0, "ONLINE")?;
    is_well(&scene.diagnose(0)?);
    let answer = scene.diagnose_with_host(0)?;
    is_well(&answer);
    assert_eq!(answer.all_that("fail"), Vec::<&str>::new(), "{:#}", answer.said);
    Ok(())
}

/// What another host says of itself is no matter of the member, whether that works or not.
#[test]
fn nothing_is_concluded_from_the_wrong_host() -> Result<()> {
    let monitor = HealthMonitor::quick(MonitorKind::Http).direct();
    let mut scene = Scene::start_in(Lab::builder().backends(2), |lab| {
        Ok(scene::config(lab, Forwarding::Ipip, monitor))
    })?;
    // Nothing listens there.
    scene.servers[1].kill()?;
    let answer = scene.diagnose_with_host_of(0, 1)?;
    is_well(&answer);
    for check in ["listening", "firewall", "route", "virtual-address"] {
        assert_ne!(answer.outcome(check), "fail", "{check}: {:#}", answer.said);
    }
    scene.servers[0].kill()?;
    scene.wait_for(0, "OFFLINE")?;
    let answer = scene.diagnose_with_host_of(0, 1)?;
    scene::is_named(&answer, "listening", "");
    let asked = scene.run(1, "elb backend inspect --to 10.0.0.11 --port 80 -o json || true")?;
    assert!(asked.contains("10.0.0.11 is no address of"), "{asked}");
    Ok(())
}
