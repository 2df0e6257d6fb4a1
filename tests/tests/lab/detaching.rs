//! `elb detach`: the one way to stop the traffic.

use std::{fs, time::Duration};

use anyhow::Result;
use elb_tests::{
    client::{FailureKind, Load, http_requests},
    config::Forwarding,
};

use crate::scene::Scene;

/// Whether an XDP program is on the load balancer's device.
fn carries_a_program(scene: &Scene) -> Result<bool> {
    Ok(scene.lab.lb().ip("link show dev lb0")?.contains("prog/xdp"))
}

#[test]
fn nothing_is_left_and_nothing_is_forwarded() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    let pins = &scene.config.agent.pin_dir;
    assert!(
        carries_a_program(&scene)?
            && pins.join(format!("v{}", elb_common::names::ABI_VERSION)).join("RINGS").exists()
    );

    let error = scene.agent.detach().expect_err("the agent runs");
    let holder = format!("is in use by process {} (", scene.agent.id());
    assert!(format!("{error:#}").contains(&holder), "{error:#}");
    assert_eq!(scene.request(50)?.answered(), 50);

    let status = scene.agent.terminate()?;
    assert!(status.success(), "{status}");
    assert_eq!(scene.request(50)?.answered(), 50);
    assert!(carries_a_program(&scene)?);

    let said = scene.agent.detach()?;
    assert!(said.contains("forwarding has stopped"), "{said}");
    assert!(!carries_a_program(&scene)?);
    assert!(!pins.exists(), "{:?}", fs::read_dir(pins)?.collect::<Vec<_>>());
    let in_vain = Duration::from_millis(300);
    let report =
        http_requests(scene.lab.client(), Load { timeout: in_vain, ..Load::on(scene.web()) }, 4)?;
    let given_up = |kind| matches!(kind, FailureKind::TimedOut | FailureKind::Unreachable);
    assert_eq!(report.answered(), 0);
    assert!(report.failures().iter().all(|one| given_up(one.kind)), "{:?}", report.failures());

    let said = scene.agent.detach()?;
    assert!(said.contains("nothing was pinned"), "{said}");
    scene.agent.restart()?;
    assert_eq!(scene.agent.status()?["agent"]["adopted"], false);
    crate::scene::wait_until_serving(&scene.agent)?;
    assert_eq!(scene.request(50)?.answered(), 50);
    Ok(())
}
