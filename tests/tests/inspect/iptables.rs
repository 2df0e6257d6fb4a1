//! Rules of iptables: of the nftables kind, and of the kernel's older packet filter.

use anyhow::Result;
use elb_tests::address::{Families, Family};
use elb_userspace::diagnosis::check::Check;

use crate::scene::*;

#[test]
fn a_rule_of_either_iptables_is_named_and_its_fix_lets_probes_in() -> Result<()> {
    for program in ["iptables-nft", "iptables-legacy"] {
        for (rule, words) in [
            (format!("INPUT -p tcp --dport {HTTP} -j DROP"), "rule 1"),
            (
                format!("INPUT -s 10.0.0.0/24 -p tcp -m multiport --dports 22,{HTTP} -j REJECT"),
                "multiport",
            ),
            (
                "INPUT -m conntrack --ctstate NEW -m comment --comment 'no one' -j DROP".into(),
                "NEW",
            ),
            (format!("INPUT -i eth+ -p tcp --syn --dport 1:{HTTP} -j DROP"), "rule 1"),
            ("INPUT ! -s 10.0.1.0/24 -p tcp -j DROP".into(), "! -s"),
            (format!("OUTPUT -p tcp --sport {HTTP} -j DROP"), "OUTPUT"),
        ] {
            let bench = Bench::new()?;
            let _server = bench.serve()?;
            bench.sh(&format!("{program} -A {rule}"))?;
            assert!(!bench.reached(HTTP)?, "{rule}");
            let named = [&format!("{program} table filter"), words];
            bench.repairs(&bench.http(), Check::Firewall, &named)?;
            assert!(bench.reached(HTTP)?, "{rule}");
        }
    }
    Ok(())
}

#[test]
fn chains_and_policies_of_iptables_are_followed() -> Result<()> {
    for program in ["iptables-nft", "iptables-legacy"] {
        let bench = Bench::new()?;
        let _server = bench.serve()?;
        bench.sh(&format!(
            "{program} -N web; {program} -A web -p tcp --dport 22 -j RETURN; \
             {program} -A web -s 10.0.0.3 -j ACCEPT; {program} -A web -p tcp -j DROP; \
             {program} -A INPUT -p tcp --dport {HTTP} -j web"
        ))?;
        bench.repairs(&bench.http(), Check::Firewall, &["chain web, rule 3"])?;
        bench.sh(&format!("{program} -F; {program} -P INPUT DROP"))?;
        assert!(!bench.reached(HTTP)?);
        bench.repairs(&bench.http(), Check::Firewall, &["the policy of", "chain INPUT"])?;
        assert!(bench.reached(HTTP)?);
    }
    Ok(())
}

#[test]
fn tables_before_the_filter_count() -> Result<()> {
    for program in ["iptables-nft", "iptables-legacy"] {
        let bench = Bench::new()?;
        let _server = bench.serve()?;
        bench.sh(&format!("{program} -t raw -A PREROUTING -p tcp --dport {HTTP} -j DROP"))?;
        bench.repairs(&bench.http(), Check::Firewall, &["table raw, chain PREROUTING, rule 1"])?;
    }
    Ok(())
}

#[test]
fn rules_of_ip6tables_are_for_ipv6() -> Result<()> {
    for program in ["ip6tables-nft", "ip6tables-legacy"] {
        let bench = Bench::of(Families::Both)?;
        let _server = bench.serve()?;
        bench.sh(&format!("{program} -A INPUT -s fd00::/64 -p tcp --dport {HTTP} -j DROP"))?;
        bench.clean(&bench.http())?;
        let v6 = format!("--port {HTTP} --from {}", bench.lb_addr(Family::V6));
        bench.repairs(&v6, Check::Firewall, &[program, "rule 1"])?;
    }
    Ok(())
}
