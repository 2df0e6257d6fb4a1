//! How new connections choose their member, and what becomes of the others when that changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{Datagrams, HeldConnections, Load, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::ECHO_PORT,
};
use serde_json::Value;

use crate::scene::{ECHO, LIMIT, SHORT, Scene, wait_until_serving};

/// Seconds for which unknown UDP flows stay where they are after a change.
const HOLD: u32 = 5;

const BEAT: Duration = Duration::from_millis(200);

/// For what waits until flows are idle, and a look at them after that.
const IDLE_LIMIT: Duration = Duration::from_secs(40);

fn hold(scene: &Scene, count: usize) -> Result<HeldConnections> {
    HeldConnections::open(scene.lab.client(), scene.echo(), count, BEAT)
}

/// How many of `count` new connections each backend gets.
fn new(scene: &Scene, count: usize) -> Result<Vec<usize>> {
    let report = hold(scene, count)?.stop()?;
    assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    let backends = 0..scene.lab.backends().len();
    Ok(backends.map(|index| report.on(&scene.lab.backend_name(index)).len()).collect())
}

fn change(scene: &mut Scene, what: &str, change: impl Fn(&mut Pool)) -> Result<()> {
    for pool in &mut scene.config.pools {
        change(pool);
    }
    scene.agent.reload(&scene.config)?;
    let loaded = scene.config.pools.clone();
    let taken_over = |said: &Value| {
        loaded.iter().all(|pool| {
            let name = pool.lb_algorithm.as_deref().unwrap_or("5_TUPLE_HASH");
            let size = pool.ring_size.unwrap_or(65_537);
            let weights = pool.members.iter().map(|member| {
                status::member(said, &pool.name, member.address).map(|one| one["weight"].clone())
            });
            let said = status::pool(said, &pool.name);
            said.is_some_and(|said| said["lb_algorithm"] == name && said["slots"] == size)
                && weights.eq(pool.members.iter().map(|member| Some(member.weight.into())))
        })
    };
    scene.agent.wait_status(what, LIMIT, taken_over).map(drop)
}

#[test]
fn connections_take_turns_by_weight() -> Result<()> {
    let by_weight = |pool: Pool| pool.by("ROUND_ROBIN").weights(&[1, 3]);
    let mut scene = Scene::start_short(2, by_weight)?;
    let load = Load { pause: Duration::ZERO, ..Load::on(scene.web()) };
    let report = http_requests(scene.lab.client(), load, 4_000)?;
    assert_eq!((report.answered(), report.failures().len()), (4_000, 0), "{:?}", report.failures());
    for (backend, share) in [("backend-0", 0.25), ("backend-1", 0.75)] {
        let got = report.share(backend);
        assert!((got - share).abs() < 0.01, "{backend} got {got}");
    }

    change(&mut scene, "equal weights", |pool| pool.members[1].weight = 1)?;
    let load = Load { concurrency: 1, ..load };
    let report = http_requests(scene.lab.client(), load, 40)?;
    let turns: Vec<_> = report.outcomes().iter().map(|one| one.result.clone().ok()).collect();
    assert!(turns.windows(2).all(|pair| pair[0].is_some() && pair[0] != pair[1]), "{turns:?}");
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

#[test]
fn connections_go_where_fewest_are() -> Result<()> {
    let only_first = |pool: Pool| pool.by("LEAST_CONNECTIONS").weights(&[1, 0]);
    let mut scene = Scene::start_short(2, only_first)?;
    let hundred = hold(&scene, 100)?;
    change(&mut scene, "the second member", |pool| pool.members[1].weight = 1)?;
    let fifty = hold(&scene, 50)?;
    assert_eq!(fifty.so_far().on("backend-1").len(), 50);
    assert_eq!(open(&scene, 0)? + open(&scene, 1)?, 150);
    let next = hold(&scene, 50)?;
    assert_eq!(next.so_far().on("backend-1").len(), 50, "100 and 50 are open before");
    let even = hold(&scene, 20)?;
    assert!(even.so_far().on("backend-1").len().abs_diff(10) <= 1);

    assert_eq!(hundred.stop()?.broken().len(), 0);
    wait_for("the first member's connections to be closed", LIMIT, || {
        Ok((open(&scene, 0)? <= 11).then_some(()))
    })?;
    assert_eq!(new(&scene, 30)?, [30, 0]);
    change(&mut scene, "a weight of 4", |pool| pool.members[1].weight = 40)?;
    assert_eq!(new(&scene, 30)?, [0, 30], "110 for a weight of 40 are fewer than 10 for 1");

    // The client falls silent: the program sees no end of its connections, the agent does.
    scene.lab.client().ip("link set eth0 down")?;
    drop((fifty, next, even));
    wait_for("the connections of the silent client to be over", IDLE_LIMIT, || {
        Ok((open(&scene, 0)? + open(&scene, 1)? == 0).then_some(()))
    })
}

/// How many connections the pool of echoes counts on a member.
fn open(scene: &Scene, index: usize) -> Result<u64> {
    let said = scene.agent.status()?;
    let member = status::member(&said, ECHO, scene.member(index));
    Ok(member.and_then(|member| member["connections"].as_u64()).expect("connections are counted"))
}

/// The new ring, or schedule, replaces the one before while all connections go on; at the end, when
/// they are over, it has settled.
#[test]
fn connections_outlive_every_change_of_algorithm_and_ring() -> Result<()> {
    let mut scene = Scene::start_short(3, |pool| pool)?;
    let mut held = vec![hold(&scene, 100)?];
    let steps: [(&str, Option<&str>, Option<u32>); 9] = [
        ("turns", Some("ROUND_ROBIN"), None),
        ("least connections", Some("LEAST_CONNECTIONS"), None),
        ("turns again", Some("ROUND_ROBIN"), None),
        ("the client's address", Some("SOURCE_IP"), None),
        ("a small ring", Some("SOURCE_IP"), Some(4_093)),
        ("a small ring of another kind", Some("3_TUPLE_HASH"), Some(4_093)),
        ("addresses", Some("2_TUPLE_HASH"), Some(16_381)),
        ("the 5-tuple", None, Some(16_381)),
        ("the 5-tuple on the ring of the beginning", None, None),
    ];
    for (what, algorithm, size) in steps {
        change(&mut scene, what, |pool| {
            pool.lb_algorithm = algorithm.map(str::to_owned);
            pool.ring_size = size;
        })?;
        let one_client = algorithm.is_some_and(|name| !name.ends_with("S") && !name.ends_with("N"));
        let on = new(&scene, 40)?.into_iter().filter(|count| *count > 0).count();
        assert_eq!(on, if one_client { 1 } else { 3 }, "{what}");
        held.push(hold(&scene, 30)?);
        let before: Vec<_> = held.iter().map(HeldConnections::so_far).collect();
        wait_for(&format!("an answer on every connection after {what}"), LIMIT, || {
            let pairs = held.iter().zip(&before);
            Ok(pairs
                .into_iter()
                .all(|(now, before)| now.so_far().is_beyond(before, 2))
                .then_some(()))
        })?;
        let broken: Vec<_> = held.iter().filter_map(HeldConnections::first_broken).collect();
        assert_eq!(broken.len(), 0, "after {what}: {broken:?}");
    }
    let pool = status::pool(&scene.agent.status()?, ECHO).cloned().unwrap_or_default();
    assert_eq!((&pool["moving_slots"], &pool["former_slots"]), (&65_537.into(), &65_537.into()));
    for held in held {
        assert_eq!(held.stop()?.broken().len(), 0);
    }
    let settled = |said: &Value| {
        status::pools(said)
            .iter()
            .all(|pool| pool["moving_slots"] == 0 && pool["former_slots"] == 0)
    };
    scene.agent.wait_status("the ring to be settled", IDLE_LIMIT, settled)?;
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

/// Clients by their addresses, over UDP: a socket each, several addresses of one host.
#[test]
fn a_client_is_its_address() -> Result<()> {
    let pool = |pool: Pool| pool.by("SOURCE_IP");
    let udp = Udp::start(3, "source", pool, |text| text)?;
    let mut members = BTreeMap::new();
    for client in udp.clients(24)? {
        let asked: Result<BTreeSet<String>> =
            (0..4).map(|n| udp.from(client)?.ask(format!("hello {n}").as_bytes())).collect();
        let asked = asked?;
        assert_eq!(asked.len(), 1, "{client} is served by {asked:?}");
        *members.entry(asked).or_insert(0) += 1;
    }
    assert_eq!(members.len(), 3, "all members have clients: {members:?}");
    Ok(())
}

/// The same connection id, from other ports and addresses, before and after a member comes.
#[test]
fn a_connection_of_quic_is_its_id() -> Result<()> {
    let three = |mut pool: Pool| {
        pool.members.truncate(3);
        pool.udp_hold = Some(HOLD);
        pool.by("QUIC_CID")
    };
    let mut udp = Udp::start(4, "quic", three, |text| text)?;
    let begun = Instant::now();
    let clients = udp.clients(3)?;
    let id = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let ids: Vec<[u8; 8]> = (1..=40).map(id).collect();
    let ask = |id: &[u8; 8]| udp.from(clients[0])?.ask(&long(id));
    let owners = ids.iter().map(ask).collect::<Result<Vec<String>>>()?;
    assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), 3, "all members have connections");
    let all_stay = |udp: &Udp| -> Result<()> {
        for (id, owner) in ids.iter().zip(&owners) {
            for client in &clients {
                let datagrams = udp.from(*client)?;
                assert_eq!(&datagrams.ask(&short(id))?, owner, "{id:x?} from {client}");
                assert_eq!(&datagrams.ask(&long(id))?, owner, "{id:x?} from {client}");
            }
        }
        Ok(())
    };
    all_stay(&udp)?;

    // A pool that is younger than this does not hold what it has.
    thread::sleep(Duration::from_secs(u64::from(HOLD) + 1).saturating_sub(begun.elapsed()));
    let late = udp.lab.member_addr(3, Family::V4);
    let mut member = udp.config.pools[0].members[0].clone();
    member.address = late;
    udp.config.pools[0].members.push(member);
    udp.agent.reload(&udp.config)?;
    let serves =
        |said: &Value| status::slots(said, "quic").get(&late).is_some_and(|slots| *slots > 0);
    udp.agent.wait_status("the member that begins to serve", LIMIT, serves)?;
    all_stay(&udp)
}

/// Servers that choose connection ids with their own id in them.
#[test]
fn a_server_of_quic_is_found_by_its_id() -> Result<()> {
    let udp = Udp::start(3, "quic", |pool| pool.by("QUIC_CID"), with_server_ids)?;
    for (n, client) in udp.clients(3)?.into_iter().enumerate() {
        for index in 0..3u8 {
            let id = id_of(index, u8::try_from(n)?);
            let owner = udp.lab.backend_name(index.into());
            assert_eq!(udp.from(client)?.ask(&short(&id))?, owner);
            assert_eq!(udp.from(client)?.ask(&long(&id))?, owner);
            let said = udp.explain(client, &["--cid", &hex(&id)])?;
            assert_eq!(said["connection_id"]["decides"], true, "{said}");
            assert_eq!(said["named"]["number"], said["backend"]["number"], "{said}");
            assert_eq!((&said["slot"], udp.is_shown(&said)?), (&Value::Null, owner), "{said}");
        }
        // Ids that name no server are hashed; packets without one go by their addresses.
        let id = [0, u8::try_from(n)?, 0xff, 7, 7];
        let said = udp.explain(client, &["--cid", &hex(&id)])?;
        assert_eq!(said["connection_id"]["part"], hex(&id[1..3]), "{said}");
        assert_eq!(udp.from(client)?.ask(&short(&id))?, udp.is_shown(&said)?, "{said}");
        let said = udp.explain(client, &[])?;
        assert_eq!(said["connection_id"]["given"], false, "{said}");
    }
    Ok(())
}

/// Nothing but its packets shows a connection whose id names its server: no slot, no record.
#[test]
fn connections_of_quic_stay_with_a_server_that_leaves() -> Result<()> {
    let mut udp = Udp::start(2, "quic", |pool| pool.by("QUIC_CID"), with_server_ids)?;
    udp.config = udp.config.clone().idle_after(SHORT);
    udp.agent.reload_with(&with_server_ids(udp.config.text()?))?;
    let client = udp.from(udp.lab.client_addr(Family::V4))?;
    let leaving = udp.lab.backend_name(1);
    // Longer than flows count that were silent, and a look at what settled.
    let talk = |what: &str| -> Result<()> {
        let until = Instant::now() + Duration::from_secs((SHORT + 10).into());
        while Instant::now() < until {
            assert_eq!(client.ask(&short(&id_of(1, 9)))?, leaving, "{what}");
            thread::sleep(BEAT);
        }
        Ok(())
    };
    let member = udp.config.pools[0].members[1].address.to_string();
    let draining = udp.agent.start_command(&["drain", &member, "--wait"])?;
    talk("drained")?;
    let said = &udp.agent.ask(&["drain", &member])?["members"][0];
    assert_eq!((&said["former_slots"], &said["flows"]), (&0.into(), &0.into()), "{said}");
    assert!(said["named_ago"].as_u64().is_some_and(|ago| ago < SHORT.into()), "{said}");
    let is_shown = udp.agent.end(&["drain", &member, "--wait", "--timeout", "2s"], LIMIT)?;
    assert!(
        is_shown.code == Some(1) && is_shown.printed.contains("its server_id was seen"),
        "{is_shown:?}"
    );

    udp.config.pools[0].members.truncate(1);
    udp.agent.reload_with(&with_server_ids(udp.config.text()?))?;
    talk("removed")?;
    let states = |said: &Value| status::of_members(said, udp.lab.member_addr(1, Family::V4));
    assert_eq!(states(&udp.agent.status()?), ["REMOVED"]);
    udp.agent
        .wait_status("the member to be forgotten", IDLE_LIMIT, |said| states(said).is_empty())?;
    // It looks once a second: the member may be without flows then, or forgotten.
    let printed = draining.finish(LIMIT)?;
    assert!(
        printed.lines().last().is_some_and(|line| line.contains("nothing is left")),
        "{printed}"
    );
    Ok(())
}

/// The configuration, with servers that connection ids name.
fn with_server_ids(text: String) -> String {
    let key = "lb_algorithm = \"QUIC_CID\"";
    let strategy = "quic_cid_hash_strategy = { offset = 1, len = 2 }";
    let text = text.replace(key, &format!("{key}\n{strategy}"));
    (0..3).fold(text, |text, index| {
        let address = format!("address = \"10.0.0.{}\"", 11 + index);
        text.replace(&address, &format!("{address}\nserver_id = \"a{index}b{index}\""))
    })
}

/// A connection id that names a server of [`with_server_ids`].
fn id_of(server: u8, first: u8) -> [u8; 5] {
    [first, 0xa0 + server, 0xb0 + server, 7, 7]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A packet of a connection of QUIC version 1 (RFC 9000 §17.3) with this destination connection id.
fn short(id: &[u8]) -> Vec<u8> {
    [&[0x41], id, &[0x55; 24]].concat()
}

/// The first packet of one (RFC 9000 §17.2.2), the part that a load balancer looks at.
fn long(id: &[u8]) -> Vec<u8> {
    let length = u8::try_from(id.len()).expect("a connection id has at most 20 bytes");
    [&[0xc3, 0, 0, 0, 1, length], id, &[0; 24]].concat()
}

/// Echoes over UDP, balanced in a pool of their own.
struct Udp {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    _servers: Vec<Server>,
    config: Config,
    lab: Lab,
}

impl Udp {
    fn start(
        backends: u8,
        name: &str,
        shape: impl Fn(Pool) -> Pool,
        words: impl Fn(String) -> String,
    ) -> Result<Self> {
        let lab = Lab::builder().backends(backends).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let pool = Pool::of(&lab, name, Family::V4, Protocol::Udp, ECHO_PORT);
        let config = Config::new(&lab).balance(&lab, Family::V4, ECHO_PORT, shape(pool));
        let agent = Agent::start_with(&lab, &words(config.text()?), &config.agent.socket)?;
        wait_until_serving(&agent)?;
        Ok(Self { agent, _servers: servers, config, lab })
    }

    /// Gives the client so many addresses in all.
    fn clients(&self, count: u8) -> Result<Vec<IpAddr>> {
        let first = self.lab.client_addr(Family::V4);
        let more = (1..count).map(|n| Ipv4Addr::new(10, 0, 0, 200 + n));
        let mut clients = vec![first];
        for address in more {
            self.lab.client().ip(&format!("address add {address}/24 dev {}", self.lab.device()))?;
            clients.push(address.into());
        }
        Ok(clients)
    }

    /// What `elb explain` says of a datagram of the client.
    fn explain(&self, client: IpAddr, more: &[&str]) -> Result<Value> {
        let (src, dst) = (client.to_string(), self.lab.service(Family::V4, ECHO_PORT).to_string());
        let question = ["explain", "--src", &src, "--dst", &dst, "--proto", "udp"];
        self.agent.ask(&[&question, more].concat())
    }

    /// The name of the backend server that an explanation shows.
    fn is_shown(&self, explained: &Value) -> Result<String> {
        let member = explained["backend"]["address"].as_str().unwrap_or_default();
        let member: IpAddr = member.parse().with_context(|| explained.to_string())?;
        let mut indices = 0..self.lab.backends().len();
        let index = indices.find(|at| self.lab.member_addr(*at, Family::V4) == member);
        Ok(self.lab.backend_name(index.context("one of the backends")?))
    }

    fn from(&self, client: IpAddr) -> Result<Datagrams> {
        Datagrams::from(self.lab.client(), client, self.lab.service(Family::V4, ECHO_PORT))
    }
}
