//! Metrics: what they say is what `elb status` says, of real traffic; series go with what they are about; and
//! over TCP they are for those with the token.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{AccessList, Config, Forwarding},
    cpu::Cpu,
    daemon::tool,
    lab::Lab,
    process::{ended, output},
    resident::{forget_most, memory_of},
    status,
    wait::wait_for,
};
use serde_json::Value;
use socket2::SockRef;

use crate::scene::{ECHO, LIMIT, Scene, WEB};

/// Requests, each on a connection of its own.
const REQUESTS: usize = 300;
/// Connections that their client resets.
const RESETS: u64 = 7;

/// The series of a scrape and their values, as they are printed.
struct Metrics(BTreeMap<String, String>);

impl Metrics {
    fn parse(text: &str) -> Result<Self> {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let parsed = series.map(|line| {
            let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            value.parse::<f64>().with_context(|| line.to_owned())?;
            Ok((name.to_owned(), value.to_owned()))
        });
        parsed.collect::<Result<_>>().map(Self)
    }

    fn of(agent: &Agent) -> Result<Self> {
        Self::parse(&agent.run(&["metrics"])?)
    }

    /// The value of a series, as a whole number.
    fn count(&self, series: &str) -> u64 {
        let value = self.0.get(series).unwrap_or_else(|| panic!("no {series}"));
        whole(value)
    }

    /// All series with this text in them, added up.
    fn sum(&self, name: &str, label: &str) -> u64 {
        let named = self.0.iter().filter(|(series, _)| series.starts_with(&format!("{name}{{")));
        named.filter(|(series, _)| series.contains(label)).map(|(_, value)| whole(value)).sum()
    }

    fn names(&self, text: &str) -> bool {
        self.0.keys().any(|series| series.contains(text))
    }
}

fn whole(value: &str) -> u64 {
    value.parse().unwrap_or_else(|_| panic!("{value} is no whole number"))
}

/// The labels of the listener of a pool.
fn of_listener(scene: &Scene, name: &str) -> Result<String> {
    let said = scene.agent.status()?;
    let balancers = said["load_balancers"].as_array().context("load balancers")?;
    for lb in balancers {
        for listener in lb["listeners"].as_array().into_iter().flatten() {
            if listener["default_pool"] == name {
                return Ok(format!("load_balancer={},listener={}", lb["name"], listener["name"]));
            }
        }
    }
    anyhow::bail!("no listener of {name}")
}

/// Connects and resets so many times.
fn reset(lab: &Lab, at: SocketAddr, times: u64) -> Result<()> {
    lab.client().run(|| {
        for _ in 0..times {
            let stream = TcpStream::connect_timeout(&at, LIMIT)?;
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        io::Result::Ok(())
    })??;
    Ok(())
}

/// Tries to connect, in vain.
fn knock(lab: &Lab, at: SocketAddr) -> Result<()> {
    let connected =
        lab.client().run(|| TcpStream::connect_timeout(&at, Duration::from_millis(300)))?;
    ensure!(connected.is_err(), "{at} is served");
    Ok(())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The metrics, once they and the status before and after say that nothing passes any more.
fn at_rest(agent: &Agent) -> Result<(Metrics, Value)> {
    wait_for("traffic to rest", LIMIT, || {
        let before = agent.status()?;
        let metrics = Metrics::of(agent)?;
        let after = agent.status()?;
        let packets = |said: &Value, name| status::listener_of_pool(said, name)["packets"].clone();
        let rests = [WEB, ECHO].iter().all(|name| packets(&before, name) == packets(&after, name));
        Ok(rests.then_some((metrics, after)))
    })
}

#[test]
fn metrics_say_what_the_status_says_and_go_with_their_objects() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    let (web, echo) = (of_listener(&scene, WEB)?, of_listener(&scene, ECHO)?);
    assert_eq!(scene.request(REQUESTS)?.answered(), REQUESTS);
    reset(&scene.lab, scene.echo(), RESETS)?;
    let (metrics, said) = at_rest(&scene.agent)?;

    let opened = metrics.count(&format!("elb_listener_opened_connections_total{{{web}}}"));
    assert_eq!(opened, REQUESTS as u64);
    assert_eq!(
        metrics.sum("elb_member_opened_connections_total", &format!("pool={WEB:?}")),
        opened
    );
    let opened = metrics.count(&format!("elb_listener_opened_connections_total{{{echo}}}"));
    let resets = metrics.count(&format!("elb_listener_client_resets_total{{{echo}}}"));
    assert_eq!((opened, resets), (RESETS, RESETS));
    for (labels, pool) in [(&web, WEB), (&echo, ECHO)] {
        let listener = status::listener_of_pool(&said, pool);
        for (what, name) in [("packets", "packets"), ("bytes", "bytes")] {
            let series = format!("elb_listener_forwarded_{name}_total{{{labels}}}");
            assert_eq!(metrics.count(&series), number(&listener[what]), "{series}");
        }
        assert_eq!(metrics.count(&format!("elb_listener_up{{{labels}}}")), 1);
        let members = status::pool(&said, pool).and_then(|pool| pool["members"].as_array());
        for member in members.context("members")? {
            let labels = format!("pool={pool:?},member={}", member["name"]);
            let packets = metrics.count(&format!("elb_member_forwarded_packets_total{{{labels}}}"));
            assert_eq!(packets, number(&member["packets"]), "{labels}");
            let share: f64 = metrics.0[&format!("elb_member_share_ratio{{{labels}}}")].parse()?;
            assert!((share - member["share"].as_f64().unwrap_or(0.0)).abs() < 0.01, "{labels}");
            assert_eq!(metrics.count(&format!("elb_member_healthy{{{labels}}}")), 1);
        }
        let online = r#"status="NO_MONITOR""#;
        assert_eq!(metrics.count(&format!("elb_pool_members{{pool={pool:?},{online}}}")), 2);
    }
    assert_eq!(metrics.count("elb_scrape_errors"), 0);
    assert_eq!(metrics.count("elb_config_last_reload_successful"), 1);
    checked_by_promtool(&scene)?;
    drops_are_counted_where_they_are(&mut scene, &web)?;

    scene.config.load_balancers[0].listeners.retain(|one| one.default_pool != ECHO);
    scene.config.pools.retain(|pool| pool.name != ECHO);
    scene.agent.reload(&scene.config)?;
    wait_for("the series of what is removed to vanish", LIMIT, || {
        let metrics = Metrics::of(&scene.agent)?;
        Ok((!metrics.names(&echo) && !metrics.names(&format!("pool={ECHO:?}"))).then_some(()))
    })?;
    assert!(Metrics::of(&scene.agent)?.names(&web));
    Ok(())
}

/// Two reasons at one listener, none at the other.
fn drops_are_counted_where_they_are(scene: &mut Scene, web: &str) -> Result<()> {
    let client = scene.lab.client_addr(Family::V4).to_string();
    let dropped = |metrics: &Metrics, reason: &str| {
        let series = format!("elb_listener_dropped_packets_total{{{web},reason={reason:?}}}");
        let whole = metrics.count(&format!("elb_dropped_packets_total{{reason={reason:?}}}"));
        let all = metrics.sum("elb_listener_dropped_packets_total", &format!("reason={reason:?}"));
        assert_eq!((metrics.count(&series), all), (whole, whole), "{reason}");
        whole
    };
    scene.config.set_group("clients", &[&client]);
    scene.config.restrict(WEB, AccessList::Black, "clients");
    scene.agent.reload(&scene.config)?;
    scene.agent.wait_status("the group to be in force", LIMIT, |said| {
        status::listener_of_pool(said, WEB)["ipgroup"].is_object()
    })?;
    knock(&scene.lab, scene.web())?;
    assert!(dropped(&Metrics::of(&scene.agent)?, "access_denied") > 0);
    scene.config.listener_mut(WEB).ipgroup = None;
    scene.config.listener_mut(WEB).admin_state_up = false;
    scene.agent.reload(&scene.config)?;
    scene.agent.wait_status("the listener to be disabled", LIMIT, |said| {
        status::listener_of_pool(said, WEB)["operating_status"] == "DISABLED"
    })?;
    knock(&scene.lab, scene.web())?;
    let metrics = Metrics::of(&scene.agent)?;
    assert!(dropped(&metrics, "disabled") > 0 && dropped(&metrics, "no_backend") == 0);
    Ok(())
}

/// Prometheus' own tool finds nothing wrong, in text or style.
fn checked_by_promtool(scene: &Scene) -> Result<()> {
    let file = scene.lab.files().join("metrics");
    fs::write(&file, scene.agent.run(&["metrics"])?)?;
    let mut promtool = tool("promtool")?;
    promtool.args(["check", "metrics"]).stdin(File::open(&file)?);
    let ended = ended(promtool, LIMIT)?;
    assert_eq!((ended.code, ended.said.as_str()), (Some(0), ""), "{ended:?}");
    Ok(())
}

const PORT: u16 = 9105;

/// What curl in the client's host gets of the agent: the code, and what was said.
fn curl(scene: &Scene, path: &str, options: &[&str]) -> Result<(String, String)> {
    let at = SocketAddr::new(lb(&scene.lab), PORT);
    curl_at(scene, &format!("http://{at}{path}"), options)
}

fn curl_at(scene: &Scene, url: &str, options: &[&str]) -> Result<(String, String)> {
    let mut curl = scene.lab.client().command("curl");
    curl.args(["-sS", "--max-time", "10", "-w", "\n%{http_code}"]).args(options);
    curl.arg(url);
    let said = output(curl, LIMIT)?;
    let (body, code) = said.rsplit_once('\n').context("a code")?;
    Ok((code.to_owned(), body.to_owned()))
}

fn lb(lab: &Lab) -> IpAddr {
    lab.lb_addrs(Family::V4)[0]
}

#[test]
fn over_tcp_metrics_are_for_those_with_the_token() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    let plain = scene.config.text()?;
    let listening = format!("{plain}\n[metrics]\nlisten = \"{}:{PORT}\"\n", lb(&scene.lab));
    scene.agent.reload_with(&listening)?;
    scene.agent.wait_status("the file to be refused", LIMIT, |said| {
        let problems = said["agent"]["problems"].to_string();
        problems.contains("could be read by every host") && problems.contains("bearer_token_file")
    })?;

    let token = scene.lab.files().join("token");
    fs::write(&token, "s3cret\n")?;
    scene.agent.reload_with(&format!("{listening}bearer_token_file = {token:?}\n"))?;
    let shown = ["-H", "Authorization: Bearer s3cret"];
    wait_for("metrics over TCP", LIMIT, || {
        Ok(curl(&scene, "/healthz", &shown).is_ok_and(|(code, _)| code == "200").then_some(()))
    })?;
    for wrong in [&[][..], &["-H", "Authorization: Bearer s3cre"]] {
        let (code, said) = curl(&scene, "/metrics", wrong)?;
        assert!(code == "401" && !said.contains("elb_"), "{code} {said}");
    }
    let (code, text) = curl(&scene, "/metrics?scope=pool", &shown)?;
    let metrics = Metrics::parse(&text)?;
    assert!(code == "200" && metrics.names("elb_pool_members"), "{text}");
    assert!(!metrics.names("elb_member_") && !metrics.names("elb_listener_"), "{text}");
    let accept = ["-H", "Accept: application/openmetrics-text; version=1.0.0", "--compressed"];
    let (_, text) = curl(&scene, "/metrics", &[&shown[..], &accept].concat())?;
    assert!(text.ends_with("# EOF\n") && text.contains("# UNIT "), "{text}");
    let (code, said) = curl(&scene, "/readyz", &shown)?;
    assert_eq!((code.as_str(), said.as_str()), ("200", "ok\n"));

    // Without a member that takes connections it does not serve, and says so.
    for pool in &mut scene.config.pools {
        pool.members.iter_mut().for_each(|member| member.weight = 0);
    }
    let metrics = format!("[metrics]\nlisten = \"{}:{PORT}\"\n", lb(&scene.lab));
    let idle = format!("{}\n{metrics}bearer_token_file = {token:?}\n", scene.config.text()?);
    scene.agent.reload_with(&idle)?;
    wait_for("/readyz to say that nothing is served", LIMIT, || {
        let asked = curl(&scene, "/readyz", &shown);
        Ok(asked
            .is_ok_and(|(code, said)| code == "503" && said.contains("no listener"))
            .then_some(()))
    })?;
    scene.agent.reload_with(&plain)?;
    wait_for("TCP to be closed again", LIMIT, || {
        Ok(curl(&scene, "/healthz", &shown).is_err().then_some(()))
    })
}

/// A client that trusts the certificate reads metrics; one that does not, or speaks plain HTTP, gets none. Files that
/// cannot be used are named by `elb check`, no reload takes them over, and an agent that starts with them serves without.
#[test]
fn over_tcp_metrics_come_by_tls() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    let own = rcgen::generate_simple_self_signed([lb(&scene.lab).to_string()])?;
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| scene.lab.files().join(name));
    fs::write(&certificate, own.cert.pem())?;
    let listen = format!("{}:{PORT}", lb(&scene.lab));
    let with_tls = format!(
        "{}\n[metrics]\nlisten = \"{listen}\"\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n",
        scene.config.text()?
    );
    let refused = |said: &Value| {
        let problems = said["agent"]["problems"].to_string();
        problems.contains("cannot use") && problems.contains("is still served")
    };
    let before = scene.agent.status()?;
    scene.agent.reload_with(&with_tls)?;
    let said = scene.agent.wait_status("the key to be missed", LIMIT, refused)?;
    assert_eq!(said["agent"]["generation"], before["agent"]["generation"], "{said}");
    let file = scene.agent.file().to_owned();
    let checked = scene.agent.end(&["check", "--config", &file.to_string_lossy()], LIMIT)?;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.printed.contains("warning: [metrics]: cannot use"), "{checked:?}");

    let secret = own.signing_key.serialize_pem();
    fs::write(&key, &secret)?;
    scene.agent.reload_with(&with_tls)?;
    let trusting = ["--cacert", &certificate.to_string_lossy()];
    let url = format!("https://{listen}");
    let is_served = |scene: &Scene| {
        let got = curl_at(scene, &format!("{url}/metrics"), &trusting);
        got.is_ok_and(|(code, text)| code == "200" && text.contains("elb_listener_up{"))
    };
    let wait_served =
        |scene: &Scene| wait_for("metrics by TLS", LIMIT, || Ok(is_served(scene).then_some(())));
    wait_served(&scene)?;
    assert!(curl_at(&scene, &format!("{url}/metrics"), &[]).is_err(), "nobody signed it");
    assert!(curl(&scene, "/metrics", &[]).is_err(), "that was not TLS");
    // A reload with a key that is none changes nothing.
    fs::write(&key, "no key\n")?;
    scene.agent.reload_with(&with_tls)?;
    scene.agent.wait_status("the wrong key to be refused", LIMIT, refused)?;
    assert!(is_served(&scene), "as before");
    assert_eq!(scene.agent.log().matches("a task ended").count(), 0, "{}", scene.agent.log());

    scene.agent.restart()?;
    scene.agent.wait_status("an agent without metrics over TCP", LIMIT, |said| {
        said["agent"]["problems"].to_string().contains("task metrics over TCP does not run")
    })?;
    fs::write(&key, &secret)?;
    wait_served(&scene)?;
    let said = scene.agent.log().matches("a task ended").count();
    assert_eq!(said, 1, "{}", scene.agent.log());
    Ok(())
}

/// Listeners and members, as many as are asked for: `ELB_SCRAPE=1000,10000` is what the bar is of.
fn many() -> Result<(u32, u32)> {
    let Ok(asked) = std::env::var("ELB_SCRAPE") else { return Ok((100, 1_000)) };
    let (listeners, members) = asked.split_once(',').context("ELB_SCRAPE=LISTENERS,MEMBERS")?;
    Ok((listeners.parse()?, members.parse()?))
}

/// Members of a pool: of a ring of the usual size each needs 100 slots.
const IN_A_POOL: u32 = 500;

/// A load balancer with so many listeners, and pools of [`IN_A_POOL`] members.
fn crowded(lab: &Lab, listeners: u32, members: u32) -> Result<String> {
    let mut config = Config::new(lab);
    config.agent.max_backends = Some(members + 16);
    config.agent.max_listeners = Some(listeners + 16);
    // Lists without elements would be in the way of tables of the same name.
    let own = config.text()?;
    let mut text =
        own.lines().filter(|line| !line.ends_with("= []")).collect::<Vec<_>>().join("\n");
    text += "\n[metrics]\nmembers = 65535\n[[load_balancer]]\nname = \"crowd\"\nvip_address = \"192.0.2.99\"\n";
    for n in 0..listeners {
        let port = 1_000 + n;
        let pool = n % members.div_ceil(IN_A_POOL);
        text +=
            &format!("[[load_balancer.listener]]\nname = \"listener-{n}\"\nprotocol = \"TCP\"\n");
        text += &format!("protocol_port = {port}\ndefault_pool = \"pool-{pool}\"\n");
    }
    for n in 0..members {
        if n % IN_A_POOL == 0 {
            let pool = n / IN_A_POOL;
            text += &format!(
                "[[pool]]\nname = \"pool-{pool}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
                 any_port_enable = true\n"
            );
        }
        let [.., a, b] = n.to_be_bytes();
        text += &format!("[[pool.member]]\naddress = \"10.200.{a}.{b}\"\n");
    }
    Ok(text)
}

/// A scrape by the agent's socket, and how long it took.
fn scrape(socket: &Path) -> Result<(String, Duration)> {
    get(socket, "/metrics")
}

fn get(socket: &Path, path: &str) -> Result<(String, Duration)> {
    let begun = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: elb\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok((answer, begun.elapsed()))
}

/// What the agent may need in addition for a scrape.
const MOST_MEMORY: u64 = 15 << 20;

#[test]
fn a_scrape_has_all_listeners_and_members() -> Result<()> {
    let (listeners, members) = many()?;
    let lab = Lab::builder().backends(1).start()?;
    let config = Config::new(&lab);
    let socket = config.agent.socket.clone();
    let agent = Agent::start_with(&lab, &crowded(&lab, listeners, members)?, &socket)?;
    wait_for("all members to have metrics", LIMIT, || {
        let (text, _) = get(&socket, "/metrics?scope=pool")?;
        let series = text.lines().filter(|line| line.starts_with("elb_pool_members{"));
        let counts = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok((counts.sum::<f64>() == f64::from(members)).then_some(()))
    })?;
    // From here on the largest size counts; no question was asked that needed memory before.
    forget_most(agent.id())?;
    let before = memory_of(agent.id(), "VmRSS")?;
    let scrapes = (0..9).map(|_| scrape(&socket)).collect::<Result<Vec<_>>>()?;
    let more = memory_of(agent.id(), "VmHWM")?.saturating_sub(before);
    assert!(more <= MOST_MEMORY, "{more} bytes more than {before}");
    let (text, _) = &scrapes[8];
    let count = |start| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(count("elb_listener_up{"), listeners as usize);
    assert_eq!(count("elb_member_weight{"), members as usize);
    let mut times: Vec<_> = scrapes.iter().map(|(_, time)| *time).collect();
    times.sort_unstable();
    println!(
        "{listeners} listeners, {members} members: {} bytes, {} series; median {:?} of 9, fastest {:?}; {} KiB \
         more than {} KiB",
        text.len(),
        text.lines().filter(|line| line.starts_with("elb_")).count(),
        times[4],
        times[0],
        more >> 10,
        before >> 10
    );
    watched(&agent)
}

/// What it costs to watch them.
fn watched(agent: &Agent) -> Result<()> {
    let mut top = agent.start_in_terminal(&["top", "--view", "members"], (120, 40))?;
    top.wait_shown("members", LIMIT, |shown| shown.iter().any(|line| line.contains("WEIGHT")))?;
    // Looks are a second apart at first.
    sleep(Duration::from_secs(5));
    let (view, asked) = (Cpu::of(top.id())?, Cpu::of(agent.id())?);
    sleep(Duration::from_secs(20));
    let (view, asked) = (view.used()? * 100.0, asked.used()? * 100.0);
    println!("elb top takes {view:.2} % of a core, the agent {asked:.2} %");
    Ok(())
}
