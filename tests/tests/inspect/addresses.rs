//! Direct server return: the virtual address, outer headers, kernel settings.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    lab::Lab,
    xdp::XdpPass,
};
use elb_userspace::diagnosis::{check::Check, report::Outcome};

use crate::scene::*;

#[test]
fn a_host_that_was_never_set_up_is_mended_by_the_report() -> Result<()> {
    for mode in ["l2", "ipip", "gue"] {
        let bench = Bench::new()?;
        let _server = bench.serve()?;
        let question = bench.vip(mode);
        let inspection = bench.inspect(&question)?;
        assert_eq!(inspection.report.cause, Some(Check::VirtualAddress), "{inspection:#?}");
        let missing = &inspection.report.finding(Check::VirtualAddress).expect("it is there");
        assert!(missing.evidence.contains("10.0.0.100 is on no interface"), "{missing:?}");
        let decapsulation = verdict(&inspection, Check::Decapsulation);
        let expected = if mode == "l2" { Outcome::NotApplicable } else { Outcome::Fail };
        assert_eq!(decapsulation, Some(expected));
        bench.sh(missing.fix.as_deref().expect("a fix"))?;
        bench.clean(&question)?;
    }
    Ok(())
}

#[test]
fn a_virtual_address_that_is_gone_is_named_and_comes_back() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.up("ipip")?;
    bench.clean(&bench.vip("ipip"))?;
    bench.host().ip(&format!("address del {}/32 dev lo", bench.lab.vip4()))?;
    // What was set up is known: it need not be said.
    bench.repairs(&bench.http(), Check::VirtualAddress, &["10.0.0.100 is on no interface"])?;
    Ok(())
}

#[test]
fn a_virtual_address_that_answers_arp_is_named_and_moved() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.up("l2")?;
    bench.host().ip(&format!(
        "address del {0}/32 dev lo\naddress add {0}/32 dev {DEVICE}",
        bench.lab.vip4()
    ))?;
    bench.repairs(
        &bench.vip("l2"),
        Check::VirtualAddress,
        &["is on eth0, which answers for it"],
    )?;
    Ok(())
}

#[test]
fn missing_decapsulation_is_named_and_attached() -> Result<()> {
    for mode in ["ipip", "gue"] {
        let bench = Bench::new()?;
        let _server = bench.serve()?;
        bench.up("l2")?;
        let words = [&*format!("the outer headers of {mode}"), "eth0 carries no XDP program"];
        bench.repairs(&bench.vip(mode), Check::Decapsulation, &words)?;
    }
    Ok(())
}

#[test]
fn a_foreign_program_leaves_decapsulation_unknown() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.up("l2")?;
    let _other = XdpPass::attach(bench.host(), &[DEVICE])?;
    let inspection = bench.inspect(&bench.vip("ipip"))?;
    assert_eq!(verdict(&inspection, Check::Decapsulation), Some(Outcome::Unknown));
    assert_eq!(inspection.report.conclusion.exit_code(), 2);
    Ok(())
}

#[test]
fn an_address_that_the_program_does_not_know_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.up("ipip")?;
    bench.host().ip("address add 10.0.0.101/32 dev lo scope host")?;
    let question = format!("{} --vip 10.0.0.101", bench.vip("ipip"));
    bench.repairs(&question, Check::Decapsulation, &["does not know 10.0.0.101"])?;
    Ok(())
}

#[test]
fn sysctls_that_spoil_direct_server_return_are_named_and_set() -> Result<()> {
    for (keys, value, words) in [
        (&["all/arp_ignore", "eth0/arp_ignore"][..], "0", "net.ipv4.conf.all.arp_ignore is 0"),
        (&["all/arp_announce", "eth0/arp_announce"], "0", "net.ipv4.conf.eth0.arp_announce is 0"),
        (&["eth0/rp_filter"], "1", "answers to clients elsewhere go out by up0"),
    ] {
        let bench = Bench::new()?;
        let _server = bench.serve()?;
        bench.up("ipip")?;
        other_default_route(&bench)?;
        for key in keys {
            bench.host().sysctl(&format!("ipv4/conf/{key}"), value)?;
        }
        bench.repairs(&bench.vip("ipip"), Check::Sysctls, &[words])?;
    }
    Ok(())
}

/// Answers to clients elsewhere go out by another interface than packets come in by.
fn other_default_route(bench: &Bench) -> Result<()> {
    bench
        .host()
        .ip("link add up0 type bridge\nlink set up0 up\naddress add 10.7.0.11/24 dev up0\n\
         route add default via 10.7.0.1 dev up0")?;
    Ok(())
}

/// U8: strict, and yet traffic flows, since answers go out by the same interface.
#[test]
fn strict_filtering_that_drops_nothing_is_no_cause() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.up("ipip")?;
    bench.host().ip(&format!("route add default via 10.0.0.1 dev {DEVICE}"))?;
    bench.host().sysctl("ipv4/conf/eth0/rp_filter", "1")?;
    for question in [bench.vip("ipip"), format!("{} --client 203.0.113.7", bench.vip("ipip"))] {
        let inspection = bench.inspect(&question)?;
        clean(&inspection)?;
        assert_eq!(verdict(&inspection, Check::Sysctls), Some(Outcome::Pass), "{inspection:#?}");
        assert_eq!(verdict(&inspection, Check::Route), Some(Outcome::Pass), "{inspection:#?}");
    }
    Ok(())
}

/// U10: probes are answered, clients elsewhere are not.
#[test]
fn the_way_back_to_clients_is_looked_at() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.up("ipip")?;
    let question = bench.vip("ipip");
    let inspection = bench.inspect(&question)?;
    clean(&inspection)?;
    let route = inspection.report.finding(Check::Route).cloned().unwrap_or_else(|| unreachable!());
    assert_eq!(route.outcome, Outcome::Warn, "{route:?}");
    assert!(route.evidence.contains("no default route for IPv4: clients outside"), "{route:?}");
    let client = format!("{question} --client 203.0.113.7");
    bench.names(&client, Check::Route, &["no route to 203.0.113.7, and no default route"])?;
    bench.clean(&format!("{question} --client 10.0.0.10"))?;
    bench.host().ip("route add blackhole 203.0.113.0/24")?;
    bench.host().ip(&format!("route add default via 10.0.0.1 dev {DEVICE}"))?;
    bench.repairs(&client, Check::Route, &["`route blackhole 203.0.113.0/24` is in the way"])?;
    Ok(())
}

#[test]
fn a_sysctl_that_another_makes_up_for_is_a_warning() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.up("l2")?;
    bench.host().sysctl("ipv4/conf/all/arp_ignore", "0")?;
    bench.warns(&bench.vip("l2"), Check::Sysctls, &["only net.ipv4.conf.eth0.arp_ignore"])
}

#[test]
fn an_interface_too_small_for_outer_headers_is_reported() -> Result<()> {
    let lab = |families, mtu| Lab::builder().families(families).backends(1).mtu(mtu).start();
    let bench = Bench::in_lab(lab(Families::V4, 1500)?)?;
    let _server = bench.serve()?;
    for (mode, words) in [("ipip", "20 of them outer"), ("gue", "32 of them outer")] {
        bench.host().ip(&format!("link set {DEVICE} mtu 1500"))?;
        bench.up(mode)?;
        bench.warns(&bench.vip(mode), Check::Mtu, &["eth0 takes 1500 bytes", words])?;
    }

    let bench = Bench::in_lab(lab(Families::V6, 1300)?)?;
    let _server = bench.serve()?;
    let vip = bench.lab.vip6();
    bench.sh(&format!(
        "elb backend up --vip {vip} --mode ipip --from fd00::2 --interface {DEVICE} $PLACES"
    ))?;
    let from = bench.lb_addr(Family::V6);
    let question = format!("--port {HTTP} --from {from} --vip {vip} --mode ipip");
    bench.repairs(
        &question,
        Check::Mtu,
        &["40 of them outer headers: 1260 fit, IPv6 needs 1280"],
    )?;
    Ok(())
}

#[test]
fn ignored_echo_requests_matter_to_udp() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.host().sysctl("ipv4/icmp_echo_ignore_all", "1")?;
    bench.clean(&bench.http())?;
    bench.repairs(&bench.udp(), Check::Sysctls, &["net.ipv4.icmp_echo_ignore_all is 1"])?;

    let bench = Bench::of(Families::Both)?;
    let _server = bench.serve()?;
    bench.host().sysctl("ipv6/icmp/echo_ignore_all", "1")?;
    bench.clean(&bench.udp())?;
    let v6 = format!("--protocol udp --port {ECHO} --from {}", bench.lb_addr(Family::V6));
    bench.repairs(&v6, Check::Sysctls, &["net.ipv6.icmp.echo_ignore_all is 1"])?;
    Ok(())
}
