//! From the installation to the purge.

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_common::names::ABI_VERSION;
use elb_tests::{
    address::Family,
    client::{HeldConnections, HttpLoad, Load, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    running::Running,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use nix::sys::signal::Signal;

use crate::{
    host::{Host, LIMIT},
    unit::Unit,
};

pub(crate) const UNIT: &str = "usr/lib/systemd/system/elb.service";

/// Requests that must be answered in each phase.
pub(crate) const SOME: usize = 500;

/// Packages that `cargo xtask test` makes: the second of a later version, whose maps have another number.
pub(crate) fn package(variable: &str) -> Result<String> {
    env::var(variable)
        .with_context(|| format!("{variable} names no package: run through `cargo xtask test`"))
}

#[test]
fn installed_upgraded_removed_and_purged_while_requests_are_served() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let host = Host::bare(&lab, lab.lb(), lab.lb_interfaces()[0])?;

    install(&host, &package("ELB_DEB")?)?;
    fs::write(host.path("etc/elb/elb.toml"), configuration(&lab)?)?;
    host.run("elb", &["check"])?;
    let agent = start(&host)?;
    let load = Load {
        concurrency: 4,
        pause: Duration::from_millis(2),
        ..Load::on(lab.service(Family::V4, HTTP_PORT))
    };
    let http = HttpLoad::start(lab.client(), load);
    let echo = lab.service(Family::V4, ECHO_PORT);
    let held = HeldConnections::open(lab.client(), echo, 100, Duration::from_millis(50))?;
    let served = || {
        let from = Instant::now();
        wait_for("requests to be answered", LIMIT, || {
            Ok((http.so_far().since(from).answered() >= SOME).then_some(()))
        })
    };
    served()?;

    let agent = upgrade(&host, agent, &package("ELB_DEB_NEXT")?)?;
    served()?;
    remove(&host, agent)?;
    served()?;
    let (http, held) = (http.stop()?, held.stop()?);
    assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
    println!("{} requests and 100 connections, none lost", http.answered());

    purge(&host)?;
    let load = Load {
        timeout: Duration::from_millis(300),
        ..Load::on(lab.service(Family::V4, HTTP_PORT))
    };
    assert_eq!(http_requests(lab.client(), load, 3)?.answered(), 0);
    Ok(())
}

/// Nothing is enabled, started or attached by it.
fn install(host: &Host, deb: &str) -> Result<()> {
    copy_in(host, deb)?;
    host.dpkg("--install", "/run/elb.deb")?;
    assert_eq!(host.asked()?, ["--system daemon-reload"]);
    assert!(!host.forwards()?);
    assert!(host.run("elb", &["--version"])?.starts_with("elb "));
    assert!(host.read("etc/group")?.contains("\nelb:"), "the group of the socket");
    let conffiles = host.run("dpkg-query", &["--show", "--showformat=${Conffiles}", "elb"])?;
    assert_eq!(conffiles.matches("/etc/elb/").count(), 2, "{conffiles}");
    // The file that it brings serves nothing, and says what is to be done.
    let refused = host.end("elb", &["check"])?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.printed.contains("interfaces is missing"), "{refused:?}");
    for page in ["elb.1.gz", "elb-agent.1.gz", "elb-backend-up.1.gz"] {
        assert!(host.path("usr/share/man/man1").join(page).exists(), "{page}");
    }
    Ok(())
}

/// Under load, by a package of another version, and the service manager does what it is asked.
fn upgrade(host: &Host, agent: Running, deb: &str) -> Result<Running> {
    copy_in(host, deb)?;
    host.dpkg("--install", "/run/elb.deb")?;
    assert_eq!(
        host.asked()?,
        ["--system daemon-reload", "try-restart elb.service", "reload elb-backend@*.service"]
    );
    // The administrator's file is as it was.
    host.run("elb", &["check"])?;
    stop(agent)?;
    let agent = start(host)?;
    let version = host.run("dpkg-query", &["--show", "--showformat=${Version}", "elb"])?;
    assert!(version.ends_with("+next"), "{version}");
    let next = format!("v{}", ABI_VERSION + 1);
    assert!(host.path("sys/fs/bpf/elb").join(next).exists(), "the new agent's maps");
    Ok(agent)
}

/// Traffic goes on, which is said; a purge before the agent has ended says what to do.
fn remove(host: &Host, agent: Running) -> Result<()> {
    let said = host.dpkg("--remove", "elb")?;
    assert!(said.contains("removing the package does not stop forwarding"), "{said}");
    assert!(said.contains("/var/lib/elb/removed/elb detach"), "{said}");
    assert_eq!(host.asked()?, ["stop elb.service", "--system daemon-reload"]);
    assert!(!host.path("usr/bin/elb").exists());
    assert!(host.forwards()?);
    let early = host.dpkg_end("--purge", "elb")?;
    assert_eq!(early.code, Some(1), "{early:?}");
    assert!(early.said.contains("Stop its agent, then purge the package again"), "{early:?}");
    assert!(host.forwards()?);
    stop(agent)
}

fn purge(host: &Host) -> Result<()> {
    assert!(host.forwards()?);
    fs::create_dir_all(host.path("var/log/elb"))?;
    fs::write(host.path("var/log/elb/flows.jsonl"), "{}\n")?;
    let said = host.dpkg("--purge", "elb")?;
    let words =
        "nothing is forwarded any more; /var/lib/elb and the flow log in /var/log/elb are removed";
    assert!(said.contains(words), "{said}");
    assert!(!host.forwards()?);
    for place in [
        "sys/fs/bpf/elb",
        "var/log/elb",
        "var/lib/elb",
        "run/elb",
        "etc/elb",
        UNIT,
        "usr/share/elb",
    ] {
        assert!(!host.path(place).exists(), "{place} is left");
    }
    let rules = host.run("ip", &["rule", "show"])?;
    assert_eq!(rules.lines().count(), 3, "the kernel's own rules: {rules}");
    Ok(())
}

/// With every path as the package has it.
pub(crate) fn configuration(lab: &Lab) -> Result<String> {
    configuration_of(lab, &[WEB, ("echo", ECHO_PORT)])
}

pub(crate) const WEB: (&str, u16) = ("web", HTTP_PORT);

/// With these listeners.
pub(crate) fn configuration_of(lab: &Lab, services: &[(&str, u16)]) -> Result<String> {
    let mut config = services.iter().fold(Config::new(lab), |config, &(name, port)| {
        let pool = Pool::of(lab, name, Family::V4, Protocol::Tcp, port);
        config.balance(lab, Family::V4, port, pool.forwarding(Forwarding::Ipip))
    });
    config.agent.socket = "/run/elb/elb.sock".into();
    config.agent.pin_dir = "/sys/fs/bpf/elb".into();
    config.agent.state_dir = "/var/lib/elb".into();
    config.text()
}

/// As the installed unit says; serves when this returns.
pub(crate) fn start(host: &Host) -> Result<Running> {
    let mut agent = host.start(&Unit::new(host.read(UNIT)?))?;
    all_serve(host).with_context(|| agent.said().unwrap_or_default())?;
    agent.signal(Signal::SIGCONT).context("the agent ended")?;
    Ok(agent)
}

/// Waits until all members do.
pub(crate) fn all_serve(host: &Host) -> Result<()> {
    wait_for("all members to serve", LIMIT, || {
        let shown = host.end("elb", &["status", "-o", "json"])?;
        let said = serde_json::from_str(&shown.printed).ok();
        Ok(said.filter(status::all_serve).map(drop))
    })
}

pub(crate) fn stop(mut agent: Running) -> Result<()> {
    agent.signal(Signal::SIGTERM)?;
    agent.finish(LIMIT).map(drop)
}

pub(crate) fn copy_in(host: &Host, deb: &str) -> Result<()> {
    fs::copy(Path::new(deb), host.path("run/elb.deb")).with_context(|| deb.to_owned())?;
    Ok(())
}
