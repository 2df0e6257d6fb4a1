//! Backends whose kernel takes the outer header off, with tunnel devices of its own instead of our
//! program: what leaves the load balancer is what the rest of the world calls by its mode's name.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use elb_common::backend::GUE_PORT;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{Load, download, http_requests, upload},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    netns::NetNs,
    process::output,
    status,
    wire::HTTP_PORT,
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);
const REQUESTS: usize = 50;
/// More than fits in a packet, so that full ones go through the tunnel.
const BYTES: u64 = 100_000;

/// The device that takes an outer header of the one family off a packet of the other: the one for
/// packets of tunnels that no one configured, which every network namespace has.
const DEVICES: [(Family, Family, &str); 4] = [
    (Family::V4, Family::V4, "tunl0"),
    (Family::V4, Family::V6, "sit0"),
    (Family::V6, Family::V4, "ip6tnl0"),
    (Family::V6, Family::V6, "ip6tnl0"),
];

#[test]
fn ipip() -> Result<()> {
    serves(Forwarding::Ipip, |_| Ok(()))
}

/// A port takes UDP and GUE off; what is left is IP in IP, for the same devices.
#[test]
fn gue() -> Result<()> {
    serves(Forwarding::Gue, |backend| {
        for family in ["-4", "-6"] {
            ip(backend, &[family, "fou", "add", "port", &GUE_PORT.to_string(), "gue"])?;
        }
        Ok(())
    })
}

/// Whether clients are served in every pair of families by backends that have the address, the
/// kernel's devices, and what `prepare` gives them.
fn serves(mode: Forwarding, prepare: impl Fn(&NetNs) -> Result<()>) -> Result<()> {
    let lab = Lab::builder().families(Families::Both).start()?;
    let _servers = lab.serve()?;
    // Of what `elb backend up` does, this mode's part is the address alone.
    lab.backends_up(Forwarding::L2)?;
    for backend in lab.backends() {
        // Until shown, it takes IPv6 alone.
        ip(backend, &["-6", "tunnel", "change", "ip6tnl0", "mode", "any"])?;
        for (_, _, device) in DEVICES {
            backend.ip(&format!("link set {device} up"))?;
        }
        prepare(backend)?;
    }
    for (outer, inner, device) in DEVICES {
        let pool = Pool::of(&lab, device, outer, Protocol::Tcp, HTTP_PORT).forwarding(mode);
        let config = Config::new(&lab).balance(&lab, inner, HTTP_PORT, pool);
        let agent = Agent::start(&lab, &config)?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        let before = received(&lab, device)?;
        arrives(&lab, inner).with_context(|| format!("{inner:?} in {outer:?} by {device}"))?;
        let by_device = received(&lab, device)? - before;
        ensure!(by_device > REQUESTS as u64, "only {by_device} packets came through {device}");
    }
    Ok(())
}

fn arrives(lab: &Lab, vip: Family) -> Result<()> {
    let target = lab.service(vip, HTTP_PORT);
    let report = http_requests(lab.client(), Load::on(target), REQUESTS)?;
    let failures = report.failures();
    ensure!(failures.is_empty(), "{} requests failed, first {:?}", failures.len(), failures[0]);
    let answered = report.answers_by_backend();
    ensure!(answered.len() == lab.backends().len(), "not all backends answered: {answered:?}");
    download(lab.client(), target, BYTES)?;
    upload(lab.client(), target, BYTES)?;
    Ok(())
}

/// Packets that `device` took out of their tunnels, on all backends.
fn received(lab: &Lab, device: &str) -> Result<u64> {
    lab.backends().iter().map(|backend| received_by(backend, device)).sum()
}

fn received_by(backend: &NetNs, device: &str) -> Result<u64> {
    let links = ip(backend, &["-json", "-statistics", "link", "show", device])?;
    let links: Value = serde_json::from_str(&links)?;
    let packets = links[0]["stats64"]["rx"]["packets"].as_u64();
    packets.with_context(|| format!("no statistics of {device}: {links}"))
}

/// What the `ip` command prints; some of it is not to be had in a batch.
fn ip(backend: &NetNs, arguments: &[&str]) -> Result<String> {
    let mut command = backend.command("ip");
    command.args(arguments);
    output(command, LIMIT)
}
