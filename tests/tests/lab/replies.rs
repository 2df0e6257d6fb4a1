//! What members answer is seen, where it comes back through the load balancer: it is counted, and said of nothing
//! else; each packet is explained, and traced, in both directions.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::{Family, Host, Network},
    agent::Agent,
    client::{HttpLoad, Load, download, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wait::wait_for,
    wire::HTTP_PORT,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{LIMIT, wait_until_serving};

/// The listener whose answers come back, and one with direct server return.
const WEB: &str = "web";
const DIRECT: &str = "direct";
const PORT: u16 = 81;
const DIRECT_PORT: u16 = HTTP_PORT;
const REQUESTS: usize = 200;
const BYTES: u64 = 1_000_000;
/// Connections, of which some are refused.
const REFUSED: usize = 40;

fn lab() -> Result<Lab> {
    let lab = Lab::builder().two_armed().backends(2).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    Ok(lab)
}

fn config(lab: &Lab) -> Config {
    let pool = |name, forwarding| {
        Pool::of(lab, name, Family::V4, Protocol::Tcp, HTTP_PORT).forwarding(forwarding)
    };
    Config::new(lab).balance(lab, Family::V4, PORT, pool(WEB, Forwarding::Nat)).balance(
        lab,
        Family::V4,
        DIRECT_PORT,
        pool(DIRECT, Forwarding::Ipip),
    )
}

/// What a listener and its members answered, once nothing passes any more.
fn at_rest(agent: &Agent) -> Result<Value> {
    wait_for("traffic to rest", LIMIT, || {
        let [before, after] = [agent.status()?, agent.status()?];
        let packets = |said: &Value| status::listener_of_pool(said, WEB)["replies"].clone();
        Ok((packets(&before) == packets(&after)).then_some(after))
    })
}

fn count(value: &Value, what: &str) -> Result<u64> {
    value["replies"][what].as_u64().with_context(|| format!("no {what} of answers in {value}"))
}

/// The value of a series.
fn metric(metrics: &str, series: &str) -> Result<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {series} in\n{metrics}"))?.parse()?)
}

/// The labels of the listener that is served by a pool.
fn labels(said: &Value, pool: &str) -> Result<String> {
    let balancers = said["load_balancers"].as_array().context("load balancers")?;
    let lb = balancers.first().context("one")?;
    let listener = &status::listener_of_pool(said, pool)["name"];
    Ok(format!("load_balancer={},listener={listener}", lb["name"]))
}

#[test]
fn they_are_counted_by_listener_and_member_and_go_on_without_an_agent() -> Result<()> {
    let lab = lab()?;
    let _servers = lab.serve()?;
    let mut agent = Agent::start(&lab, &config(&lab))?;
    wait_until_serving(&agent)?;
    let target = lab.service(Family::V4, PORT);
    let report = http_requests(lab.client(), Load::on(target), REQUESTS)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    download(lab.client(), target, BYTES)?;

    let said = at_rest(&agent)?;
    let listener = status::listener_of_pool(&said, WEB);
    let (packets, bytes) = (count(listener, "packets")?, count(listener, "bytes")?);
    // A SYN-ACK, an answer and a FIN each, at least.
    ensure!(packets >= 3 * REQUESTS as u64 && bytes > BYTES, "{listener}");
    let members = status::pool(&said, WEB).context("the pool")?["members"].clone();
    let members = members.as_array().context("members")?;
    let sum = |what| members.iter().map(|one| count(one, what)).sum::<Result<u64>>();
    assert_eq!((sum("packets")?, sum("bytes")?), (packets, bytes));
    assert!(members.iter().all(|one| count(one, "packets").is_ok_and(|n| n > 0)), "{members:?}");

    let metrics = agent.run(&["metrics"])?;
    let of = labels(&said, WEB)?;
    assert_eq!(metric(&metrics, &format!("elb_listener_reply_packets_total{{{of}}}"))?, packets);
    assert_eq!(metric(&metrics, &format!("elb_listener_reply_bytes_total{{{of}}}"))?, bytes);
    for one in members {
        let series = format!("{{pool={WEB:?},member={}}}", one["name"]);
        let of_member = format!("elb_member_reply_packets_total{series}");
        assert_eq!(metric(&metrics, &of_member)?, count(one, "packets")?);
    }
    let accepted = count(listener, "accepted")?;
    // One that is repeated counts again.
    ensure!(accepted > REQUESTS as u64, "{listener}");
    assert_eq!(sum("accepted")?, accepted);
    let series = format!("elb_listener_accepted_connections_total{{{of}}}");
    assert_eq!(metric(&metrics, &series)?, accepted);
    nothing_is_said_of_direct_server_return(&said, &metrics)?;

    agent.kill()?;
    let report = http_requests(lab.client(), Load::on(target), REQUESTS)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    agent.restart()?;
    wait_until_serving(&agent)?;
    let later = count(status::listener_of_pool(&at_rest(&agent)?, WEB), "packets")?;
    ensure!(later >= packets + 3 * REQUESTS as u64, "{packets} before, {later} afterwards");
    Ok(())
}

/// A service that is gone refuses connections with resets, which pass the load balancer.
#[test]
fn resets_of_members_are_counted() -> Result<()> {
    let lab = lab()?;
    let mut servers = lab.serve()?;
    let agent = Agent::start(&lab, &config(&lab))?;
    wait_until_serving(&agent)?;
    let target = lab.service(Family::V4, PORT);
    servers[0].kill()?;
    let refused =
        || (0..REFUSED).filter(|_| TcpStream::connect_timeout(&target, LIMIT).is_err()).count();
    let refused = u64::try_from(lab.client().run(refused)?)?;
    ensure!(refused > 0, "the other member served all");

    let said = at_rest(&agent)?;
    assert_eq!(count(status::listener_of_pool(&said, WEB), "resets")?, refused);
    let of = |index: usize| {
        let address = lab.member_addr(index, Family::V4);
        let members = status::pool(&said, WEB).context("the pool")?["members"].as_array();
        let mut members = members.into_iter().flatten();
        let found = members.find(|one| one["address"] == address.to_string());
        let member = found.context("the member")?;
        Ok::<_, anyhow::Error>((count(member, "resets")?, count(member, "accepted")?))
    };
    let (gone, there) = (of(0)?, of(1)?);
    assert_eq!((gone, there.0), ((refused, 0), 0));
    let metrics = agent.run(&["metrics"])?;
    let series = format!("elb_listener_server_resets_total{{{}}}", labels(&said, WEB)?);
    assert_eq!(metric(&metrics, &series)?, refused);
    Ok(())
}

/// It is not known, and 0 would be wrong.
fn nothing_is_said_of_direct_server_return(said: &Value, metrics: &str) -> Result<()> {
    let listener = status::listener_of_pool(said, DIRECT);
    let pool = status::pool(said, DIRECT).context("the pool")?;
    assert!(listener.get("replies").is_none(), "{listener}");
    assert!(!pool.to_string().contains("replies"), "{pool}");
    let of = labels(said, DIRECT)?;
    assert!(metrics.contains(&format!("elb_listener_forwarded_packets_total{{{of}}}")));
    assert!(!metrics.contains(&format!("elb_listener_reply_packets_total{{{of}}}")));
    assert!(!metrics.contains(&format!("elb_member_reply_packets_total{{pool={DIRECT:?}")));
    Ok(())
}

#[test]
fn their_rates_are_shown() -> Result<()> {
    let lab = lab()?;
    let _servers = lab.serve()?;
    let agent = Agent::start(&lab, &config(&lab))?;
    wait_until_serving(&agent)?;
    let load = Load {
        concurrency: 2,
        limit: 6 * LIMIT,
        timeout: Duration::from_secs(10),
        ..Load::on(lab.service(Family::V4, PORT))
    };
    let http = HttpLoad::start(lab.client(), load);
    let flows = http.so_far().answered();
    wait_for("requests", LIMIT, || Ok((http.so_far().answered() > flows).then_some(())))?;

    let said = agent.ask(&["status", "--rate"])?;
    let rate = &status::listener_of_pool(&said, WEB)["rate"]["replies"];
    assert!(rate["packets"].as_f64().is_some_and(|n| n > 0.0), "{rate}");
    let other = &status::listener_of_pool(&said, DIRECT)["rate"];
    assert!(other.is_object() && other.get("replies").is_none(), "{other}");
    let text = agent.run(&["status", "--rate"])?;
    assert!(text.contains("REPLY BYTES/S") && text.contains(", replies "), "{text}");

    let top = agent.ask(&["top", "-b", "-n", "1"])?;
    let listeners = top["listeners"].as_array().context("listeners")?;
    let rates = |pool: &str| {
        let of = listeners.iter().find(|one| one["default_pool"] == pool);
        of.map(|one| one["reply_bytes_per_second"].as_f64())
    };
    assert!(rates(WEB).flatten().is_some_and(|n| n > 0.0), "{top}");
    assert_eq!(rates(DIRECT), Some(None), "{top}");
    assert!(http.stop()?.answered() > 0);
    Ok(())
}

/// A second listener of the same pool.
const OTHER_PORT: u16 = 82;

fn explain(agent: &Agent, src: SocketAddr, dst: SocketAddr, more: &[&str]) -> Result<Value> {
    let (src, dst) = (src.to_string(), dst.to_string());
    let question = ["explain", "--src", &src, "--dst", &dst, "--proto", "tcp"];
    agent.ask(&[&question, more].concat())
}

fn socket(value: &Value) -> Result<SocketAddr> {
    Ok(value.as_str().with_context(|| format!("no socket in {value}"))?.parse()?)
}

/// A connection of the lab's client.
fn connect(lab: &Lab, target: SocketAddr) -> Result<TcpStream> {
    Ok(lab.client().run(|| TcpStream::connect_timeout(&target, LIMIT))??)
}

/// Both directions of real connections, each of which was answered.
#[test]
fn both_directions_of_a_connection_are_explained() -> Result<()> {
    let lab = lab()?;
    let _servers = lab.serve()?;
    let mut config = config(&lab);
    let mut other = config.listener_mut(WEB).clone();
    (other.name, other.protocol_port) = ("other".to_owned(), OTHER_PORT);
    config.load_balancers[0].listeners.push(other);
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    for port in [PORT, OTHER_PORT] {
        let target = lab.service(Family::V4, port);
        let connection = connect(&lab, target)?;
        let client = connection.local_addr()?;
        let there = explain(&agent, client, target, &[])?;
        assert_eq!(there["decision"]["fate"], "forwarded", "{there}");
        let member = socket(&there["translated"]["destination"])?;
        assert_eq!(there["backend"]["address"], member.ip().to_string(), "{there}");
        assert_eq!(socket(&there["translated"]["source"])?, client, "{there}");

        let back = explain(&agent, member, client, &[])?;
        assert_eq!(back["decision"]["fate"], "forwarded", "{back}");
        assert_eq!(socket(&back["translated"]["source"])?, target, "{back}");
        assert_eq!(socket(&back["translated"]["destination"])?, client, "{back}");
        let endpoint = &back["endpoint"];
        assert_eq!((&endpoint["shared"], &endpoint["interface"]), (&true.into(), &"lb1".into()));
        assert_eq!(back["packet"]["interface"], "lb1", "it comes where the member is");
        let stands_for = socket(&endpoint["stands_for"])?;
        assert_eq!(back["noted"].is_object(), stands_for != target, "{back}");
        if stands_for != target {
            assert_eq!(back["noted"]["listener"], "other", "{back}");
        }
        let text = agent.run(&[
            "explain",
            "--src",
            &member.to_string(),
            "--dst",
            &client.to_string(),
            "--proto",
            "tcp",
        ])?;
        assert!(text.contains(&format!("it is now {target} → {client}")), "{text}");
        drop(connection);
    }
    Ok(())
}

/// Each reason not to translate an answer, or a request.
#[test]
fn why_packets_are_not_translated_is_explained() -> Result<()> {
    let lab = lab()?;
    let _servers = lab.serve()?;
    let mut config = config(&lab);
    // With direct server return, members' own packets to the virtual address never come here.
    config.load_balancers[0].listeners.retain(|one| one.default_pool != DIRECT);
    config.pools.retain(|pool| pool.name != DIRECT);
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    let target = lab.service(Family::V4, PORT);
    let member = SocketAddr::new(lab.member_addr(0, Family::V4), HTTP_PORT);
    let client = SocketAddr::new(lab.client_addr(Family::V4), 41_000);
    let reason = |said: &Value| said["decision"]["reason"].as_str().map(str::to_owned);

    let said = explain(&agent, member, client, &["--interface", "lb0"])?;
    assert_eq!(reason(&said).as_deref(), Some("reply_unknown"), "{said}");
    assert_eq!(said["endpoint"]["interface"], "lb1", "{said}");
    let far = "203.0.113.9:41000".parse()?;
    let said = explain(&agent, member, far, &[])?;
    assert_eq!(reason(&said).as_deref(), Some("no_route"), "{said}");
    assert_eq!(said["way_back"]["kind"], "none", "{said}");
    let near = SocketAddr::new(lab.member_addr(1, Family::V4), 41_000);
    let said = explain(&agent, near, target, &[])?;
    let fate = &said["decision"]["fate"];
    assert_eq!((fate, reason(&said).as_deref()), (&"dropped".into(), Some("hairpin")), "{said}");
    let said = explain(&agent, member, client, &["--syn"])?;
    assert_eq!(reason(&said).as_deref(), Some("not_vip"), "{said}");
    assert_eq!(said["noted"]["by_this_packet"], true, "{said}");

    // A client reaches the member itself by the load balancer: its answers are left alone.
    let lb = Network::Front.address(Family::V4, Host::LoadBalancer);
    lab.client().ip(&format!("route replace {}/32 via {lb}", member.ip()))?;
    let direct = connect(&lab, member)?;
    let said = explain(&agent, member, direct.local_addr()?, &[])?;
    assert_eq!(reason(&said).as_deref(), Some("not_vip"), "{said}");
    assert_eq!(said["noted"]["by_this_packet"], false, "{said}");
    assert!(said["noted"].get("listener").is_none() && said["translated"].is_null(), "{said}");
    Ok(())
}

/// Both directions of a client's connections, as they came and as they went.
#[test]
fn a_trace_of_a_client_shows_both_directions() -> Result<()> {
    let lab = lab()?;
    let _servers = lab.serve()?;
    let agent = Agent::start(&lab, &config(&lab))?;
    wait_until_serving(&agent)?;
    let target = lab.service(Family::V4, PORT);
    // The client's Ethernet address is known afterwards, so that answers leave by the program.
    let report = http_requests(lab.client(), Load::on(target), REQUESTS)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    let (vip, client) = (target.ip().to_string(), lab.client_addr(Family::V4).to_string());
    let member = SocketAddr::new(lab.member_addr(0, Family::V4), HTTP_PORT).to_string();
    for filter in [&["--vip", &vip, "--client", &client][..], &["--member", &member]] {
        let arguments = [&["trace", "-o", "json"], filter].concat();
        let mut trace = agent.start_command(&arguments)?;
        trace.wait_said("tracing; Ctrl-C ends it", LIMIT)?;
        let report = http_requests(lab.client(), Load::on(target), REQUESTS / 10)?;
        assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
        std::thread::sleep(Duration::from_millis(500));
        trace.signal(Signal::SIGINT)?;
        let shown = elb_tests::printed::lines(&["trace"], &trace.finish(LIMIT)?)?;
        let of = |from: &str, to: &str| {
            let begins = |end: &Value, with| end.as_str().is_some_and(|end| end.starts_with(with));
            let is_one = |event: &&Value| {
                begins(&event["source"], from) && begins(&event["destination"], to)
            };
            shown.iter().filter(is_one).collect::<Vec<_>>()
        };
        let requests = of(&client, &target.to_string());
        let answers = of("10.", &format!("{client}:"));
        ensure!(!requests.is_empty() && !answers.is_empty(), "{filter:?}: {shown:?}");
        for request in requests {
            let now = socket(&request["translated"]["destination"])?;
            assert_eq!(request["member"]["address"], now.ip().to_string(), "{request}");
        }
        for answer in answers {
            assert_eq!(socket(&answer["translated"]["source"])?, target, "{answer}");
            assert_eq!((&answer["listener"], &answer["fate"]), (&WEB.into(), &"forwarded".into()));
        }
    }
    Ok(())
}
