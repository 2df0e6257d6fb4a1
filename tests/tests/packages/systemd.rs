//! The units as systemd itself runs them: readiness, sandbox, reload, watchdog, an upgrade, the end.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    client::{HeldConnections, HttpLoad, Load},
    config::{Config, Forwarding},
    lab::Lab,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::{
    backend::{OTHER, has, write_file},
    host::LIMIT,
    life::{SOME, UNIT, WEB, all_serve, configuration, configuration_of, copy_in, package},
    manager::{LOGGED, Managed},
};

const ELB: &str = "elb.service";

/// Shorter than the unit's, so that the test need not wait that long.
const WATCHDOG: &str = "WatchdogSec=10";

#[test]
fn systemd_starts_reloads_watches_upgrades_and_stops_the_agent_under_load() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let managed = Managed::new(&lab, lab.lb(), lab.lb_interfaces()[0])?;
    let file = managed.host.path("etc/elb/elb.toml");
    install(&managed, "ELB_DEB")?;
    assert_eq!(managed.property(ELB, "UnitFileState")?, "disabled");
    assert_eq!(managed.property(ELB, "ActiveState")?, "inactive");

    fs::write(&file, with_all_parts(configuration_of(&lab, &[WEB])?))?;
    managed.add_to(ELB, &format!("{LOGGED}\n{WATCHDOG}"))?;
    // Returns when the agent has said that it is ready.
    managed.systemctl(&["start", ELB])?;
    assert_eq!(managed.property(ELB, "SubState")?, "running");
    all_serve(&managed.host)?;
    let pause = Duration::from_millis(2);
    let load = Load { concurrency: 4, pause, ..Load::on(lab.service(Family::V4, HTTP_PORT)) };
    let http = HttpLoad::start(lab.client(), load);
    let served = || {
        let from = Instant::now();
        wait_for("requests to be answered", LIMIT, || {
            Ok((http.so_far().since(from).answered() >= SOME).then_some(()))
        })
    };
    served()?;
    sandboxed(&managed)?;
    all_parts_work(&managed)?;

    reload(&managed, &lab)?;
    let echo = lab.service(Family::V4, ECHO_PORT);
    let held = HeldConnections::open(lab.client(), echo, 100, Duration::from_millis(50))?;
    served()?;
    watched(&managed)?;
    served()?;
    let before = managed.property(ELB, "MainPID")?;
    install(&managed, "ELB_DEB_NEXT")?;
    assert_ne!(managed.property(ELB, "MainPID")?, before, "the package starts it again");
    assert_eq!(managed.property(ELB, "ActiveState")?, "active");
    all_serve(&managed.host)?;
    served()?;
    managed.systemctl(&["stop", ELB])?;
    assert_eq!(managed.property(ELB, "Result")?, "success");
    assert!(managed.host.forwards()?);
    served()?;
    let (http, held) = (http.stop()?, held.stop()?);
    assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());

    managed.host.dpkg("--purge", "elb")?;
    assert!(!managed.host.forwards()?);
    assert_eq!(managed.property(ELB, "LoadState")?, "not-found");
    Ok(())
}

/// Its store is a database, which maps files and locks them.
#[test]
fn the_api_and_its_store_work_in_the_units_sandbox() -> Result<()> {
    let lab = Lab::builder().start()?;
    let managed = Managed::new(&lab, lab.lb(), lab.lb_interfaces()[0])?;
    let host = &managed.host;
    install(&managed, "ELB_DEB")?;
    let mut text = Config::new(&lab);
    text.agent.socket = "/run/elb/elb.sock".into();
    text.agent.pin_dir = "/sys/fs/bpf/elb".into();
    text.agent.state_dir = "/var/lib/elb".into();
    let text = text.text()? + "\n[api]\nforwarding = \"ipip\"\n";
    fs::write(host.path("etc/elb/elb.toml"), text)?;
    managed.add_to(ELB, LOGGED)?;
    managed.systemctl(&["start", ELB])?;
    let unsigned = host.run("curl", &["--silent", "http://127.0.0.1:9443/v3/p/elb/pools"])?;
    assert!(unsigned.contains("APIGW.0301"), "{unsigned}");
    host.run("elb", &["store", "backup", "/var/lib/elb/first.db"])?;
    managed.systemctl(&["restart", ELB])?;
    host.run("elb", &["store", "backup", "/var/lib/elb/second.db"])?;
    managed.systemctl(&["stop", ELB])?;
    assert_eq!(managed.property(ELB, "Result")?, "success");
    Ok(())
}

/// An instance, by its file; a stop gives everything back.
#[test]
fn systemd_sets_a_backend_server_up_and_gives_back_what_it_had() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let managed = Managed::new(&lab, lab.backend(0), lab.device())?;
    let host = &managed.host;
    install(&managed, "ELB_DEB")?;
    let unit = "elb-backend@edge.service";
    let refused = managed.end(&["start", unit])?;
    assert_ne!(refused.code, Some(0), "without a file: {refused:?}");
    let write = |vips: &[&str]| write_file(host, &lab, "/etc/elb/backend-edge.toml", vips);
    write(&[OTHER])?;
    managed.add_to(unit, LOGGED)?;
    managed.systemctl(&["start", unit])?;
    assert_eq!(managed.property(unit, "SubState")?, "exited");
    assert!(host.forwards()? && has(host, OTHER)?);

    let another = "192.0.2.78";
    write(&[OTHER, another])?;
    managed.systemctl(&["reload", unit])?;
    assert!(has(host, OTHER)? && has(host, another)?);
    write(&[another])?;
    managed.systemctl(&["restart", unit])?;
    assert!(!has(host, OTHER)? && has(host, another)?);
    managed.systemctl(&["stop", unit])?;
    assert!(!host.forwards()? && !has(host, another)?);
    Ok(())
}

/// With everything that asks the kernel for something of its own: files, sockets, an owner.
fn with_all_parts(text: String) -> String {
    let text = text.replacen("[agent]\n", "[agent]\nsocket_group = \"elb\"\n", 1);
    text + "\n[metrics]\nlisten = \"127.0.0.1:9105\"\n[flow_log]\n"
}

fn all_parts_work(managed: &Managed) -> Result<()> {
    let host = &managed.host;
    assert_eq!(host.run("stat", &["--format", "%G %a", "/run/elb/elb.sock"])?, "elb 660\n");
    let metrics = host.run("curl", &["--silent", "http://127.0.0.1:9105/metrics"])?;
    assert!(metrics.contains("elb_build_info{"), "{metrics}");
    host.run("elb", &["metrics"])?;
    host.run("elb", &["doctor"])?;
    wait_for("a line in the flow log", LIMIT, || {
        let lines = host.read("var/log/elb/flows.jsonl").unwrap_or_default();
        Ok(lines.contains("\"listener\"").then_some(()))
    })
    .with_context(|| managed.log())
}

fn install(managed: &Managed, variable: &str) -> Result<()> {
    copy_in(&managed.host, &package(variable)?)?;
    managed.host.dpkg("--install", "/run/elb.deb").map(drop)
}

/// What it takes is used at once; what the agent refuses fails, and changes nothing.
fn reload(managed: &Managed, lab: &Lab) -> Result<()> {
    let file = managed.host.path("etc/elb/elb.toml");
    let process = managed.property(ELB, "MainPID")?;
    fs::write(&file, "nonsense = 1\n")?;
    let refused = managed.end(&["reload", ELB])?;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    fs::write(&file, with_all_parts(configuration(lab)?))?;
    managed.systemctl(&["reload", ELB])?;
    all_serve(&managed.host)?;
    assert_eq!(managed.property(ELB, "MainPID")?, process);
    assert_eq!(managed.property(ELB, "ActiveState")?, "active");
    Ok(())
}

/// The agent's word keeps it alive; without it, systemd ends it and starts another.
fn watched(managed: &Managed) -> Result<()> {
    let heard = || managed.property(ELB, "WatchdogTimestampMonotonic");
    let first = heard()?;
    wait_for("the agent's word", LIMIT, || Ok((heard()? != first).then_some(())))?;
    assert_eq!(managed.property(ELB, "NRestarts")?, "0");
    managed.host.run("kill", &["-STOP", &managed.property(ELB, "MainPID")?])?;
    managed.wait_property(ELB, "NRestarts", "1")?;
    managed.wait_property(ELB, "ActiveState", "active")?;
    all_serve(&managed.host)
}

/// The kernel keeps the agent to what the unit leaves it, and the unit's sandbox refuses what can be done outside.
fn sandboxed(managed: &Managed) -> Result<()> {
    // Mode 2: by a filter.
    assert_eq!(managed.kernel_says(ELB, "Seccomp")?, "2");
    assert_eq!(managed.kernel_says(ELB, "NoNewPrivs")?, "1");
    // CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF.
    let capabilities = [12, 13, 38, 39].iter().fold(0_u64, |all, number| all | 1 << number);
    for set in ["CapEff", "CapBnd"] {
        assert_eq!(managed.kernel_says(ELB, set)?, format!("{capabilities:016x}"));
    }

    let script = managed.host.path("usr/bin/lab-attempts");
    fs::write(script, attempts())?;
    let outside = managed.host.run("sh", &["/usr/bin/lab-attempts"])?;
    assert_eq!(outside, "ptrace\nuser namespace\n/etc\n/proc/sys\n");
    let unit = managed.host.read(UNIT)?;
    let (_, sandbox) = unit.split_once("\n# Root by name only").context("no sandbox")?;
    let text = format!(
        "[Service]\nType=oneshot\nExecStart=/bin/sh /usr/bin/lab-attempts\n\
         StandardOutput=truncate:/run/lab-attempts\nStandardError=null\n#{sandbox}"
    );
    fs::write(managed.host.path("run/systemd/system/attempts.service"), text)?;
    managed.systemctl(&["daemon-reload"])?;
    managed.systemctl(&["start", "attempts.service"])?;
    assert_eq!(managed.host.read("run/lab-attempts")?, "end\n");
    Ok(())
}

/// Prints what it could do. None of it needs a capability, but for the files.
fn attempts() -> String {
    format!(
        "perl -e 'print \"ptrace\\n\" if syscall({}, 0, 0, 0, 0) == 0'\n\
         unshare --user true && echo user namespace\n\
         touch /etc/lab && echo /etc\n\
         (: > /proc/sys/net/ipv4/ip_forward) && echo /proc/sys\n\
         test -n \"$INVOCATION_ID\" && echo end || :\n",
        libc::SYS_ptrace
    )
}
