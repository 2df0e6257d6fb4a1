//! IPv6 is switched off on the load balancer, and on again: IPv4 does not suffer, what is not served is said, and
//! is served again within seconds.

use std::time::{Duration, Instant};

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    client::{HttpLoad, Load},
    diagnosis::Diagnosis,
    status,
    wire::HTTP_PORT,
};
use serde_json::Value;

use super::scene::{BAR, LIMIT, Scene, answered, balancer, problems};

/// On all interfaces, then on the one to clients and members.
#[test]
fn ipv6_that_was_switched_off_is_served_again() -> Result<()> {
    let scene = Scene::start(Families::Both, |_, _| ())?;
    let traffic = scene.traffic()?;
    let own = scene.lab.lb_addrs(Family::V6)[0];
    for scope in ["all", "lb0"] {
        let lb = scene.lab.lb();
        let key = format!("ipv6/conf/{scope}/disable_ipv6");
        lb.sysctl(&key, "1")?;
        let off = "IPv6 is switched off on lb0";
        let problem = format!("{off}, and 2 members have no route");
        // The agent goes on while its answer is read: what it says first may be older than what it says last.
        scene.agent.wait_status("that IPv6 is not served", LIMIT, |said| {
            // With `all`, IPv6 has no path of probes either, which is no fault of what serves IPv4.
            let path = "path of health probes over IPv6";
            (scope != "all" || problems(said).iter().any(|one| one.contains(path)))
                && problems(said).iter().any(|one| one.contains(&problem))
                && balancer(said) == "ONLINE"
                && probed_by(said, "web") == ["vip", "vip"]
                && said["load_balancers"][0]["listeners"][0]["operating_status"] == "ONLINE"
                && said["load_balancers"][1]["operating_status"] == "DEGRADED"
                && status::slots(said, "web6").values().all(|slots| *slots == 0)
        })?;
        let log = scene.agent.log();
        assert!(log.contains(&problem) && log.contains("no member takes new connections"), "{log}");
        let shown = scene.agent.diagnose(&["pool:web6"])?;
        let fix = "sysctl -w net.ipv6.conf.lb0.disable_ipv6=0";
        is_named(&shown, scope, off, fix);
        let others = shown.said["reports"].as_array().into_iter().flatten();
        let members: Vec<_> = others.filter(|one| one["cause"] == "neighbor").collect();
        let named = members.iter().filter(|one| one.to_string().contains(off)).count();
        assert_eq!(named, 2, "{:#}", shown.said);
        let doctor = scene.doctor()?.to_string();
        assert!(doctor.contains(off) && doctor.contains(fix), "{doctor}");

        lb.sysctl(&key, "0")?;
        // The address does not come back by itself.
        lb.ip(&format!("address replace {own}/64 dev lb0 nodad"))?;
        let on = Instant::now();
        let load = Load {
            concurrency: 1,
            pause: Duration::from_millis(5),
            timeout: Duration::from_secs(1),
            limit: Duration::from_secs(120),
            ..Load::on(scene.lab.service(Family::V6, HTTP_PORT))
        };
        let again = HttpLoad::start(scene.lab.client(), load);
        answered(&again, 50)?;
        let report = again.stop()?;
        let failed = report.last_started(|outcome| outcome.result.is_err());
        let away = failed.map_or(Duration::ZERO, |last| last - on);
        println!("{scope}: IPv6 is served {away:?} after it is on");
        assert!(away <= BAR, "{away:?}\n{}", scene.agent.log());
        scene.wait_healthy()?;
        scene.agent.wait_status("probes of the virtual addresses", LIMIT, |said: &Value| {
            let pools = status::pools(said).into_iter();
            let mut members = pools.flat_map(|pool| pool["members"].as_array().cloned().unwrap());
            members.all(|member| member["paths"]["vip"] == "ok")
        })?;
        assert_eq!(scene.agent.diagnose(&[])?.code, 0);
    }
    let report = traffic.stop()?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    Ok(())
}

/// By which path the members of a pool are probed.
fn probed_by(said: &Value, pool: &str) -> Vec<String> {
    let members = status::pool(said, pool).and_then(|pool| pool["members"].as_array());
    let path = |member: &Value| member["paths"]["path"].as_str().unwrap_or_default().to_owned();
    members.into_iter().flatten().map(path).collect()
}

/// That no route is left is a cause. With `all`, the path of probes is one as well, and comes first once a look at
/// the host has found it.
#[track_caller]
fn is_named(shown: &Diagnosis, scope: &str, off: &str, fix: &str) {
    let causes = if scope == "all" { &["way-out", "kept"][..] } else { &["way-out"] };
    let is_cause = shown.cause().is_some_and(|cause| causes.contains(&cause));
    assert!(shown.code == 1 && is_cause, "{:#}", shown.said);
    let found = shown.finding("way-out");
    assert_eq!(found["outcome"], "fail", "{:#}", shown.said);
    let has = |key: &str, text: &str| found[key].as_str().is_some_and(|all| all.contains(text));
    assert!(has("evidence", off) && has("fix", fix), "{:#}", shown.said);
}
