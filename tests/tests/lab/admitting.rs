//! Who may open connections: IP groups and limits, changed under traffic.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::maps::{Map, MapData, lpm_trie::LpmTrie};
use elb_common::{admission::GroupKeyV4, names};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{FailureKind, HeldConnections, Load, UdpFlows, http_requests},
    config::{AccessList, Config, Forwarding, Pool, Protocol},
    lab::Lab,
    record::Record,
    server::Server,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::{LIMIT, wait_until_serving};

const GROUP: &str = "office";
/// Networks that no client of a lab is in.
const OTHERS: [&str; 2] = ["203.0.113.0/24", "2001:db8:2::/48"];
const BEAT: Duration = Duration::from_millis(50);

/// Backends behind listeners of both versions of IP, all with the same IP group.
struct Guarded {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    _servers: Vec<Server>,
    config: Config,
    lab: Lab,
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Guarded {
    /// Starts with a group of `networks`.
    fn start(list: AccessList, networks: &[&str]) -> Result<Self> {
        let lab = Lab::builder().families(Families::Both).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let mut config = Config::new(&lab);
        for family in FAMILIES {
            for (name, protocol, port) in [
                ("web", Protocol::Tcp, HTTP_PORT),
                ("echo", Protocol::Tcp, ECHO_PORT),
                ("datagrams", Protocol::Udp, ECHO_PORT),
            ] {
                let name = format!("{name}-{family:?}");
                let pool = Pool::of(&lab, &name, family, protocol, port);
                config = config.balance(&lab, family, port, pool);
                config.restrict(&name, list, GROUP);
            }
        }
        config.set_group(GROUP, networks);
        let agent = Agent::start(&lab, &config)?;
        wait_until_serving(&agent)?;
        Ok(Self { agent, _servers: servers, config, lab })
    }

    /// Takes its configuration over: when this returns, packets meet it.
    fn reload(&mut self) -> Result<()> {
        let times = |agent: &Agent| agent.log().matches("the configuration is accepted").count();
        let before = times(&self.agent);
        self.agent.reload(&self.config)?;
        wait_for("the configuration to be taken over", LIMIT, || {
            Ok((times(&self.agent) > before).then_some(()))
        })
    }

    /// Gives the group these networks.
    fn set_group(&mut self, networks: &[&str]) -> Result<()> {
        self.config.set_group(GROUP, networks);
        self.reload()
    }

    /// The addresses of the client, and networks of others.
    fn with_client(&self) -> Vec<String> {
        let own = FAMILIES.map(|family| self.lab.client_addr(family).to_string());
        own.into_iter().chain(OTHERS.map(str::to_owned)).collect()
    }

    fn let_in(&mut self) -> Result<()> {
        let networks = self.with_client();
        self.set_group(&networks.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn load(&self, family: Family) -> Load {
        Load::on(self.lab.service(family, HTTP_PORT))
    }

    /// New connections of both versions are answered.
    fn opens(&self) -> Result<()> {
        for family in FAMILIES {
            let report = http_requests(self.lab.client(), self.load(family), 20)?;
            assert_eq!(report.answered(), 20, "{family:?}: {:?}", report.failures());
        }
        Ok(())
    }

    /// New connections of both versions get no answer, and are counted.
    fn refuses(&self) -> Result<()> {
        let before = self.denied()?;
        for family in FAMILIES {
            let load = Load { timeout: Duration::from_millis(900), ..self.load(family) };
            let report = http_requests(self.lab.client(), load, 8)?;
            let kinds: Vec<_> = report.failures().iter().map(|failure| failure.kind).collect();
            assert_eq!(kinds, [FailureKind::TimedOut; 8], "{family:?}");
            self.is_explained(family)?;
        }
        assert!(self.denied()? >= before + 16);
        Ok(())
    }

    /// `elb explain` names the group that keeps the client out.
    fn is_explained(&self, family: Family) -> Result<()> {
        let src = self.lab.client_addr(family).to_string();
        let dst = self.lab.service(family, HTTP_PORT).to_string();
        let question = ["explain", "--src", &src, "--dst", &dst, "--proto", "tcp", "--syn"];
        let said = self.agent.ask(&question)?;
        assert_eq!(said["decision"]["reason"], "access_denied", "{said}");
        assert_eq!(said["admission"]["admitted"], false, "{said}");
        assert_eq!(said["admission"]["ipgroup"]["name"], GROUP, "{said}");
        Ok(())
    }

    fn denied(&self) -> Result<u64> {
        Ok(status::packets_of(&self.agent.status()?, "access_denied"))
    }

    /// Connections of both versions that stay.
    fn hold(&self) -> Result<Vec<HeldConnections>> {
        let open = |family: Family| {
            let target = self.lab.service(family, ECHO_PORT);
            HeldConnections::open(self.lab.client(), target, 20, BEAT)
        };
        FAMILIES.map(open).into_iter().collect()
    }

    /// The ids of the groups that have IPv4 networks, as packets find them.
    fn groups(&self) -> Result<BTreeSet<u32>> {
        let directory = self.config.agent.pin_dir.join(format!("v{}", names::ABI_VERSION));
        let path = directory.join(names::GROUPS_V4);
        let map = MapData::from_pin(&path).with_context(|| format!("{}", path.display()))?;
        let trie: LpmTrie<_, Record<GroupKeyV4>, Record<u32>> = Map::LpmTrie(map).try_into()?;
        let id = |key: Record<GroupKeyV4>| bytemuck::cast::<_, [u32; 2]>(key.0)[0];
        Ok(trie.keys().map(|key| key.map(|key| id(key.data()))).collect::<Result<_, _>>()?)
    }
}

/// Each connection got more answers since it was asked, and none failed until the end.
fn go_on(held: &[HeldConnections]) -> Result<()> {
    for held in held {
        let before = held.so_far();
        wait_for("answers on every connection", LIMIT, || {
            Ok(held.so_far().is_beyond(&before, 3).then_some(()))
        })?;
        assert_eq!(held.so_far().broken().len(), 0, "{:?}", held.so_far().broken());
    }
    Ok(())
}

fn end(held: Vec<HeldConnections>) -> Result<()> {
    for held in held {
        let report = held.stop()?;
        assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    }
    Ok(())
}

#[test]
fn a_whitelist_changes_and_connections_stay() -> Result<()> {
    let mut guarded = Guarded::start(AccessList::White, &["10.0.0.0/8", "fd00::/16"])?;
    guarded.opens()?;
    let held = guarded.hold()?;

    guarded.set_group(&OTHERS)?;
    guarded.refuses()?;
    go_on(&held)?;
    guarded.set_group(&[])?;
    guarded.refuses()?;
    go_on(&held)?;
    guarded.let_in()?;
    guarded.opens()?;
    end(held)
}

#[test]
fn a_blacklist_changes_and_connections_stay() -> Result<()> {
    let mut guarded = Guarded::start(AccessList::Black, &[])?;
    guarded.opens()?;
    let held = guarded.hold()?;

    guarded.let_in()?;
    guarded.refuses()?;
    go_on(&held)?;
    // Off, and on for others.
    for listener in guarded.config.load_balancers.iter_mut().flat_map(|lb| &mut lb.listeners) {
        listener.ipgroup.as_mut().context("each has one")?.enable_ipgroup = false;
    }
    guarded.reload()?;
    guarded.opens()?;
    for listener in guarded.config.load_balancers.iter_mut().flat_map(|lb| &mut lb.listeners) {
        let access = listener.ipgroup.as_mut().context("each has one")?;
        (access.enable_ipgroup, access.list) = (true, AccessList::White);
    }
    guarded.reload()?;
    guarded.opens()?;
    end(held)
}

/// The ring is settled, so no flow is recorded: each datagram is judged.
#[test]
fn datagrams_are_refused_and_let_in_again() -> Result<()> {
    let mut guarded = Guarded::start(AccessList::White, &["10.0.0.0/8", "fd00::/16"])?;
    let flows = FAMILIES.map(|family| {
        UdpFlows::open(guarded.lab.client(), guarded.lab.service(family, ECHO_PORT), 5, BEAT)
    });
    let flows = flows.into_iter().collect::<Result<Vec<_>>>()?;
    guarded.set_group(&OTHERS)?;
    let before = guarded.denied()?;
    wait_for("datagrams to be refused", LIMIT, || {
        Ok((guarded.denied()? > before + 20).then_some(()))
    })?;
    guarded.let_in()?;
    for flows in &flows {
        let before = flows.so_far();
        wait_for("answers on every flow", LIMIT, || {
            let so_far = flows.so_far();
            let mut pairs = so_far.flows.iter().zip(&before.flows);
            Ok(pairs.all(|(now, before)| now.answered > before.answered + 3).then_some(()))
        })?;
    }
    Ok(())
}

/// Groups keep their numbers without a saved state, so that no client is let in or out meanwhile.
#[test]
fn an_agent_without_its_saved_state_finds_the_groups() -> Result<()> {
    let mut guarded = Guarded::start(AccessList::White, &["10.0.0.0/8", "fd00::/16"])?;
    // Another group has the first number, and then no one has.
    let mut groups = guarded.config.ip_groups.clone();
    let alone = guarded.config.clone();
    groups[0].name = "another".to_owned();
    guarded.config.ip_groups.extend(groups);
    guarded.reload()?;
    let both = guarded.groups()?;
    guarded.config = alone;
    for listener in guarded.config.load_balancers.iter_mut().flat_map(|lb| &mut lb.listeners) {
        listener.ipgroup.as_mut().context("each has one")?.ipgroup = "another".to_owned();
    }
    guarded.config.ip_groups[0].name = "another".to_owned();
    guarded.reload()?;
    let one = guarded.groups()?;
    assert_eq!((both.len(), one.len()), (2, 1));
    assert!(one.last() == both.last() && both.is_superset(&one), "{both:?} {one:?}");

    let held = guarded.hold()?;
    guarded.agent.kill()?;
    fs::remove_file(guarded.config.agent.state().join("numbers.json"))?;
    guarded.agent.restart()?;
    assert_eq!(guarded.groups()?, one);
    guarded.opens()?;
    go_on(&held)?;
    end(held)?;
    assert_eq!(guarded.denied()?, 0);
    Ok(())
}

/// 50 groups of 300 networks, each of them changed at once, while connections open.
#[test]
fn fifty_groups_of_three_hundred_networks() -> Result<()> {
    let mut guarded = Guarded::start(AccessList::White, &["10.0.0.0/8", "fd00::/16"])?;
    let fill = |guarded: &mut Guarded, first: u8| {
        for group in 0..49u8 {
            let network = |n: u16| {
                let [high, low] = n.to_be_bytes();
                format!("{}.{group}.{}.{low}/32", first + high, group ^ low)
            };
            let networks: Vec<String> = (0..300).map(network).collect();
            let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
            guarded.config.set_group(&format!("group-{group}"), &networks);
        }
        let own: Vec<String> =
            (0..298u16).map(|n| format!("{}.99.{}.{}/32", first, n / 256, n % 256)).collect();
        let own = own.iter().map(String::as_str).chain(["10.0.0.0/8", "fd00::/16"]);
        guarded.config.set_group(GROUP, &own.collect::<Vec<_>>());
        let (begun, busy) = (Instant::now(), cpu_time(guarded.agent.id())?);
        guarded.reload()?;
        println!(
            "50 groups of 300 networks: taken over after {:?}, of which the agent worked {:?}",
            begun.elapsed(),
            cpu_time(guarded.agent.id())? - busy
        );
        anyhow::Ok(())
    };
    fill(&mut guarded, 50)?;
    assert_eq!(guarded.groups()?.len(), 50);
    guarded.opens()?;
    // All others: for a moment, twice as many are there.
    let load = Load { limit: Duration::from_secs(60), ..guarded.load(Family::V4) };
    let traffic = elb_tests::client::HttpLoad::start(guarded.lab.client(), load);
    fill(&mut guarded, 60)?;
    fill(&mut guarded, 70)?;
    assert_eq!(guarded.groups()?.len(), 50);
    guarded.opens()?;
    let report = traffic.stop()?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    let said = guarded.agent.status()?;
    assert_eq!(status::drops(&said), Vec::<String>::new());
    assert_eq!(said["agent"]["problems"], serde_json::json!([]), "{said}");
    Ok(())
}

/// Time that a process has had on CPUs: proc_pid_stat(5).
fn cpu_time(process: u32) -> Result<Duration> {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("the name is in brackets")?;
    // After the name: user time is the twelfth, system time the thirteenth.
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// A client that is refused tries again: all come through, some a second at a time.
#[test]
fn more_connections_than_the_limit_wait_for_the_next_second() -> Result<()> {
    let mut guarded = Guarded::start(AccessList::Black, &[])?;
    guarded.config.listener_mut("web-V4").cps = 5;
    guarded.reload()?;
    let load =
        Load { concurrency: 20, timeout: Duration::from_secs(20), ..guarded.load(Family::V4) };
    let begun = Instant::now();
    let report = http_requests(guarded.lab.client(), load, 20)?;
    assert_eq!(report.answered(), 20, "{:?}", report.failures());
    assert!(begun.elapsed() > Duration::from_secs(2), "20 need 4 seconds that have begun");
    let said = guarded.agent.status()?;
    assert!(status::packets_of(&said, "rate_limited") > 0, "{said}");
    assert_eq!(status::listener(&said, "web-V4").context("it is there")?["cps"], 5);
    guarded.config.listener_mut("web-V4").cps = 0;
    guarded.reload()?;
    guarded.opens()
}

/// Not even the connections that exist.
#[test]
fn a_disabled_listener_forwards_nothing() -> Result<()> {
    let mut guarded = Guarded::start(AccessList::Black, &[])?;
    guarded.opens()?;
    for family in FAMILIES {
        guarded.config.listener_mut(&format!("web-{family:?}")).admin_state_up = false;
    }
    guarded.reload()?;
    let packets = |said: &serde_json::Value, name| {
        let listener = status::listener(said, name).context("it is there")?;
        anyhow::Ok((listener["packets"].clone(), listener["operating_status"].clone()))
    };
    let before = guarded.agent.status()?;
    for family in FAMILIES {
        let load = Load { timeout: Duration::from_millis(900), ..guarded.load(family) };
        let report = http_requests(guarded.lab.client(), load, 4)?;
        assert_eq!(report.answered(), 0);
    }
    let after = guarded.agent.status()?;
    for name in ["web-V4", "web-V6"] {
        let (count, state) = packets(&after, name)?;
        assert_eq!((count, state.as_str()), (packets(&before, name)?.0, Some("DISABLED")));
    }
    let dropped = |said| status::packets_of(said, "disabled");
    assert!(dropped(&after) >= dropped(&before) + 8);
    for family in FAMILIES {
        guarded.config.listener_mut(&format!("web-{family:?}")).admin_state_up = true;
    }
    guarded.reload()?;
    guarded.opens()
}
