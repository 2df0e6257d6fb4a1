//! Alerts, recording rules and the dashboard: they name what a running agent exports, promtool finds them right, and
//! a real Prometheus that scrapes an agent answers with them.

mod dashboard;
mod exported;
mod files;
mod prometheus;
mod query;

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    address::Family,
    client::{HttpLoad, Load},
    config::{Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    daemon::tool,
    process::output,
    wire::HTTP_PORT,
};
use serde_json::Value;

use self::{exported::Exported, prometheus::Prometheus};
use crate::scene::{self, LIMIT, Scene, WEB};

const RULES: [&str; 2] = ["elb.rules.yml", "elb-sys-elb.rules.yml"];
/// Where the agent of the lab serves metrics.
const TARGET: &str = "127.0.0.1:9105";

fn promtool(arguments: &[&str]) -> Result<String> {
    let mut command = tool("promtool")?;
    command.args(arguments).current_dir(files::folder());
    output(command, LIMIT)
}

#[test]
fn promtool_finds_nothing_wrong() -> Result<()> {
    for file in RULES {
        let said = promtool(&["check", "rules", file])?;
        // What is read here is all that is there.
        let all = format!("SUCCESS: {} rules found", files::rules(file)?.len());
        assert!(said.contains(&all), "{all}, but: {said}");
    }
    promtool(&["test", "rules", "elb.rules.test.yml"])?;
    Ok(())
}

#[test]
fn every_alert_fires_in_one_case_and_not_in_another() -> Result<()> {
    let alerts: BTreeSet<_> =
        files::rules("elb.rules.yml")?.into_iter().map(|it| it.name).collect();
    assert_eq!(alerts.len(), 19);
    let cases = files::cases()?;
    for fires in [true, false] {
        let of = cases.iter().filter(|(_, case)| *case == fires);
        let covered: BTreeSet<_> = of.map(|(alert, _)| alert.clone()).collect();
        assert_eq!(covered, alerts, "cases in which they fire: {fires}");
    }
    Ok(())
}

#[test]
fn every_runbook_is_in_the_documentation() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let runbooks = files::runbooks()?;
    assert_eq!(runbooks.len(), files::rules("elb.rules.yml")?.len());
    for (alert, document, anchor) in runbooks {
        assert_eq!(anchor, alert.to_lowercase());
        let text = fs::read_to_string(root.join(&document)).with_context(|| document.clone())?;
        let headings =
            text.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
        let found = headings.filter(|heading| heading.to_lowercase() == anchor).count();
        assert_eq!(found, 1, "{document} has no section {alert}");
    }
    Ok(())
}

/// A lab with everything that rules and panels ask for: limits, recorded connections, health monitors.
fn watched() -> Result<Scene> {
    let (mut scene, ()) = Scene::start_of(2, Forwarding::Ipip, |lab| {
        let mut config = scene::config(lab, Forwarding::Ipip, |mut pool| {
            pool.healthmonitor = Some(HealthMonitor::quick(MonitorKind::Tcp));
            pool
        });
        config.pool_mut(WEB).lb_algorithm = Some("ROUND_ROBIN".to_owned());
        let listener = config.listener_mut(WEB);
        (listener.cps, listener.max_connection) = (100_000, 100_000);
        // One whose answers come back through the load balancer.
        let pool = Pool::of(lab, "translated", Family::V4, Protocol::Tcp, HTTP_PORT);
        let config = config.balance(lab, Family::V4, 81, pool.forwarding(Forwarding::Nat));
        Ok((config, ()))
    })?;
    let text = format!("{}\n[metrics]\nlisten = {TARGET:?}\n", scene.config.text()?);
    scene.agent.reload_with(&text)?;
    Ok(scene)
}

#[test]
fn prometheus_scrapes_an_agent_and_answers() -> Result<()> {
    let mut scene = watched()?;
    let prometheus = Prometheus::start(&scene.lab, TARGET)?;
    prometheus.wait("a scrape", "up{job=\"elb\"}", |said| matches!(said, [(_, 1.0)]))?;
    let load = Load { concurrency: 4, limit: LIMIT * 6, ..Load::on(scene.web()) };
    let http = HttpLoad::start(scene.lab.client(), load);

    // A rate of forwarded packets: of the listener that has traffic, and of no other.
    let rate = "sum by (load_balancer, listener) (rate(elb_listener_forwarded_packets_total[5s]))";
    let rates = prometheus.wait("packets", rate, |said| said.iter().any(|(_, n)| *n > 10.0))?;
    let busy = rates.iter().filter(|(_, n)| *n > 0.0).count();
    assert_eq!((busy, rates.len()), (1, 3), "{rates:?}");
    names_are_exported(&scene)?;

    // Another host answers for the virtual address.
    let alerts = r#"ALERTS{alertname="ElbVipConflict"}"#;
    assert_eq!(prometheus.query(alerts)?, []);
    let device = scene.lab.device();
    for key in ["all", device] {
        scene.lab.backend(1).sysctl(&format!("ipv4/conf/{key}/arp_ignore"), "0")?;
    }
    scene.servers[0].kill()?;
    let states = format!("sum by (status) (elb_pool_members{{pool={WEB:?}}}) > 0");
    let states = prometheus.wait("a member to be OFFLINE", &states, |said| {
        let mut said: Vec<_> = said.iter().map(|(of, n)| (of["status"].as_str(), *n)).collect();
        said.sort_by_key(|(status, _)| *status);
        said == [(Some("OFFLINE"), 1.0), (Some("ONLINE"), 1.0)]
    })?;
    let firing = prometheus.wait("the alert", alerts, |said| {
        said.iter().any(|(of, _)| of["alertstate"] == "firing" && of["severity"] == "critical")
    })?;
    println!("rates {rates:?}\nstates {states:?}\nalerts {firing:?}");
    everything_is_answered(&prometheus)?;
    assert!(http.stop()?.answered() > 0);
    Ok(())
}

/// What rules and panels name is what this agent exports.
fn names_are_exported(scene: &Scene) -> Result<()> {
    let mut exported = Exported::parse(&scene.agent.run(&["metrics"])?)?;
    let rules = RULES.map(files::rules).into_iter().collect::<Result<Vec<_>>>()?.concat();
    let recorded = rules.iter().map(|rule| rule.name.clone()).filter(|name| name.contains(':'));
    exported.record(recorded);
    let queries = files::queries(&files::dashboard()?);
    for one in rules.iter().chain(&queries) {
        assert_eq!(exported.missing(one)?, [""; 0], "{}: {}", one.name, one.text);
    }
    Ok(())
}

/// Rules are evaluated without an error, and each query of the dashboard has an answer.
fn everything_is_answered(prometheus: &Prometheus) -> Result<()> {
    let rules = prometheus.rules()?;
    let all = RULES.map(|file| files::rules(file).map(|rules| rules.len()));
    assert_eq!(rules.len(), all.into_iter().sum::<Result<usize>>()?);
    let wrong: Vec<&Value> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
    ensure!(wrong.is_empty(), "{wrong:?}");
    let dashboard = files::dashboard()?;
    for query in files::queries(&dashboard) {
        // What is 0 is not shown, and may be all there is.
        let text = query.text.strip_suffix(" > 0").unwrap_or(&query.text);
        let mut text = text.replace("$__rate_interval", "10s");
        for chosen in ["job", "instance", "load_balancer", "listener", "pool"] {
            text = text.replace(&format!("\"${chosen}\""), "\".+\"");
        }
        let samples = prometheus.query(&text).with_context(|| query.name.clone())?;
        // The kernel does not measure programs unless it is asked to.
        ensure!(!samples.is_empty() || text.contains("elb_xdp_run"), "{}: {text}", query.name);
    }
    Ok(())
}
