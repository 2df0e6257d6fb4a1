//! Pools that remember their clients: a client's connections go to one member, whatever becomes of the others.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use elb_common::names;
use elb_tests::{
    address::Family,
    client::HeldConnections,
    config::{Config, Forwarding, Pool, Protocol},
    environment::elb_bin,
    lab::Lab,
    status,
    wait::wait_for,
    wire::ECHO_PORT,
};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::scene::{ECHO, LIMIT, Scene};
use crate::taking_over::folders;

/// Connections of one client in each phase.
const SOME: usize = 8;
const MEMBERS: usize = 3;

/// Echoes of members in turn; the pool remembers its clients for so many seconds, if for any.
fn remembering(seconds: Option<u32>) -> Result<Scene> {
    let (scene, ()) = Scene::start_of(3, Forwarding::Ipip, |lab: &Lab| {
        let pool = Pool::of(lab, ECHO, Family::V4, Protocol::Tcp, ECHO_PORT).by("ROUND_ROBIN");
        let pool = match seconds {
            Some(seconds) => pool.remembering_for(seconds),
            None => pool,
        };
        Ok((Config::new(lab).balance(lab, Family::V4, ECHO_PORT, pool), ()))
    })?;
    for client in others(&scene) {
        scene.lab.client().ip(&format!("addr add {client}/32 dev lo"))?;
    }
    Ok(scene)
}

/// Addresses of other clients.
fn others(scene: &Scene) -> Vec<IpAddr> {
    let IpAddr::V4(client) = scene.lab.client_addr(Family::V4) else { return Vec::new() };
    let [a, b, c, _] = client.octets();
    (150..162).map(|last| Ipv4Addr::new(a, b, c, last).into()).collect()
}

impl Scene {
    fn this_client(&self) -> IpAddr {
        self.lab.client_addr(Family::V4)
    }

    /// A connection from an address, any port, that got an answer, and the index of the backend that gave it.
    fn connect_from(&self, client: IpAddr) -> Result<(TcpStream, usize)> {
        let target = self.echo();
        let talk = move || -> Result<(TcpStream, String)> {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::new(client, 0).into())?;
            socket.connect_timeout(&target.into(), LIMIT)?;
            let mut stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(b"hello\n")?;
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line)?;
            Ok((stream, line))
        };
        let (stream, line) = self.lab.client().run(talk)?.with_context(|| client.to_string())?;
        let by = (0..MEMBERS).find(|index| line.contains(&self.lab.backend_name(*index)));
        Ok((stream, by.with_context(|| format!("no backend says {line:?}"))?))
    }

    /// Which member gets a connection of this client, which ends at once.
    fn served_by(&self) -> Result<usize> {
        Ok(self.connect_from(self.this_client())?.1)
    }

    /// That all connections of this client go to a member.
    fn stays_at(&self, member: usize, when: &str) -> Result<()> {
        for n in 0..SOME {
            assert_eq!(self.served_by()?, member, "{when}, connection {n}");
        }
        Ok(())
    }

    /// What `elb explain` says of the client of a new connection.
    fn explained(&self, output: &str) -> Result<String> {
        let (client, echo) = (self.this_client().to_string(), self.echo().to_string());
        let question = ["explain", "--src", &client, "--dst", &echo, "--proto", "tcp", "--syn"];
        self.agent.run(&[question.as_slice(), &["-o", output]].concat())
    }

    fn known(&self) -> Result<Value> {
        let explained: Value = serde_json::from_str(&self.explained("json")?)?;
        Ok(explained["client"].clone())
    }
}

#[test]
fn connections_of_a_client_go_to_one_member() -> Result<()> {
    let mut scene = remembering(Some(600))?;
    assert!(scene.explained("table")?.contains("not served in the last 600 s"));
    let first = scene.served_by()?;
    scene.stays_at(first, "at first")?;
    let served = others(&scene).into_iter().map(|client| Ok(scene.connect_from(client)?.1));
    let served: Vec<usize> = served.collect::<Result<_>>()?;
    assert!((0..MEMBERS).all(|member| served.contains(&member)), "{served:?}");
    let said = scene.explained("table")?;
    assert!(said.contains("was chosen because it served this client"), "{said}");
    assert_eq!(scene.known()?["decides"], true);
    let said = scene.agent.status()?;
    assert_eq!(status::pool(&said, ECHO).context("it is there")?["session_persistence"], 600);

    // The others leave and come back, by weight and altogether.
    let whole = scene.config.clone();
    let (second, third) = ((first + 1) % MEMBERS, (first + 2) % MEMBERS);
    scene.config.pool_mut(ECHO).members[second].weight = 0;
    scene.agent.reload(&scene.config)?;
    scene.stays_at(first, "another has no weight")?;
    scene.config.pool_mut(ECHO).members.remove(third);
    scene.agent.reload(&scene.config)?;
    scene.stays_at(first, "another is removed")?;
    scene.config = whole.clone();
    scene.agent.reload(&scene.config)?;
    scene.stays_at(first, "both are back")?;

    scene.agent.kill()?;
    scene.stays_at(first, "without an agent")?;
    scene.agent.restart()?;
    scene.stays_at(first, "after a restart")?;

    // Its own member takes none.
    scene.config.pool_mut(ECHO).members[first].weight = 0;
    scene.agent.reload(&scene.config)?;
    let next = wait_for("its connections to go to another", LIMIT, || {
        Ok(Some(scene.served_by()?).filter(|member| *member != first))
    })?;
    scene.stays_at(next, "its member has no weight")?;
    scene.config = whole;
    scene.agent.reload(&scene.config)?;
    scene.stays_at(next, "its former member is back")
}

/// Other maps take the place of those that know the clients: of another size, and of another version.
#[test]
fn clients_are_carried_over() -> Result<()> {
    let mut scene = remembering(Some(600))?;
    let first = scene.served_by()?;
    let of = |scene: &Scene| -> Result<Vec<usize>> {
        others(scene).into_iter().map(|client| Ok(scene.connect_from(client)?.1)).collect()
    };
    let served = of(&scene)?;
    for (flows, clients) in [(65_536, 4_096), (131_072, 8_192), (131_072, 1_024)] {
        let agent = &mut scene.config.agent;
        (agent.max_flows, agent.max_clients) = (Some(flows), Some(clients));
        scene.agent.reload(&scene.config)?;
        scene.stays_at(first, &format!("{flows} flows, {clients} clients"))?;
        assert_eq!(of(&scene)?, served, "{flows} flows, {clients} clients");
    }
    let next = PathBuf::from(env!("CARGO_BIN_EXE_elb-next"));
    for program in [next, elb_bin()?] {
        scene.agent.upgrade(&program)?;
        scene.stays_at(first, "another version")?;
        assert_eq!(of(&scene)?, served, "another version");
    }
    Ok(())
}

/// Where no one knows what the numbers of members were, a number may be another member's.
#[test]
fn clients_are_forgotten_with_the_numbers_of_members() -> Result<()> {
    let mut scene = remembering(Some(600))?;
    let first = scene.served_by()?;
    scene.agent.kill()?;
    fs::remove_file(scene.config.agent.state().join("numbers.json"))?;
    scene.agent.restart()?;
    assert!(scene.known()?["served_by"].is_null(), "{}", scene.explained("table")?);
    let next = scene.served_by()?;
    scene.stays_at(next, &format!("known again, {first} before"))?;
    scene.agent.kill()?;
    scene.agent.restart()?;
    scene.stays_at(next, "the numbers are known again, too")
}

/// An earlier version leaves the clients where they are, and gives numbers of members to others: what it writes down
/// says nothing of clients. So it is where maps are adopted, and where others take their place.
#[test]
fn clients_are_forgotten_after_an_agent_that_knows_none() -> Result<()> {
    let mut scene = remembering(Some(600))?;
    let path = scene.config.agent.state().join("numbers.json");
    for max_clients in [None, Some(4_096)] {
        let first = scene.served_by()?;
        scene.agent.kill()?;
        scene.agent.restart()?;
        scene.stays_at(first, "the same version keeps it")?;
        scene.agent.kill()?;
        let mut written: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let known = written.as_object_mut().and_then(|all| all.remove("knows_clients"));
        assert_eq!(known, Some(true.into()), "{written}");
        fs::write(&path, written.to_string())?;
        if max_clients.is_some() {
            scene.config.agent.max_clients = max_clients;
        }
        scene.agent.restart_with(&scene.config)?;
        assert_eq!(scene.agent.status()?["agent"]["adopted"], true);
        assert!(scene.known()?["served_by"].is_null(), "{}", scene.explained("table")?);
        let next = scene.served_by()?;
        scene.stays_at(next, &format!("known again, {first} before"))?;
    }
    Ok(())
}

/// An agent that knew of no clients left maps without them: they are taken over as they are.
#[test]
fn maps_without_clients_are_adopted() -> Result<()> {
    let mut scene = remembering(None)?;
    let beat = Duration::from_millis(20);
    let held = HeldConnections::open(scene.lab.client(), scene.echo(), 30, beat)?;
    scene.agent.kill()?;
    let pins = scene.config.agent.pin_dir.clone();
    let folder = pins.join(folders(&pins)?.first().context("there is one")?);
    for map in names::LATER_MAPS {
        fs::remove_file(folder.join(map))?;
    }
    let generation = aya::maps::MapInfo::from_pin(folder.join(names::RINGS))?.id();
    scene.config.pools = vec![scene.config.pools.remove(0).remembering_for(600)];
    scene.agent.restart_with(&scene.config)?;
    assert_eq!(scene.agent.status()?["agent"]["adopted"], true);
    let after = aya::maps::MapInfo::from_pin(folder.join(names::RINGS))?.id();
    assert_eq!(generation, after, "the other maps are the same");
    let first = scene.served_by()?;
    scene.stays_at(first, "with new maps")?;
    let before = held.so_far();
    wait_for("connections from before", LIMIT, || {
        Ok(held.so_far().is_beyond(&before, 5).then_some(()))
    })
}

/// A client is forgotten when it was away for the time, and not while it has a connection.
#[test]
fn a_client_that_was_away_is_forgotten() -> Result<()> {
    const TIME: u32 = 2;
    let scene = remembering(Some(TIME))?;
    let forgotten = || {
        wait_for("the client to be forgotten", LIMIT, || {
            Ok(scene.known()?["served_by"].is_null().then_some(()))
        })
    };
    let mut seen = [false; MEMBERS];
    wait_for("a connection at each member", 4 * LIMIT, || {
        seen[scene.served_by()?] = true;
        forgotten()?;
        Ok(seen.iter().all(|seen| *seen).then_some(()))
    })?;
    // Where the host stands still for too long, the client was away: that says nothing.
    wait_for("a client that was not away", 4 * LIMIT, || {
        let (mut stream, member) = scene.connect_from(scene.this_client())?;
        let (begun, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(3 * u64::from(TIME)) {
            stream.write_all(b"hello\n")?;
            BufReader::new(&stream).read_line(&mut String::new())?;
            longest = longest.max(last.elapsed());
            last = Instant::now();
            sleep(Duration::from_millis(50));
        }
        let found = scene.served_by()?;
        let is_judged = longest.max(last.elapsed()) < Duration::from_secs(u64::from(TIME) - 1);
        ensure!(!is_judged || found == member, "its client was not away");
        Ok(is_judged.then_some(()))
    })
}
