//! What members answer is seen, where it comes back through the load balancer: it is counted, and said of nothing
//! else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HttpLoad, Load, download, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wait::wait_for,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::scene::{LIMIT, wait_until_serving};

/// The listener whose answers come back, and one with direct server return.
const WEB: &str = "web";
const DIRECT: &str = "direct";
const PORT: u16 = 81;
const DIRECT_PORT: u16 = HTTP_PORT;
const REQUESTS: usize = 200;
const BYTES: u64 = 1_000_000;

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
