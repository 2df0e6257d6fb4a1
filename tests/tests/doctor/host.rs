//! What is wrong with the host as a whole.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
};
use elb_userspace::diagnosis::{
    check::Check,
    report::{Conclusion, Outcome},
};

use crate::scene::{Scene, small};

/// Before the first start and under an agent, one-armed and two-armed, of either family.
#[test]
fn healthy_hosts_raise_no_alarm() -> Result<()> {
    for lab in [small(), small().families(Families::Both), small().two_armed()] {
        let scene = Scene::new(lab)?;
        for running in [false, true] {
            let agent = running.then(|| Agent::start(&scene.lab, &scene.config)).transpose()?;
            let answer = scene.ask()?;
            assert_eq!(answer.report.conclusion, Conclusion::Healthy, "{:#?}", answer.report);
            // Machines that run tests need not have their clock set.
            let others = answer.report.findings.iter().filter(|one| one.check != Check::Clock);
            for finding in others {
                // Without an agent there are no probes yet.
                let is_unasked = !running && finding.check == Check::Probes;
                let wanted = if is_unasked { Outcome::NotApplicable } else { Outcome::Pass };
                assert_eq!(finding.outcome, wanted, "{finding:?}");
            }
            drop(agent);
        }
    }
    Ok(())
}

#[test]
fn a_missing_bpf_file_system_is_mounted() -> Result<()> {
    let mut scene = Scene::new(small())?;
    // A mount namespace of its own, in which nothing has been mounted there.
    let away = scene.lab.files().join("bpf");
    scene.config.agent.pin_dir = away.join("elb");
    let answer = scene.ask()?;
    let fix = answer.cause(Check::Bpffs).fix.clone().unwrap_or_default();
    let repaired = format!("{fix}; exec \"$@\"");
    scene.ask_under(&["unshare", "--mount", "sh", "-ec", &repaired, "sh"])?.is_clean(Check::Bpffs);
    Ok(())
}

#[test]
fn missing_capabilities_are_named() -> Result<()> {
    let scene = Scene::new(small())?;
    for (without, names) in [
        ("-bpf,-sys_admin", "CAP_BPF"),
        ("-perfmon,-sys_admin", "CAP_PERFMON"),
        ("-net_admin", "CAP_NET_ADMIN"),
    ] {
        let answer = scene.ask_under(&["setpriv", "--bounding-set", without])?;
        let evidence = &answer.cause(Check::Capabilities).evidence;
        assert!(evidence.ends_with(&format!("lacks {names}")), "{evidence}");
    }
    let answer = scene.ask_under(&["setpriv", "--bounding-set", "-bpf,-sys_admin"])?;
    answer.finding(Check::Kernel, Outcome::Unknown);
    let answer = scene.ask_under(&["setpriv", "--bounding-set", "-net_raw"])?;
    answer.finding(Check::Capabilities, Outcome::Warn);
    scene.ask()?.is_clean(Check::Capabilities);
    Ok(())
}

/// The virtual address is behind a gateway, as where routers send its packets here: ports without a listener are
/// refused, so that nothing circles.
#[test]
fn a_host_that_forwards_is_no_trouble() -> Result<()> {
    let scene = Scene::new(small())?;
    let member = scene.lab.member_addr(0, Family::V4);
    scene.lab.lb().ip(&format!("route add {}/32 via {member}", scene.lab.vip4()))?;
    scene.ask()?.is_clean(Check::Forwarding);
    scene.lab.lb().sysctl("ipv4/ip_forward", "1")?;
    scene.ask()?.is_clean(Check::Forwarding);
    Ok(())
}

#[test]
fn packets_that_do_not_fit_into_tunnels_are_reported() -> Result<()> {
    let scene = Scene::new(small().mtu(1500))?;
    let answer = scene.ask()?;
    scene.repair(answer.finding(Check::Mtu, Outcome::Warn))?;
    scene.ask()?.is_clean(Check::Mtu);

    let scene = Scene::new(small().families(Families::Both).mtu(1300))?;
    let answer = scene.ask()?;
    scene.repair(answer.cause(Check::Mtu))?;
    scene.ask()?.is_clean(Check::Mtu);
    Ok(())
}

#[test]
fn without_a_configuration_it_asks_for_an_interface() -> Result<()> {
    let scene = Scene::new(small())?;
    let output = scene.command(&[])?.args(["doctor", "--config", "/nowhere.toml"]).output()?;
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("without it, use --interface"), "{said}");

    let output = scene.command(&[])?.args(["doctor", "--interface", "lb0"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("  pass     native-xdp         lb0: veth"), "{said}");
    Ok(())
}
