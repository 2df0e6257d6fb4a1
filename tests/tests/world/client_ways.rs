//! The ways back to clients follow the kernel's routes and neighbours, and get into the maps.

use std::{
    fmt::Write as _,
    net::IpAddr,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use elb_common::{
    addr::Mac,
    client_hop::{ClientHop, hop_kind},
};
use elb_tests::{
    host::PinDir,
    netns::NetNs,
    veth::{self, End},
    wait::wait_for,
};
use elb_userspace::{
    control::{
        network::{ClientWays, Network, WantedAddresses, client_hops::ClientHops},
        plan::{Image, MapStore as _, plan},
    },
    kernel::{
        bpf::{Capacity, LoadedObject, Maps},
        net::follow::{look, thread::follow},
    },
    model::ipgroup::Cidr,
};
use tokio::{runtime::Builder, sync::watch};

/// A limit for hangs: what is waited for takes seconds at the most.
const LIMIT: Duration = Duration::from_secs(60);

const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A load balancer's host at 10.0.0.10 and fd00::10, whose routes are followed, with a router at 10.0.0.1 and
/// fd00::1, and a static neighbour at 10.0.0.2.
struct Scene {
    host: NetNs,
    router: NetNs,
    wanted: watch::Sender<WantedAddresses>,
    network: watch::Receiver<Network>,
    following: Option<JoinHandle<Result<()>>>,
}

impl Scene {
    fn start() -> Result<Self> {
        let (host, router) = (NetNs::new("host")?, NetNs::new("router")?);
        let end = |netns: &NetNs, mac, last: u8| End {
            netns: netns.clone(),
            name: "eth0".to_owned(),
            mac,
            mtu: 1500,
            addresses: vec![
                (IpAddr::from([10, 0, 0, last]), 24),
                (IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, if last == 1 { 1 } else { 0x10 }]), 64),
            ],
        };
        veth::join(&end(&host, [2, 0, 0, 0, 0, 10], 10), &end(&router, GATEWAY, 1))?;
        host.ip("neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent")?;
        let (wanted, addresses) = watch::channel(clients(&host)?);
        let (known, network) = watch::channel(Network::default());
        let following = host.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(follow(addresses, known))?)
        });
        let following = std::thread::spawn(move || following.join().expect("it does not panic")?);
        Ok(Self { host, router, wanted, network, following: Some(following) })
    }

    fn ways(&self) -> Option<Arc<ClientWays>> {
        self.network.borrow().clients.clone()
    }

    fn hop(&self, client: &str) -> Option<ClientHop> {
        let client = client.parse().expect("an address");
        self.ways().map(|ways| ways.hops.hop(client))
    }

    /// Waits until a client is behind something; how long it took.
    fn until(&self, client: &str, is_there: impl Fn(&ClientHop) -> bool) -> Result<Duration> {
        let begun = Instant::now();
        let there = || Ok(self.hop(client).is_some_and(|hop| is_there(&hop)).then_some(()));
        wait_for(&format!("another way to {client}"), LIMIT, there)
            .with_context(|| format!("it is {:?}", self.hop(client)))?;
        Ok(begun.elapsed())
    }

    fn is_of_kind(&self, kind: u16, clients: &[&str]) -> Result<()> {
        clients.iter().try_for_each(|client| self.until(client, |hop| hop.kind == kind).map(drop))
    }

    /// Waits until clients are behind an Ethernet address.
    fn is_by(&self, mac: [u8; 6], clients: &[&str]) -> Result<()> {
        let by = |hop: &ClientHop| hop.kind == hop_kind::KNOWN && hop.next_hop == Mac::new(mac);
        clients.iter().try_for_each(|client| self.until(client, by).map(drop))
    }

    /// Changes something in the host's network.
    fn ip(&self, line: &str) -> Result<()> {
        self.host.ip(line).map(drop)
    }

    fn end(mut self) -> Result<()> {
        let following = self.following.take();
        drop(self.wanted);
        following.map_or(Ok(()), |thread| thread.join().expect("it does not panic"))
    }
}

/// Clients by eth0, and no members.
fn clients(host: &NetNs) -> Result<WantedAddresses> {
    let clients = Some([host.index_of("eth0")?].into());
    Ok(WantedAddresses { clients, ..WantedAddresses::default() })
}

#[test]
fn clients_are_behind_the_routes_that_the_kernel_has() -> Result<()> {
    let scene = Scene::start()?;
    let (far, far6) = ("192.0.2.7", "2001:db8::7");
    scene.is_of_kind(hop_kind::NONE, &[far, far6])?;
    scene.is_of_kind(hop_kind::LOCAL, &["10.0.0.10", "fd00::10"])?;
    scene.is_of_kind(hop_kind::KERNEL, &["10.0.0.77", "fd00::77"])?;

    // The kernel is made to find its gateway, and keeps it.
    scene.ip("route add default via 10.0.0.1\nroute add default via fd00::1")?;
    scene.is_by(GATEWAY, &[far, far6])?;
    let hop = scene.hop(far).context("it is known")?;
    let index = scene.host.index_of("eth0")?;
    assert_eq!(
        (hop.ifindex, hop.largest, hop.source),
        (index, 1500, Mac::new([2, 0, 0, 0, 0, 10]))
    );

    scene.ip("route replace default via 10.0.0.2 mtu 1400")?;
    scene.until(far, |hop| hop.next_hop == Mac::new(OTHER) && hop.largest == 1400)?;
    scene.ip("route add default via 10.0.0.1 metric 50")?;
    scene.ip("route del default via 10.0.0.2")?;
    scene.is_by(GATEWAY, &[far])?;

    scene.ip("route add unreachable 198.51.100.0/24\nroute add blackhole 2001:db8:5::/48")?;
    scene.is_of_kind(hop_kind::NONE, &["198.51.100.9", "2001:db8:5::1"])?;
    scene.is_by(GATEWAY, &[far, far6, "198.51.101.9"])?;

    scene.ip(
        "route add 203.0.113.0/24 nexthop via 10.0.0.250 dev eth0 nexthop via 10.0.0.2 dev eth0",
    )?;
    scene.is_by(OTHER, &["203.0.113.9"])?;
    scene.ip("nexthop add id 7 via 10.0.0.2 dev eth0\nroute add 100.64.0.0/10 nhid 7")?;
    scene.is_by(OTHER, &["100.64.0.1", "100.127.0.1"])?;
    scene.end()
}

#[test]
fn clients_on_link_are_behind_their_own_addresses_while_they_are_known() -> Result<()> {
    let scene = Scene::start()?;
    let here = ["10.0.0.77", "fd00::77"];
    scene.is_of_kind(hop_kind::KERNEL, &here)?;
    let neigh = |verb: &str, last: u8| {
        let of = |client| {
            format!("neigh {verb} {client} lladdr 02:00:00:00:01:{last:02x} dev eth0 nud stale")
        };
        scene.ip(&here.map(of).join("\n"))
    };
    neigh("add", 0x77)?;
    scene.is_by([2, 0, 0, 0, 1, 0x77], &here)?;
    neigh("replace", 0x78)?;
    scene.is_by([2, 0, 0, 0, 1, 0x78], &here)?;
    scene.ip(&here.map(|client| format!("neigh del {client} dev eth0")).join("\n"))?;
    scene.is_of_kind(hop_kind::KERNEL, &here)?;
    assert!(!scene.host.ip("neigh show")?.contains("77"), "nothing keeps a client's entry");

    // Another interface carries nothing.
    scene.ip("link add other type veth peer name more\naddr add 10.5.0.10/24 dev other\nlink set other up\nlink set more up")?;
    scene.ip("neigh add 10.5.0.7 lladdr 02:00:00:00:05:07 dev other nud permanent")?;
    scene.ip("route add default via 10.5.0.7")?;
    scene.is_of_kind(hop_kind::LOCAL, &["10.5.0.10"])?;
    scene.is_of_kind(hop_kind::KERNEL, &["10.5.0.7", "192.0.2.7"])?;
    scene.end()
}

#[test]
fn a_gateway_that_gets_another_address_and_a_link_that_goes_down_are_followed() -> Result<()> {
    const NEW: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
    let scene = Scene::start()?;
    let far = ["192.0.2.7", "2001:db8::7"];
    let routes = "route add default via 10.0.0.1\nroute add default via fd00::1";
    scene.ip(routes)?;
    scene.is_by(GATEWAY, &far)?;
    scene.router.ip("link set eth0 address 02:00:00:00:00:11")?;
    scene.is_by(NEW, &far)?;

    scene.ip("link set eth0 down")?;
    scene.is_of_kind(hop_kind::NONE, &far)?;
    scene.is_of_kind(hop_kind::NONE, &["10.0.0.77"])?;
    scene.ip(
        "addr flush dev eth0\naddr add 10.0.0.10/24 dev eth0\naddr add fd00::10/64 dev eth0 nodad",
    )?;
    scene.ip("link set eth0 up")?;
    scene.ip(routes)?;
    scene.is_by(NEW, &far)?;
    scene.is_of_kind(hop_kind::KERNEL, &["10.0.0.77"])?;

    let rules = |scene: &Scene| scene.ways().map_or_else(Vec::new, |ways| ways.other_rules.clone());
    assert_eq!(rules(&scene), Vec::<String>::new());
    scene.ip("rule add from 10.77.0.0/16 lookup 100 priority 500")?;
    let said = || Ok((rules(&scene) == ["IPv4 with priority 500"]).then_some(()));
    wait_for("the rule is known", LIMIT, said)?;
    scene.ip("rule del priority 500")?;
    wait_for("the rule is gone", LIMIT, || Ok(rules(&scene).is_empty().then_some(())))?;

    scene.wanted.send_replace(WantedAddresses::default());
    wait_for("nobody wants clients", LIMIT, || Ok(scene.ways().is_none().then_some(())))?;
    scene.end()
}

/// Routes to 50,000 networks, whose gateways are these in turn.
fn many(gateways: &[&str]) -> String {
    let mut lines = String::new();
    for (n, gateway) in (0..50_000_u32).zip(gateways.iter().cycle()) {
        let [_, a, b, _] = (n << 8).to_be_bytes();
        let _ = writeln!(lines, "route replace 11.{a}.{b}.0/24 via {gateway} dev eth0");
    }
    lines
}

#[test]
fn many_routes_are_few_entries() -> Result<()> {
    let scene = Scene::start()?;
    scene.ip("route add default via 10.0.0.1")?;
    scene.is_by(GATEWAY, &["192.0.2.7", "11.195.79.1"])?;
    scene.host.ip(&many(&["10.0.0.1"]))?;
    scene.ip("route add 203.0.113.0/24 via 10.0.0.2")?;
    let took = scene.until("203.0.113.9", |hop| hop.next_hop == Mac::new(OTHER))?;
    scene.is_by(GATEWAY, &["11.0.0.1", "11.195.79.1"])?;
    let ways = scene.ways().context("they are known")?;
    let (entries, wanted) = (ways.hops.routes.len(), clients(&scene.host)?);
    let (looked, look_took) = scene.host.run(|| {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let begun = Instant::now();
        runtime
            .block_on(look(&wanted))
            .context("it can be looked at")
            .map(|network| (network.clients, begun.elapsed()))
    })??;
    assert_eq!(looked.as_deref(), Some(&*ways), "one look finds the same");
    ensure!(entries < 20, "{entries} entries");
    println!(
        "50,000 routes: known after {took:?}; listed and {entries} entries found in {look_took:?}"
    );

    // What has no room is left to the kernel.
    scene.host.ip(&many(&["10.0.0.1", "10.0.0.2", "10.0.0.250"]))?;
    let full = |ways: &Arc<ClientWays>| {
        ways.left_out[0] > 0 && ways.hops.defaults[0].kind == hop_kind::KERNEL
    };
    let ways = || Ok(scene.ways().filter(full));
    let ways = wait_for("there is no room for all", LIMIT, ways)?;
    let kinds = [0, 1, 2].map(|n| ways.hops.hop([11, 0, n, 1].into()).kind);
    assert_eq!(kinds, [hop_kind::KERNEL, hop_kind::KNOWN, hop_kind::KERNEL]);
    scene.end()
}

#[test]
fn ways_to_clients_are_read_from_the_maps_as_they_were_written() -> Result<()> {
    let pins = PinDir::create()?;
    let capacity =
        Capacity { chunks: 16, flows: 1024, backends: 16, listeners: 16, clients: 1, bindings: 1 };
    let mut object = LoadedObject::load(pins.path(), capacity)?;
    let mut maps = Maps::new(&mut object, capacity)?;
    let hop = |last: u8| ClientHop {
        next_hop: Mac::new([2, 0, 0, 0, 0, last]),
        source: Mac::new([2, 0, 0, 0, 1, last]),
        ifindex: last.into(),
        largest: 1400,
        kind: hop_kind::KNOWN,
    };
    let picture = |from: u8, prefixes: &[&str]| {
        let prefix = |text: &str| text.parse::<Cidr>().expect("a network");
        let routes = (from..).zip(prefixes).map(|(n, text)| (prefix(text), hop(n))).collect();
        let clients = Arc::new(ClientHops::new([hop(from), hop(from + 1)], routes));
        Image { clients, ..Image::default() }
    };
    let pictures = [
        picture(1, &["10.0.0.0/8", "10.1.2.3/32", "128.0.0.0/1", "fd00::/8", "2001:db8::7/128"]),
        picture(3, &["10.1.0.0/16", "10.0.0.0/8", "2001:db8::/32"]),
        Image::default(),
    ];
    let mut observed = Image::default();
    for desired in pictures {
        for command in plan(&observed, &desired, vec![], vec![]) {
            maps.execute(&command)?;
        }
        observed = maps.image()?;
        assert_eq!(observed.clients, desired.clients);
    }
    Ok(())
}
