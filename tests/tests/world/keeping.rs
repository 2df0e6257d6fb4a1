//! What elb put into its host goes: it is put back, and is named until it is.

mod announcing;
mod answering;
mod failover;
mod ipv6_off;
mod probes;
mod scene;

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family, Host, Network},
    netns::NetNs,
    wait::wait_for,
    xdp::detach_link,
};

use self::scene::{LIMIT, Scene, answered, balancer};

/// As when a driver is loaded again, or `ifdown` and `ifup` make a bond anew.
#[test]
fn an_interface_that_is_made_again_is_served_again() -> Result<()> {
    let mut scene = Scene::start(Families::V4, |_, _| ())?;
    let traffic = scene.traffic()?;
    let index = scene.lab.lb().index_of("lb0")?;
    scene.lab.remove_lb_device()?;
    let said = scene.wait_problem(&["XDP program on lb0", "there is no interface of this name"])?;
    assert_eq!(balancer(&said), "DEGRADED", "{said}");
    assert_eq!(said["agent"]["interfaces"], serde_json::json!([]), "{said}");
    let text = scene.agent.run(&["status"])?;
    assert!(text.contains("native XDP on no interface"), "{text}");

    let said = scene.agent.diagnose(&["10.0.0.11"])?;
    assert_eq!(said.cause(), Some("kept"), "{}", said.said);
    assert!(said.evidence().contains("there is no interface of this name"), "{}", said.said);
    let said = scene.doctor()?;
    assert_eq!(said["cause"], "kept", "{said}");

    scene.lab.make_lb_device()?;
    let again = Instant::now();
    assert_ne!(scene.lab.lb().index_of("lb0")?, index);
    scene.attached_again("interface made again", &traffic, again)?;
    traffic.stop()?;
    scene.wait_healthy()?;
    assert_eq!(scene.doctor()?["conclusion"], "healthy", "{}", scene.doctor()?);
    assert_eq!(scene.restored("XDP program on lb0")?, 1);
    assert!(scene.agent.run(&["status"])?.contains("restored XDP program on lb0 · 1 times"));
    assert!(!scene.agent.log().contains("cannot write BPF map"), "{}", scene.agent.log());
    Ok(())
}

#[test]
fn an_interface_that_comes_late_keeps_no_other_waiting() -> Result<()> {
    let scene = Scene::start(Families::V4, |_, config| {
        config.agent.interfaces.insert(0, "late0".to_owned());
    })?;
    let traffic = scene.traffic()?;
    let said =
        scene.wait_problem(&["XDP program on late0", "there is no interface of this name"])?;
    assert_eq!(balancer(&said), "DEGRADED", "{said}");
    // First under another name, as before udev has seen it.
    let _pass = scene.lab.add_lb_device("eth7", 7)?;
    scene.lab.lb().ip("link set eth7 down\nlink set eth7 name late0\nlink set late0 up")?;
    let come = Instant::now();
    let said = scene.wait_healthy()?;
    println!("late interface: attached {:?} after it came", come.elapsed());
    assert!(come.elapsed() <= scene::BAR, "{:?}", come.elapsed());
    assert_eq!(said["agent"]["interfaces"], serde_json::json!(["lb0", "late0"]), "{said}");
    assert!(scene.lab.lb().ip("link show dev late0")?.contains("prog/xdp"));
    let report = traffic.stop()?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    Ok(())
}

#[test]
fn a_renamed_interface_goes_on_and_is_named_until_another_has_its_name() -> Result<()> {
    let scene = Scene::start(Families::V4, |_, _| ())?;
    let traffic = scene.traffic()?;
    let renamed = Instant::now();
    // Since Linux 6.2 an interface that is up can be renamed.
    scene.lab.lb().ip("link set lb0 name wan7")?;
    let said = scene.wait_problem(&["XDP program on lb0", "is called \"wan7\" now"])?;
    assert_eq!(balancer(&said), "DEGRADED", "{said}");
    scene.recovered("interface renamed", &traffic, renamed)?;
    let _pass = scene.lab.add_lb_device("lb0", 9)?;
    scene.wait_in_place("XDP program on lb0")?;
    assert!(scene.lab.lb().ip("link show dev lb0")?.contains("prog/xdp"));
    assert!(!scene.lab.lb().ip("link show dev wan7")?.contains("prog/xdp"));
    traffic.stop()?;
    Ok(())
}

/// `bpftool link detach` is what takes a program off that a link holds.
#[test]
fn a_program_that_is_taken_off_and_pins_that_are_removed_come_back() -> Result<()> {
    let mut scene = Scene::start(Families::V4, |_, _| ())?;
    let traffic = scene.traffic()?;
    let folder = scene.config.agent.pin_dir.join("v3");
    let index = scene.lab.lb().index_of("lb0")?;
    let pin = folder.join(format!("link-{index}"));
    let detached = Instant::now();
    detach_link(&pin)?;
    scene.recovered("program taken off", &traffic, detached)?;
    assert_eq!(scene.restored("XDP program on lb0")?, 1);

    // All pins: the link's, and the maps' that the next agent needs.
    let removed = Instant::now();
    for entry in fs::read_dir(&folder)? {
        fs::remove_file(entry?.path())?;
    }
    fs::remove_dir(&folder)?;
    wait_for("the pins to be there again", LIMIT, || Ok(pin.exists().then_some(())))?;
    println!("pins removed: there again {:?} later", removed.elapsed());
    assert!(removed.elapsed() <= scene::BAR, "{:?}", removed.elapsed());
    scene.recovered("pins removed", &traffic, removed)?;
    scene.wait_healthy()?;
    scene.agent.restart()?;
    answered(&traffic, 20)?;
    assert_eq!(scene.agent.status()?["agent"]["adopted"], true);
    let report = traffic.stop()?;
    let lost = report.since(removed).failures().len();
    assert_eq!(lost, 0, "the agent held what was unpinned");
    Ok(())
}

/// The link's interface is elsewhere, and another has its index: neither a running agent nor the next may
/// take it for the one that is meant.
#[test]
fn an_interface_in_another_namespace_is_not_taken_for_the_one_with_its_index() -> Result<()> {
    let mut scene = Scene::start(Families::V4, |_, _| ())?;
    let index = scene.lab.lb().index_of("lb0")?;
    let elsewhere = NetNs::quiet("elsewhere")?;
    scene.agent.kill()?;
    let mut lines = format!("link set lb0 netns {}\n", elsewhere.name());
    lines += &format!("link add lb0 index {index} type veth peer name far0\n");
    lines += "link set lb0 up\nlink set far0 up";
    scene.lab.lb().ip(&lines)?;
    assert_eq!(scene.lab.lb().index_of("lb0")?, index);
    scene.agent.restart()?;
    let shown = scene.lab.lb().ip("link show dev lb0")?;
    assert!(shown.contains("prog/xdp"), "{shown}");
    let shown = elsewhere.ip("link show dev lb0").context("it is there")?;
    assert!(!shown.contains("prog/xdp"), "{shown}");
    Ok(())
}

#[test]
fn another_attach_mode_takes_effect_at_a_reload_and_at_a_start() -> Result<()> {
    let mut scene = Scene::start(Families::V4, |_, _| ())?;
    let traffic = scene.traffic()?;
    let mode = |scene: &Scene| -> Result<bool> {
        Ok(scene.lab.lb().ip("link show dev lb0")?.contains("xdpgeneric"))
    };
    assert!(!mode(&scene)?);
    // The kernel must be done with one mode before it takes the other: a race, so often.
    for round in 0..10 {
        let wanted = if round % 2 == 0 { "generic" } else { "native" };
        scene.config.agent.attach_mode = wanted.to_owned();
        scene.agent.reload(&scene.config)?;
        scene.agent.wait_status(wanted, LIMIT, |said| said["agent"]["attach_mode"] == wanted)?;
        assert_eq!(mode(&scene)?, wanted == "generic", "round {round}\n{}", scene.agent.log());
    }
    scene.config.agent.attach_mode = "generic".to_owned();
    scene.agent.reload(&scene.config)?;
    wait_for("generic mode", LIMIT, || Ok(mode(&scene)?.then_some(())))?;
    answered(&traffic, 20)?;
    let said = scene.wait_in_place("XDP program on lb0")?;
    assert_eq!(said["agent"]["attach_mode"], "generic", "{said}");
    scene.config.agent.attach_mode = "native".to_owned();
    scene.agent.restart_with(&scene.config)?;
    wait_for("native mode", LIMIT, || Ok((!mode(&scene)?).then_some(())))?;
    answered(&traffic, 20)?;
    assert_eq!(scene.wait_healthy()?["agent"]["attach_mode"], "native");
    traffic.stop()?;
    Ok(())
}

/// Away into another network namespace, as a container takes it, and back.
#[test]
fn an_interface_that_is_moved_away_and_back_is_served_again() -> Result<()> {
    let scene = Scene::start(Families::V4, |_, _| ())?;
    let traffic = scene.traffic()?;
    let elsewhere = NetNs::quiet("elsewhere")?;
    let (own, away) = (scene.lab.lb(), elsewhere.name());
    own.ip(&format!("link set lb0 netns {away}"))?;
    scene.wait_problem(&["XDP program on lb0", "there is no interface of this name"])?;
    assert!(!elsewhere.ip("link show dev lb0")?.contains("prog/xdp"));
    elsewhere.ip(&format!("link set lb0 netns {}", own.name()))?;
    let address = Network::Back.address(Family::V4, Host::LoadBalancer);
    own.ip(&format!("addr add {address}/24 dev lb0\nlink set lb0 up"))?;
    let back = Instant::now();
    scene.attached_again("moved away and back", &traffic, back)?;
    traffic.stop()?;
    scene.wait_healthy()?;
    Ok(())
}

/// The agent holds what was pinned: traffic goes on, it is said that it would not without the agent, and
/// everything is pinned again once there is a file system to pin it in.
#[test]
fn a_bpf_file_system_that_is_unmounted_stops_nothing() -> Result<()> {
    let scene = Scene::start_in_own_bpffs()?;
    let traffic = scene.traffic()?;
    let unmounted = Instant::now();
    scene.in_its_mounts(&["umount", "-l", &scene.own_bpffs()])?;
    let said = scene.wait_problem(&["pins", "only as long as this agent runs"])?;
    assert_eq!(balancer(&said), "DEGRADED", "{said}");
    scene.in_its_mounts(&["mount", "-t", "bpf", "bpf", &scene.own_bpffs()])?;
    scene.wait_healthy()?;
    let pin = scene.config.agent.pin_dir.join("v3/RINGS").display().to_string();
    scene.in_its_mounts(&["test", "-e", &pin])?;
    scene.recovered("BPF file system unmounted", &traffic, unmounted)?;
    let report = traffic.stop()?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    Ok(())
}
