//! The package for Red Hat and its kin, by the real rpm: its files, what its scripts do when it is installed, upgraded
//! and removed, and that forwarding goes on throughout.

use std::fs;

use anyhow::Result;
use elb_tests::{
    address::Family,
    client::{Load, http_requests},
    config::Forwarding,
    lab::Lab,
    wire::HTTP_PORT,
};

use crate::{
    host::Host,
    life::{configuration, package, start, stop},
};

#[test]
fn rpm_installs_upgrades_and_removes_it_while_packets_are_forwarded() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let host = Host::new(&lab, lab.lb(), lab.lb_interfaces()[0])?;
    let served = || {
        let load = Load::on(lab.service(Family::V4, HTTP_PORT));
        anyhow::Ok(http_requests(lab.client(), load, 100)?.answered())
    };

    rpm(&host, "--install", &package("ELB_RPM")?)?;
    assert_eq!(host.asked()?, ["--system daemon-reload"]);
    files(&host)?;
    fs::write(host.path("etc/elb/elb.toml"), configuration(&lab)?)?;
    let agent = start(&host)?;
    assert_eq!(served()?, 100);

    rpm(&host, "--upgrade", &package("ELB_RPM_NEXT")?)?;
    let reload = "--system daemon-reload";
    let restart = ["try-restart elb.service", "reload elb-backend@*.service"];
    assert_eq!(host.asked()?, [&[reload, reload][..], &restart].concat());
    // The administrator's file is as it was, and the removal of the old version kept nothing.
    host.run("elb", &["check"])?;
    assert!(!host.path("etc/elb/elb.toml.rpmnew").exists());
    assert!(!host.path("var/lib/elb/removed").exists());
    stop(agent)?;
    let agent = start(&host)?;
    assert_eq!(served()?, 100);

    let installed = host.run("rpm", &["--query", "--list", "elb"])?;
    let said = host.run("rpm", &["--erase", "elb"])?;
    assert!(said.contains("removing the package does not stop forwarding"), "{said}");
    assert_eq!(host.asked()?, ["--no-reload stop elb.service", reload]);
    for file in installed.lines().filter(|file| !file.starts_with("/etc/elb")) {
        assert!(!host.path(file.trim_start_matches('/')).is_file(), "{file} is left");
    }
    assert!(host.path("etc/elb/elb.toml.rpmsave").exists(), "what the administrator wrote");
    stop(agent)?;
    assert!(host.forwards()?);
    assert_eq!(served()?, 100);
    host.run("/var/lib/elb/removed/elb", &["detach", "--config", "/var/lib/elb/removed/elb.toml"])?;
    assert!(!host.forwards()?);
    Ok(())
}

/// Debian's rpm wants to be asked twice, and does not know who has a shell.
fn rpm(host: &Host, verb: &str, file: &str) -> Result<()> {
    fs::copy(file, host.path("run/elb.rpm"))?;
    host.run("rpm", &["--force-debian", "--nodeps", verb, "/run/elb.rpm"]).map(drop)
}

/// All are root's, none but the program can be run or written by others, and they are as they were packed.
fn files(host: &Host) -> Result<()> {
    host.run("rpm", &["--verify", "--nodeps", "elb"])?;
    let format = "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]";
    let listed = host.run("rpm", &["--query", "--queryformat", format, "elb"])?;
    for line in listed.lines() {
        let mode = match line.rsplit(' ').next() {
            Some("/usr/bin/elb") => "-rwxr-xr-x",
            Some("/etc/elb") => "drwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert!(line.starts_with(&format!("{mode} root root /")), "{line}");
    }
    for file in ["/usr/lib/systemd/system/elb-backend@.service", "/usr/share/man/man1/elb.1.gz"] {
        assert!(listed.contains(file), "{file} in {listed}");
    }
    let configuration = host.run("rpm", &["--query", "--configfiles", "elb"])?;
    assert_eq!(configuration, "/etc/elb/backend.toml\n/etc/elb/elb.toml\n");
    assert!(host.read("etc/group")?.contains("\nelb:"), "the group of the socket");
    assert!(!host.forwards()?);
    let refused = host.end("elb", &["check"])?;
    assert!(refused.printed.contains("interfaces is missing"), "{refused:?}");
    Ok(())
}
