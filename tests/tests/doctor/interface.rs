//! What is wrong with the interface.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elb_tests::{environment::bpf_dir, process::output, xdp::XdpPass};
use elb_userspace::diagnosis::{check::Check, report::Outcome};

use crate::scene::{Scene, small};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn an_interface_that_is_missing_or_down_is_named() -> Result<()> {
    let mut scene = Scene::new(small())?;
    scene.config.agent.interfaces.push("lan7".to_owned());
    let answer = scene.ask()?;
    let evidence = &answer.cause(Check::Interface).evidence;
    assert!(evidence.ends_with("\nlan7: there is no such interface"), "{evidence}");
    scene.config.agent.interfaces.pop();

    scene.lab.lb().ip("link set lb0 down")?;
    let answer = scene.ask()?;
    scene.repair(answer.cause(Check::Interface))?;
    scene.ask()?.is_clean(Check::Interface);
    Ok(())
}

#[test]
fn a_foreign_program_is_taken_off() -> Result<()> {
    let scene = Scene::new(small())?;
    let object = bpf_dir()?.join("xdp-pass");
    let object = object.to_str().context("a path in UTF-8")?;
    scene.lab.lb().ip(&format!("link set dev lb0 xdp object {object} section xdp"))?;
    let answer = scene.ask()?;
    scene.repair(answer.cause(Check::OtherXdp))?;
    scene.ask()?.is_clean(Check::OtherXdp);

    let theirs = XdpPass::attach(scene.lab.lb(), &["lb0"])?;
    let answer = scene.ask()?;
    let finding = answer.cause(Check::OtherXdp);
    assert!(finding.evidence.contains("(pass), native"), "{finding:?}");
    let fix = finding.fix.clone().unwrap_or_default();
    assert!(fix.starts_with("bpftool link detach id "), "{fix}");
    drop(theirs);
    scene.ask()?.is_clean(Check::OtherXdp);
    Ok(())
}

#[test]
fn a_driver_without_native_xdp_is_named() -> Result<()> {
    let mut scene = Scene::new(small())?;
    scene.lab.lb().ip("link add br0 type bridge\nlink set br0 up\nlink set lb0 master br0")?;
    scene.config.agent.interfaces = vec!["br0".to_owned()];
    let answer = scene.ask()?;
    let fix = answer.report.finding(Check::NativeXdp).and_then(|finding| finding.fix.as_deref());
    assert!(fix.is_some_and(|fix| fix.contains("attach_mode = \"generic\"")), "{fix:?}");
    answer.finding(Check::NativeXdp, Outcome::Fail);
    scene.config.agent.attach_mode = "generic".to_owned();
    scene.ask()?.finding(Check::NativeXdp, Outcome::NotApplicable);
    Ok(())
}

/// The other end is in another namespace; GRO alone makes it swallow frames without a word.
#[test]
fn a_veth_whose_other_end_runs_no_xdp_is_named() -> Result<()> {
    let mut scene = Scene::new(small())?;
    let client = scene.lab.client();
    scene.lab.lb().ip(&format!(
        "link add lb9 type veth peer name far9 netns {}\n\
         link set lb9 up",
        client.name()
    ))?;
    client.ip("link set far9 up")?;
    scene.config.agent.interfaces.push("lb9".to_owned());
    for gro in ["off", "on"] {
        let mut ethtool = scene.lab.client().command("ethtool");
        ethtool.args(["-K", "far9", "gro", gro]);
        output(ethtool, LIMIT)?;
        let answer = scene.ask()?;
        let evidence = &answer.cause(Check::NativeXdp).evidence;
        assert!(evidence.contains("other end far9 runs no XDP"), "{evidence}");
    }
    let _pass = XdpPass::attach(scene.lab.client(), &["far9"])?;
    scene.ask()?.is_clean(Check::NativeXdp);
    Ok(())
}

#[test]
fn a_strict_rp_filter_on_the_way_back_is_loosened() -> Result<()> {
    let scene = Scene::new(small().two_armed())?;
    scene.lab.lb().sysctl("ipv4/conf/all/rp_filter", "1")?;
    let answer = scene.ask()?;
    let finding = answer.cause(Check::RpFilter);
    assert!(finding.evidence.contains("lb1: strict, and the route to"), "{finding:?}");
    scene.repair(finding)?;
    scene.ask()?.is_clean(Check::RpFilter);
    Ok(())
}

#[test]
fn a_single_queue_is_reported() -> Result<()> {
    let mut scene = Scene::new(small())?;
    let lb = scene.lab.lb();
    let two = "numrxqueues 2 numtxqueues 2";
    lb.ip(&format!(
        "link add lb9 {two} type veth peer name far9 {two}\n\
         link set lb9 up\n\
         link set far9 up"
    ))?;
    // An end that runs XDP receives by no fewer queues than the other sends by.
    for (device, queues) in [("far9", "tx"), ("lb9", "rx")] {
        let mut ethtool = lb.command("ethtool");
        ethtool.args(["-L", device, queues, "1"]);
        output(ethtool, LIMIT)?;
    }
    let _pass = XdpPass::attach(lb, &["far9"])?;
    scene.config.agent.interfaces.push("lb9".to_owned());
    let answer = scene.ask()?;
    scene.repair(answer.finding(Check::Queues, Outcome::Warn))?;
    scene.ask()?.is_clean(Check::Queues);
    Ok(())
}
