//! What a host needs where members' answers are translated.

use anyhow::Result;
use elb_tests::config::Forwarding;
use elb_userspace::diagnosis::{
    check::Check,
    report::{Conclusion, Outcome},
};

use crate::scene::{Scene, small};

fn translating() -> Result<Scene> {
    let mut scene = Scene::new(small().two_armed())?;
    for pool in &mut scene.config.pools {
        pool.forwarding = Forwarding::Nat;
    }
    Ok(scene)
}

#[test]
fn the_kernel_sends_on_what_is_for_unknown_neighbours() -> Result<()> {
    let scene = translating()?;
    let answer = scene.ask()?;
    let forwarding = answer.finding(Check::Forwarding, Outcome::Warn);
    assert_eq!(answer.report.conclusion, Conclusion::Healthy);
    scene.repair(forwarding)?;
    let answer = scene.ask()?;
    answer.finding(Check::Forwarding, Outcome::Pass);
    answer.finding(Check::ClientRoutes, Outcome::Pass);
    Ok(())
}

#[test]
fn rules_that_choose_another_table_are_named() -> Result<()> {
    let scene = translating()?;
    scene.lab.lb().ip("rule add priority 100 from 10.0.0.0/8 lookup 100")?;
    let answer = scene.ask()?;
    let rules = answer.finding(Check::ClientRoutes, Outcome::Warn);
    assert!(rules.evidence.contains("IPv4 with priority 100"), "{rules:?}");
    scene.lab.lb().ip("rule del priority 100")?;
    scene.ask()?.finding(Check::ClientRoutes, Outcome::Pass);
    Ok(())
}

/// The members' interface must carry the program, which translates their answers.
#[test]
fn an_interface_of_members_without_the_program_is_a_cause() -> Result<()> {
    let mut scene = translating()?;
    scene.config.agent.interfaces = vec!["lb0".to_owned()];
    let answer = scene.ask()?;
    let evidence = &answer.cause(Check::WayOut).evidence;
    assert!(evidence.contains("leave by lb1"), "{evidence}");
    assert!(evidence.contains("answers by nat or fullnat do not reach clients"), "{evidence}");
    Ok(())
}

/// The other end is in another namespace.
#[test]
fn an_end_that_leaves_checksums_to_this_host_is_named() -> Result<()> {
    let mut scene = translating()?;
    scene.ask()?.finding(Check::Checksums, Outcome::Pass);
    scene.lab.compute_checksums(false)?;
    let answer = scene.ask()?;
    let finding = answer.finding(Check::Checksums, Outcome::Warn);
    assert!(finding.evidence.contains("other end b-lb of this veth leaves them"), "{finding:?}");
    scene.lab.at_the_switch(finding.fix.as_deref().unwrap_or_default())?;
    scene.ask()?.finding(Check::Checksums, Outcome::Pass);
    // With direct server return nothing in a packet is changed that a checksum is over.
    for pool in &mut scene.config.pools {
        pool.forwarding = Forwarding::L2;
    }
    assert!(scene.ask()?.report.finding(Check::Checksums).is_none());
    Ok(())
}
