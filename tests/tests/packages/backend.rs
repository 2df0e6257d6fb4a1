//! The package on a backend server: its service does what the file says, and only the purge undoes it.

use std::fs;

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{Load, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::{
    host::{Host, LIMIT},
    life::{copy_in, package},
    unit::Unit,
};

const FILE: &str = "/etc/elb/backend.toml";
pub(crate) const OTHER: &str = "192.0.2.77";

#[test]
fn a_backend_server_serves_what_its_file_says_until_the_purge() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let _servers = lab.serve()?;
    let host = Host::new(&lab, lab.backend(0), lab.device())?;
    copy_in(&host, &package("ELB_DEB")?)?;
    host.dpkg("--install", "/run/elb.deb")?;
    let unit = Unit::new(host.read("usr/lib/systemd/system/elb-backend.service")?);

    // The file that the package brings names nothing.
    let refused = host.start(&unit)?.finish(LIMIT).err().context("nothing to serve")?;
    assert!(format!("{refused:#}").contains("missing field `vip`"), "{refused:#}");

    let vip = lab.vip(Family::V4);
    write(&host, &lab, &[&vip.to_string(), OTHER])?;
    host.start(&unit)?.finish(LIMIT)?;
    assert!(host.forwards()? && has(&host, OTHER)?);
    let up = ["backend", "up", "--config", FILE, "-o", "json"];
    let said = |text: String| elb_tests::printed::value(&["backend", "up"], &text);
    let again = said(host.run("elb", &up)?)?;
    assert_eq!(again["changed"], Value::Bool(false), "{again}");
    write(&host, &lab, &[&vip.to_string()])?;
    let fewer = said(host.run("elb", &up)?)?;
    assert_eq!(fewer["changed"], Value::Bool(true), "{fewer}");
    assert!(!has(&host, OTHER)? && has(&host, &vip.to_string())?);

    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let config = Config::new(&lab);
    let config = config.balance(&lab, Family::V4, HTTP_PORT, pool.forwarding(Forwarding::Ipip));
    let agent = Agent::start(&lab, &config)?;
    agent.wait_status("the member to serve", LIMIT, status::all_serve)?;
    let served = || {
        let load = Load::on(lab.service(Family::V4, HTTP_PORT));
        anyhow::Ok(http_requests(lab.client(), load, 100)?.answered())
    };
    assert_eq!(served()?, 100);

    host.asked()?;
    host.dpkg("--remove", "elb")?;
    assert_eq!(host.asked()?, ["stop elb.service", "--system daemon-reload"]);
    assert_eq!(served()?, 100);
    host.dpkg("--purge", "elb")?;
    assert!(!host.forwards()? && !has(&host, &vip.to_string())?);
    assert!(!host.path("run/elb-backend").exists());
    Ok(())
}

/// One of several files, whose set-up no other may join.
#[test]
fn an_instance_serves_what_its_own_file_says_until_the_purge() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let host = Host::new(&lab, lab.backend(0), lab.device())?;
    copy_in(&host, &package("ELB_DEB")?)?;
    host.dpkg("--install", "/run/elb.deb")?;
    let unit = Unit::new(host.read("usr/lib/systemd/system/elb-backend@.service")?).named("edge");
    write_file(&host, &lab, "/etc/elb/backend-edge.toml", &[OTHER])?;
    host.start(&unit)?.finish(LIMIT)?;
    assert!(host.forwards()? && has(&host, OTHER)?);
    let pins = "/sys/fs/bpf/elb-backend-edge";
    let shown = host.run("elb", &["backend", "status", "--pin-dir", pins])?;
    assert!(shown.contains(OTHER), "{shown}");

    write(&host, &lab, &["192.0.2.78"])?;
    let plain = Unit::new(host.read("usr/lib/systemd/system/elb-backend.service")?);
    let refused = host.start(&plain)?.finish(LIMIT).err().context("a second set-up")?;
    assert!(format!("{refused:#}").contains(pins), "{refused:#}");

    host.dpkg("--remove", "elb")?;
    assert!(has(&host, OTHER)?);
    host.dpkg("--purge", "elb")?;
    assert!(!host.forwards()? && !has(&host, OTHER)?);
    for place in [pins, "/run/elb-backend"] {
        assert!(!host.path(place.trim_start_matches('/')).exists(), "{place}");
    }
    Ok(())
}

fn write(host: &Host, lab: &Lab, vips: &[&str]) -> Result<()> {
    write_file(host, lab, FILE, vips)
}

pub(crate) fn write_file(host: &Host, lab: &Lab, file: &str, vips: &[&str]) -> Result<()> {
    let from = lab.lb_addrs(Family::V4);
    let text = format!(
        "vip = {vips:?}\nmode = \"ipip\"\nfrom = {:?}\ninterface = {:?}\n",
        from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        lab.device()
    );
    let file = host.path(file.trim_start_matches('/'));
    fs::write(&file, text).with_context(|| file.display().to_string())
}

/// Whether an address is on `lo`.
pub(crate) fn has(host: &Host, address: &str) -> Result<bool> {
    Ok(host.run("ip", &["address", "show", "dev", "lo"])?.contains(&format!("{address}/32")))
}
