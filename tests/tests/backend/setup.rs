//! `up` and `down`: what they do, say, and leave.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    path::Path,
};

use anyhow::Result;
use elb_tests::{address::Family, netns::NetNs};
use serde_json::Value;

use crate::scene::*;

#[test]
fn up_twice_changes_nothing_and_down_restores_everything() -> Result<()> {
    for (mode, attached) in
        [("ipip", Some("native decap")), ("gue", Some("native decap")), ("l2", None)]
    {
        let bench = Bench::new()?;
        bench.host().sysctl("ipv4/conf/all/rp_filter", "1")?;
        bench.host().sysctl(&format!("ipv4/conf/{DEVICE}/arp_announce"), "1")?;
        let before = bench.look()?;

        let first = bench.up(mode, &bench.vips())?;
        let after_first = bench.look()?;
        assert_eq!(bench.attached()?.as_deref(), attached);
        let second = bench.up(mode, &bench.vips())?;
        assert!(bench.look()? == after_first, "{second}");
        assert_eq!(first.lines().count(), second.lines().count());
        for line in second.lines() {
            assert!(line.contains(" already"), "{line}");
        }
        assert!(after_first != before, "{first}");

        let vips = list(&bench.vips());
        bench.elb(&format!("down {vips} --mode {mode} --interface {DEVICE}"))?;
        assert_eq!((bench.look()?, bench.attached()?), (before, None));
        assert!(!bench.pin_dir().exists());

        let nothing = bench.elb("down --all")?;
        assert_eq!(nothing, "no virtual address is set up here\n");
    }
    Ok(())
}

#[test]
fn what_is_done_is_said_and_is_so() -> Result<()> {
    let bench = Bench::new()?;
    let read = |path: &str| -> Result<String> {
        let path = Path::new("/proc/sys/net/ipv4/conf").join(path);
        Ok(bench.host().run(|| fs::read_to_string(path))??.trim().to_owned())
    };
    bench.host().sysctl(&format!("ipv4/conf/{DEVICE}/rp_filter"), "1")?;
    bench.host().sysctl("ipv4/conf/all/arp_announce", "2")?;

    assert_eq!(
        bench.up("ipip", &bench.vips())?,
        "set net.ipv4.conf.all.arp_ignore from 0 to 1\n\
         set net.ipv4.conf.eth0.arp_ignore from 0 to 1\n\
         net.ipv4.conf.all.arp_announce is 2 already\n\
         set net.ipv4.conf.eth0.arp_announce from 0 to 2\n\
         set net.ipv4.conf.eth0.rp_filter from 1 to 2\n\
         added 10.0.0.100/32 to lo\n\
         added fd00::100/128 to lo\n\
         decap takes packets from 10.0.0.2, 10.0.0.3, fd00::2, fd00::3 only\n\
         decap unwraps packets for 10.0.0.100 now\n\
         decap unwraps packets for fd00::100 now\n\
         attached decap to eth0 (native)\n"
    );
    for (path, value) in [
        ("all/arp_ignore", "1"),
        ("eth0/arp_ignore", "1"),
        ("all/arp_announce", "2"),
        ("eth0/arp_announce", "2"),
        ("all/rp_filter", "0"),
        ("eth0/rp_filter", "2"),
    ] {
        assert_eq!(read(path)?, value, "{path}");
    }
    let report =
        elb_tests::printed::value(&["backend", "down"], &bench.elb("down --all -o json")?)?;
    let steps: Vec<_> = report["steps"].as_array().into_iter().flatten().collect();
    assert_eq!(steps[0]["step"], "detached");
    assert!(steps.iter().any(|step| step["sysctl"] == "net.ipv4.conf.eth0.rp_filter"));
    assert_eq!((read("all/arp_announce")?, read("eth0/rp_filter")?), ("2".into(), "1".into()));
    Ok(())
}

#[test]
fn an_address_comes_and_goes_next_to_another() -> Result<()> {
    let bench = Bench::new()?;
    let before = bench.look()?;
    let [v4, v6] = bench.vips();
    bench.up("ipip", &[v4])?;
    let with_one = bench.look()?;
    assert!(bench.serves(Family::V4, v4)?);

    let added = bench.up("ipip", &[v6])?;
    assert_eq!(
        added,
        "added fd00::100/128 to lo\n\
         decap takes packets from 10.0.0.2, 10.0.0.3, fd00::2, fd00::3 already\n\
         decap unwraps packets for fd00::100 now\n\
         decap is attached to eth0 already (native)\n"
    );
    assert!(bench.serves(Family::V4, v4)? && bench.serves(Family::V4, v6)?);

    let removed = bench.elb(&format!("down --vip {v6} --vip 192.0.2.77"))?;
    assert_eq!(
        removed,
        "192.0.2.77 is not set up here\n\
         decap unwraps packets for fd00::100 no more\n\
         removed fd00::100/128 from lo\n"
    );
    assert_eq!(bench.look()?, with_one);
    assert!(bench.serves(Family::V6, v4)?);

    bench.elb(&format!("down --vip {v4}"))?;
    assert_eq!((bench.look()?, bench.attached()?), (before, None));
    Ok(())
}

#[test]
fn what_others_did_stays() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    bench.host().ip(&format!("address add {v4}/32 dev lo"))?;
    bench.up("l2", &[v4, v6])?;
    bench.host().sysctl("ipv4/conf/all/arp_ignore", "2")?;
    bench.host().ip(&format!("address del {v6}/128 dev lo"))?;

    let down = bench.elb("down --all")?;
    assert_eq!(
        down,
        "left 10.0.0.100/32: it was there before\n\
         fd00::100/128 is not on lo any more\n\
         set net.ipv4.conf.eth0.arp_announce back from 2 to 0\n\
         set net.ipv4.conf.all.arp_announce back from 2 to 0\n\
         set net.ipv4.conf.eth0.arp_ignore back from 1 to 0\n\
         left net.ipv4.conf.all.arp_ignore at 2: the 1 that was set here was changed since\n"
    );
    Ok(())
}

#[test]
fn no_host_learns_who_has_the_address() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    // Without the settings, the host would answer: the test can fail.
    bench.host().ip(&format!("address add {v4}/32 dev lo"))?;
    assert!(resolves(bench.lab.client(), v4)?);
    bench.host().ip(&format!("address del {v4}/32 dev lo"))?;
    bench.lab.client().ip(&format!("neighbour flush dev {DEVICE}"))?;

    bench.up("l2", &[v4, v6])?;
    assert!(!resolves(bench.lab.client(), v4)?);
    assert!(!resolves(bench.lab.client(), v6)?);
    Ok(())
}

/// Whether a host answers `netns` with the Ethernet address of `ip`.
fn resolves(netns: &NetNs, ip: IpAddr) -> Result<bool> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    netns.run(|| UdpSocket::bind((any, 0))?.send_to(b"who?", (ip, PORT)))??;
    let found = elb_tests::wait::wait_for("an answer or none", LIMIT, || {
        let neighbors = self::ip(netns, &["neighbour", "show", "to", &ip.to_string()])?;
        let neighbors: Value = serde_json::from_str(&neighbors)?;
        let state = neighbors[0]["state"][0].as_str().unwrap_or("NONE").to_owned();
        Ok((state != "INCOMPLETE" && state != "NONE").then_some(state))
    })?;
    Ok(found != "FAILED")
}

#[test]
fn the_address_is_not_a_source_of_the_hosts_own_connections() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    bench.up("l2", &[v4, v6])?;
    let source = |target: IpAddr, any: &str| -> Result<Option<IpAddr>> {
        let any: IpAddr = any.parse()?;
        bench.host().run(|| {
            let socket = UdpSocket::bind((any, 0))?;
            let connected = socket.connect((target, PORT));
            Ok(connected.ok().and(socket.local_addr().ok()).map(|address| address.ip()))
        })?
    };
    for (family, any) in [(Family::V4, "0.0.0.0"), (Family::V6, "::")] {
        let target = bench.lab.client_addr(family);
        assert_eq!(source(target, any)?, Some(bench.lab.member_addr(0, family)));
    }
    // Where the interface has no address, the kernel looks at lo: for scope host in vain.
    let own = bench.lab.member_addr(0, Family::V4);
    bench.host().ip(&format!("address del {own}/24 dev {DEVICE}"))?;
    bench.host().ip(&format!("route add 10.0.0.0/24 dev {DEVICE}"))?;
    let client = bench.lab.client_addr(Family::V4);
    assert_ne!(source(client, "0.0.0.0")?, Some(v4));
    // With the usual scope it would be a source: the test can fail.
    bench.elb("down --all")?;
    bench.host().ip(&format!("address add {v4}/32 dev lo scope global"))?;
    assert_eq!(source(client, "0.0.0.0")?, Some(v4));
    Ok(())
}
