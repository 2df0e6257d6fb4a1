//! A reload does not take away what no one asked it to.

use std::time::Duration;

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, HttpLoad, Load},
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);
const WEB: &str = "web";
const ECHO: &str = "echo";

/// Three backends, of which pools of HTTP and of echoes have the first two, and an agent.
struct Scene {
    agent: Agent,
    config: Config,
    _servers: Vec<Server>,
    lab: Lab,
}

impl Scene {
    fn start(monitor: Option<u32>) -> Result<Self> {
        let lab = Lab::builder().backends(3).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let pools = [(WEB, HTTP_PORT), (ECHO, ECHO_PORT)];
        let config = pools.into_iter().fold(Config::new(&lab), |config, (name, port)| {
            let mut pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
            pool.members.truncate(2);
            let quick = HealthMonitor::quick(MonitorKind::Tcp);
            pool.healthmonitor = monitor.map(|delay| HealthMonitor { delay, ..quick });
            config.balance(&lab, Family::V4, port, pool)
        });
        let agent = Agent::start(&lab, &config)?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        Ok(Self { agent, config, _servers: servers, lab })
    }

    /// Requests and connections that must not notice anything.
    fn traffic(&self) -> Result<(HttpLoad, HeldConnections)> {
        let load = Load {
            concurrency: 4,
            pause: Duration::from_millis(4),
            timeout: Duration::from_secs(3),
            limit: Duration::from_secs(120),
            ..Load::on(self.lab.service(Family::V4, HTTP_PORT))
        };
        let echo = self.lab.service(Family::V4, ECHO_PORT);
        let held = HeldConnections::open(self.lab.client(), echo, 40, Duration::from_millis(50))?;
        Ok((HttpLoad::start(self.lab.client(), load), held))
    }

    /// Lets the agent read a text as its file: the exit code, and all that `elb reload` printed.
    fn reload(&self, text: &str, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        self.agent.write(text)?;
        let ended = self.agent.end(&[&["reload"], arguments].concat(), LIMIT)?;
        Ok((ended.code, ended.printed + &ended.said))
    }
}

fn problems(agent: &Agent) -> Result<Vec<String>> {
    let status: Value = agent.status()?;
    let all = status["agent"]["problems"].as_array().cloned().unwrap_or_default();
    Ok(all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
}

/// Waits for answers that were asked for from now on.
fn flows_for((http, held): &(HttpLoad, HeldConnections), count: usize) -> Result<()> {
    let (from, before) = (std::time::Instant::now(), held.so_far());
    wait_for("traffic to go on", LIMIT, || {
        let enough = http.so_far().since(from).answered() >= count;
        Ok((enough && held.so_far().is_beyond(&before, 2)).then_some(()))
    })
}

fn was_never_disturbed((http, held): (HttpLoad, HeldConnections)) -> Result<()> {
    let (http, held) = (http.stop()?, held.stop()?);
    assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
    Ok(())
}

/// An empty file, pools without members, load balancers without addresses, a listener that moves to an
/// empty pool: refused, said, and no one notices.
#[test]
fn what_takes_everything_away_is_refused() -> Result<()> {
    let scene = Scene::start(None)?;
    let traffic = scene.traffic()?;
    let right = scene.config.text()?;
    let mut nothing = scene.config.clone();
    (nothing.load_balancers, nothing.pools) = (Vec::new(), Vec::new());
    let mut no_members = scene.config.clone();
    no_members.pool_mut(ECHO).members.clear();
    let mut no_address = scene.config.clone();
    no_address.load_balancers[0].vip_address = None;
    let mut elsewhere = scene.config.clone();
    let green = Pool { name: "green".into(), members: Vec::new(), ..elsewhere.pools[1].clone() };
    elsewhere.pools.push(green);
    elsewhere.listener_mut(ECHO).default_pool = "green".into();

    for (config, words) in [
        (&nothing, "the file has no listener with an address any more"),
        (
            &no_members,
            "pool \"echo\" has no member: listener lb-0/echo would be left without a member",
        ),
        (&no_address, "the file has no listener with an address any more"),
        (
            &elsewhere,
            "pool \"green\" has no member: listener lb-0/echo would be left without a member",
        ),
    ] {
        let (code, said) = scene.reload(&config.text()?, &["--wait"])?;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words) && said.contains("elb reload --allow-empty"), "{said}");
        let problems = problems(&scene.agent)?;
        assert!(problems.iter().any(|one| one.contains(words)), "{problems:?}");
        assert!(problems[0].contains("is still served"), "{problems:?}");
        flows_for(&traffic, 20)?;
        // What is served afterwards takes the problem away.
        let (code, said) = scene.reload(&right, &["--wait"])?;
        assert_eq!((code, self::problems(&scene.agent)?), (Some(0), Vec::new()), "{said}");
    }
    // SIGHUP is refused as well.
    scene.agent.write(&nothing.text()?)?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(scene.agent.id())?),
        nix::sys::signal::Signal::SIGHUP,
    )?;
    let refused = |_: &Value| problems(&scene.agent).is_ok_and(|all| !all.is_empty());
    scene.agent.wait_status("the refusal", LIMIT, refused)?;
    flows_for(&traffic, 20)?;
    was_never_disturbed(traffic)?;

    let (code, said) = scene.reload(&nothing.text()?, &["--allow-empty"])?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cut: listener lb-0/web at 10.0.0.100 TCP port"), "{said}");
    assert_eq!(problems(&scene.agent)?, Vec::<String>::new());
    assert_eq!(scene.agent.status()?["load_balancers"], Value::Array(Vec::new()));
    // Back again, and everything is served.
    let (code, said) = scene.reload(&right, &["--wait"])?;
    assert_eq!(code, Some(0), "{said}");
    let traffic = scene.traffic()?;
    flows_for(&traffic, 20)?;
    was_never_disturbed(traffic)
}

/// The members of a pool, in another pool with an equal check that the listener goes to: with a delay of
/// 10 s nothing is lost, and no one waits for a probe. One more member that is new joins later.
#[test]
fn verdicts_follow_members_to_another_pool() -> Result<()> {
    let mut scene = Scene::start(Some(10))?;
    let traffic = scene.traffic()?;
    let member = |n| scene.lab.member_addr(n, Family::V4);
    let serves = |pool: &'static str, members: Vec<_>| {
        move |said: &Value| {
            members.iter().all(|one| {
                status::member(said, pool, *one)
                    .is_some_and(|one| one["operating_status"] == "ONLINE" && one["slots"] != 0)
            })
        }
    };
    for name in [WEB, ECHO] {
        let blue = scene.config.pool_mut(name).clone();
        let third = elb_tests::config::Member { address: member(2), ..blue.members[0].clone() };
        let mut green = Pool { name: format!("{name}-green"), ..blue };
        if name == ECHO {
            green.members.push(third);
        }
        scene.config.listener_mut(name).default_pool.clone_from(&green.name);
        scene.config.pools.push(green);
    }
    let (code, said) = scene.reload(&scene.config.text()?, &[])?;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("move: listener lb-0/web at 10.0.0.100 TCP port 80: new"), "{said}");
    // At once: no probe is due within seconds.
    let now = scene.agent.status()?;
    assert!(serves("web-green", vec![member(0), member(1)])(&now), "{now}");
    let (code, said) = scene.reload(&scene.config.text()?, &["--wait"])?;
    assert_eq!(code, Some(0), "{said}");
    let all = serves("echo-green", vec![member(0), member(1), member(2)]);
    scene.agent.wait_status("the new member to serve", LIMIT, all)?;
    flows_for(&traffic, 50)?;
    // The blue pools go, and so does the name of the green one.
    let keeps = |pool: &Pool| pool.name.ends_with("-green");
    scene.config.pools.retain(keeps);
    scene.config.pool_mut("web-green").name = "other".into();
    scene.config.listener_mut(WEB).default_pool = "other".into();
    let (code, said) = scene.reload(&scene.config.text()?, &["--wait"])?;
    assert_eq!(code, Some(0), "{said}");
    assert!(serves("other", vec![member(0), member(1)])(&scene.agent.status()?));
    flows_for(&traffic, 50)?;
    was_never_disturbed(traffic)?;
    assert_eq!(problems(&scene.agent)?, Vec::<String>::new());
    Ok(())
}

/// What a reload would do is said before, by the reload, and in the log; what is wrong, with its line.
#[test]
fn a_reload_says_what_it_does() -> Result<()> {
    let mut scene = Scene::start(None)?;
    let traffic = scene.traffic()?;
    let (w1, w2) = (scene.lab.member_addr(1, Family::V4), scene.lab.member_addr(2, Family::V4));
    scene.config.pool_mut(WEB).members[1].address = w2;
    scene.config.pool_mut(ECHO).lb_algorithm = Some("ROUND_ROBIN".into());
    let file = scene.lab.files().join("next.toml");
    let file = file.display().to_string();
    std::fs::write(&file, scene.config.text()?)?;

    let check = ["check", "--against-running", "--config", &file];
    let planned = scene.agent.end(&check, LIMIT)?;
    assert_eq!(planned.code, Some(0), "{planned:?}");
    let words = [
        format!("remove: pool \"web\", member \"{w1}:"),
        "connections go on until they end or are idle".to_owned(),
        format!("add: pool \"web\", member \"{w2}:"),
        "move: pool \"web\": ".to_owned(),
        "% of the slots move to another member".to_owned(),
        "change: pool \"echo\": lb_algorithm 5_TUPLE_HASH becomes ROUND_ROBIN".to_owned(),
    ];
    for word in &words {
        assert!(planned.printed.contains(word), "{word}: {}", planned.printed);
    }
    let json = scene.agent.ask(&check)?;
    let effects = json["effects"].as_array().into_iter().flatten();
    let shares: Vec<f64> = effects.filter_map(|effect| effect["share"].as_f64()).collect();
    // A half must move; a ring of another algorithm takes the place of the former one.
    assert!(matches!(shares[..], [share] if (0.5..0.8).contains(&share)), "{json}");
    assert!(status::member(&scene.agent.status()?, WEB, w2).is_none(), "nothing is applied");

    let (code, said) = scene.reload(&scene.config.text()?, &["--wait"])?;
    assert!(
        code == Some(0) && said.contains("accepted (generation 2), and in force since "),
        "{said}"
    );
    for word in &words {
        assert!(said.contains(word), "{word}: {said}");
    }
    for effect in planned.printed.lines().filter(|line| line.starts_with("remove:")) {
        assert!(scene.agent.log().contains(&format!("reload: {effect}")), "{effect}");
    }
    let (code, said) = scene.reload(&scene.config.text()?, &[])?;
    assert_eq!((code, said.as_str()), (Some(0), "accepted (generation 2)\n"), "nothing changes");

    let wrong = scene.config.text()?.replace("weight = 1", "weight = 101");
    let (code, said) = scene.reload(&wrong, &["--wait"])?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("weight 101") && said.contains("elb.toml:"), "{said}");
    assert!(said.contains("still served") && !said.contains("left out"), "{said}");
    let problems = problems(&scene.agent)?;
    assert!(problems.iter().all(|one| !one.contains("left out")), "{problems:?}");
    std::fs::write(&file, wrong)?;
    assert_eq!(scene.agent.end(&check, LIMIT)?.code, Some(1));
    flows_for(&traffic, 20)?;
    was_never_disturbed(traffic)
}
