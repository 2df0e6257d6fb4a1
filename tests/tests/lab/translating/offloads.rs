//! Where hosts of one machine leave checksums to the load balancer's device, which is no device: what comes of it, and
//! that it is named.

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{Load, download, http_requests, upload},
    config::MonitorKind,
    environment::elb_bin,
    lab::Lab,
    process::ended,
    status,
    wait::STUCK,
    wire::HTTP_PORT,
};
use elb_userspace::diagnosis::{
    check::Check,
    report::{Finding, Outcome, Report},
};

use super::IMPATIENT;
use crate::scene::wait_until_serving;

const BYTES: u64 = 2_000_000;

/// Nothing else matters: hosts keep their offloads, the load balancer's own do, and its device needs no setting.
#[test]
fn packets_without_checksums_are_named_and_only_the_other_end_has_to_compute_them() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(2).families(Families::Both).mtu(1500).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    lab.offload()?;
    lab.compute_checksums(false)?;
    let _servers = lab.serve()?;
    let mut config = super::config(&lab, &lab.lb_interfaces(), |family| lab.vip(family));
    for pool in config.pools.iter_mut().filter(|pool| pool.members[0].protocol_port == HTTP_PORT) {
        *pool = pool.clone().monitored_by(MonitorKind::Tcp);
    }
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    for family in [Family::V4, Family::V6] {
        let load = Load { timeout: IMPATIENT, ..Load::on(lab.service(family, super::WEB)) };
        assert_eq!(http_requests(lab.client(), load, 2)?.answered(), 0, "{family:?}");
    }
    // Neither the members' health nor a counter shows it.
    let said = agent.status()?;
    assert!(status::all_serve(&said), "{said}");
    assert_eq!(status::drops(&said), Vec::<String>::new());

    let named = checksums(&lab, &agent)?;
    assert_eq!(named.outcome, Outcome::Warn);
    let fixes = named.fix.as_deref().context("a fix")?;
    assert_eq!(fixes.lines().count(), lab.lb_interfaces().len(), "{fixes}");
    lab.at_the_switch(fixes)?;
    assert_eq!(checksums(&lab, &agent)?.outcome, Outcome::Pass);
    for family in [Family::V4, Family::V6] {
        let target = lab.service(family, super::WEB);
        let report = http_requests(lab.client(), Load::on(target), 20)?;
        assert_eq!(report.failures().len(), 0, "{target}: {:?}", report.failures());
        download(lab.client(), target, BYTES)?;
        upload(lab.client(), target, BYTES)?;
    }
    Ok(())
}

/// What a doctor says of checksums.
fn checksums(lab: &Lab, agent: &Agent) -> Result<Finding> {
    let mut doctor = lab.lb().command(elb_bin()?);
    doctor.args(["doctor", "-o", "json", "--config"]).arg(agent.file());
    let said = ended(doctor, STUCK)?;
    let printed = elb_tests::printed::value(&["doctor"], &said.printed).context(said.said)?;
    let report: Report = serde_json::from_value(printed)?;
    report.finding(Check::Checksums).cloned().context("nothing is said of checksums")
}
