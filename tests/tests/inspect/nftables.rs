//! Rules of nftables that are in the way of probes, and some that only look so.

use anyhow::Result;
use elb_tests::address::{Families, Family};
use elb_userspace::diagnosis::{check::Check, report::Outcome};

use crate::scene::*;

/// A table with an input and an output chain, and `rules` in the input chain.
fn input(rules: &str) -> String {
    table("accept", rules, "")
}

fn table(policy: &str, input: &str, output: &str) -> String {
    format!(
        "nft -f - <<'END'\n\
         table inet filter {{\n\
           set bad {{ type ipv4_addr; flags interval; elements = {{ 10.0.0.0/28, 192.0.2.7 }} }}\n\
           chain web {{ tcp dport {HTTP} drop; }}\n\
           chain input {{ type filter hook input priority 0; policy {policy}; {input}; }}\n\
           chain output {{ type filter hook output priority 0; {output}; }}\n\
         }}\nEND\n"
    )
}

#[test]
fn a_rule_that_drops_probes_is_named_and_its_fix_lets_them_in() -> Result<()> {
    for (rules, words) in [
        (format!("tcp dport {HTTP} drop"), "tcp dport"),
        (format!("ip saddr 10.0.0.0/8 tcp dport {{ 22, {HTTP} }} reject"), "10.0.0.0/8"),
        ("ip saddr @bad counter drop".into(), "@bad"),
        (format!("tcp dport {}-{} jump web", HTTP - 1, HTTP + 1), "inet filter web handle"),
        (format!("tcp dport vmap {{ 22 : accept, {HTTP} : goto web }}"), "inet filter web handle"),
        (format!("iifname \"eth*\" tcp dport {HTTP} drop"), "eth*"),
        (format!("ct state new ip saddr . tcp dport {{ 10.0.0.2 . {HTTP} }} drop"), "10.0.0.2 ."),
        ("tcp flags & (syn | ack) == syn drop".into(), "tcp flags"),
        ("ct state established accept; meta l4proto tcp drop".into(), "meta l4proto"),
        // As firewalld ends its input chain.
        (
            "ct state { established, related } accept; ct status dnat accept; tcp dport 22 accept; \
             reject with icmpx admin-prohibited"
                .into(),
            "reject with icmpx admin-prohibited",
        ),
    ] {
        let bench = Bench::new()?;
        let _server = bench.serve()?;
        bench.sh(&input(&rules))?;
        assert!(!bench.reached(HTTP)?, "{rules}");
        let handle = ["nft rule inet filter", "handle", words];
        let finding = bench.repairs(&bench.http(), Check::Firewall, &handle)?;
        assert!(
            finding.fix.is_some_and(|fix| fix.starts_with("nft insert rule inet filter input"))
        );
        assert!(bench.reached(HTTP)?, "{rules}");
    }
    Ok(())
}

#[test]
fn rules_that_let_probes_in_are_no_cause() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    for rules in [
        format!("tcp dport != {HTTP} drop"),
        format!("ip saddr 10.0.1.0/24 tcp dport {HTTP} drop"),
        format!("ip saddr 10.0.0.2 accept; tcp dport {HTTP} drop"),
        format!("iifname \"lo\" tcp dport {HTTP} drop"),
        format!("udp dport {HTTP} drop; icmp type echo-request drop"),
        "ct state invalid drop; ct state { established, new } accept; drop".into(),
        format!("tcp dport {HTTP} limit rate 1/second log; accept; drop"),
        "fib daddr type != local drop; fib saddr . iif oif missing drop".into(),
        "meta mark 7 drop; meta pkttype broadcast drop".into(),
        format!("tcp dport vmap {{ 22 : drop, {HTTP} : accept }}; drop"),
    ] {
        bench.sh("nft flush ruleset")?;
        bench.sh(&input(&rules))?;
        assert!(bench.reached(HTTP)?, "{rules}");
        bench.clean(&bench.http()).map_err(|error| error.context(rules))?;
    }
    Ok(())
}

#[test]
fn a_policy_that_drops_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.sh(&table("drop", "ct state established accept; tcp dport 22 accept", ""))?;
    assert!(!bench.reached(HTTP)?);
    let words = ["the policy of nft chain inet filter input"];
    bench.repairs(&bench.http(), Check::Firewall, &words)?;
    assert!(bench.reached(HTTP)?);
    Ok(())
}

#[test]
fn a_rule_that_drops_answers_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.sh(&table("accept", "", &format!("tcp sport {HTTP} ct state established drop")))?;
    assert!(!bench.reached(HTTP)?);
    let finding = bench.repairs(&bench.http(), Check::Firewall, &["inet filter output handle"])?;
    assert!(finding.evidence.contains("from 10.0.0.11 port"), "{finding:?}");
    assert!(bench.reached(HTTP)?);
    Ok(())
}

#[test]
fn a_rule_of_an_interface_is_named() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.sh(&format!(
        "nft -f - <<'END'\n\
         table netdev early {{ chain in {{ type filter hook ingress device \"{DEVICE}\" priority 0; \
         tcp dport {HTTP} drop; }}; }}\nEND\n"
    ))?;
    assert!(!bench.reached(HTTP)?);
    bench.repairs(&bench.http(), Check::Firewall, &["nft rule netdev early in handle"])?;
    assert!(bench.reached(HTTP)?);
    Ok(())
}

#[test]
fn rules_for_ipv6_are_for_ipv6() -> Result<()> {
    let bench = Bench::of(Families::Both)?;
    let _server = bench.serve()?;
    bench.sh(&input(&format!("ip6 saddr fd00::/64 tcp dport {HTTP} drop")))?;
    bench.clean(&bench.http())?;
    let v6 = format!("--port {HTTP} --from {}", bench.lb_addr(Family::V6));
    bench.repairs(&v6, Check::Firewall, &["fd00::/64"])?;
    Ok(())
}

#[test]
fn blocked_echo_requests_matter_to_udp() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.sh(&input("icmp type echo-request drop"))?;
    bench.clean(&bench.http())?;
    bench.repairs(&bench.udp(), Check::Firewall, &["icmp type echo-request", "echo requests"])?;

    let bench = Bench::of(Families::Both)?;
    let _server = bench.serve()?;
    bench.sh(&table("accept", "", "icmpv6 type echo-reply reject"))?;
    bench.clean(&bench.udp())?;
    let v6 = format!("--protocol udp --port {ECHO} --from {}", bench.lb_addr(Family::V6));
    bench.repairs(&v6, Check::Firewall, &["icmpv6 type echo-reply", "echo replies"])?;
    Ok(())
}

/// A policy that forgets what IPv6 has instead of ARP works until neighbours are forgotten.
#[test]
fn dropped_neighbour_discovery_is_named() -> Result<()> {
    let bench = Bench::of(Families::Both)?;
    let _server = bench.serve()?;
    let rules = format!("ct state new,established accept; tcp dport {HTTP} accept");
    bench.sh(&table("drop", &rules, ""))?;
    bench.clean(&bench.http())?;
    let v6 = format!("--port {HTTP} --from {}", bench.lb_addr(Family::V6));
    bench.repairs(&v6, Check::Firewall, &["policy of nft chain", "neighbour solicitations"])?;
    Ok(())
}

/// Traffic goes to the virtual address: what concerns the member's own is worth a warning.
#[test]
fn what_only_direct_probes_meet_is_a_warning() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.up("ipip")?;
    bench.sh(&input(&format!("ip daddr {} tcp dport {HTTP} drop", bench.member())))?;
    bench.warns(&bench.vip("ipip"), Check::Firewall, &["probe_path"])?;
    bench.sh("nft flush ruleset")?;
    bench.sh(&input(&format!("ip daddr {} tcp dport {HTTP} drop", bench.lab.vip4())))?;
    bench.names(&bench.vip("ipip"), Check::Firewall, &["10.0.0.100"])?;
    Ok(())
}

#[test]
fn a_rule_that_cannot_be_decided_is_unknown() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    for rules in ["ip dscp cs1 drop", "limit rate over 1/second drop", "numgen random mod 2 0 drop"]
    {
        bench.sh("nft flush ruleset")?;
        bench.sh(&input(rules))?;
        let inspection = bench.inspect(&bench.http())?;
        assert_eq!(verdict(&inspection, Check::Firewall), Some(Outcome::Unknown), "{rules}");
        assert_eq!(inspection.report.conclusion.exit_code(), 2);
        let evidence = &inspection.report.finding(Check::Firewall).expect("it is there").evidence;
        assert!(evidence.contains(rules), "{evidence}");
    }
    // A rule before it that decides leaves no doubt.
    bench.sh("nft flush ruleset")?;
    bench.sh(&input(&format!("tcp dport {HTTP} accept; ip dscp cs1 drop")))?;
    bench.clean(&bench.http())
}
