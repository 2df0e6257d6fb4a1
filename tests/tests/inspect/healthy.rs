//! Hosts with nothing wrong: no check may fail.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    config::{Config, Forwarding, MonitorKind, Pool, Protocol},
};
use elb_userspace::diagnosis::{check::Check, inspect::Inspection, report::Outcome};

use crate::scene::*;

#[test]
fn a_healthy_host_has_a_clean_report() -> Result<()> {
    let bench = Bench::of(Families::Both)?;
    let _server = bench.serve()?;
    let vips = "--vip 10.0.0.100 --vip fd00::100";
    let from = bench.lab.from_lbs("ipip").join(" ");
    bench.sh(&format!("elb backend up {vips} --mode ipip {from} --interface {DEVICE} $PLACES"))?;
    let (v4, v6) = (bench.lb(), bench.lb_addr(Family::V6));
    for question in [
        String::new(),
        format!("--port {HTTP}"),
        format!("--from {v4} --from {v6}"),
        format!("--port {HTTP} --from {v4} --from {v6}"),
        format!("--port {ECHO} --protocol udp --from {v4} --from {v6}"),
        format!("--port {HTTP} --from {v4} --vip 10.0.0.100 --mode ipip"),
        format!("--port {HTTP} --from {v6} --vip fd00::100 --mode gue"),
        format!("--port {HTTP} --from {} --to {}", bench.member(), bench.member()),
    ] {
        bench.clean(&question).map_err(|error| error.context(question))?;
    }
    Ok(())
}

/// What an agent finds ONLINE, probed through the virtual address, has a clean report.
#[test]
fn members_that_serve_raise_no_alarm() -> Result<()> {
    for mode in [Forwarding::L2, Forwarding::Ipip, Forwarding::Gue] {
        let bench = Bench::of(Families::Both)?;
        let _server = bench.serve()?;
        let (name, vips) = (mode.name(), [bench.lab.vip4(), bench.lab.vip6()]);
        let up = format!("elb backend up --vip {} --vip {} --mode {name}", vips[0], vips[1]);
        let from = bench.lab.from_lbs(name).join(" ");
        bench.sh(&format!(
            "ip route add default via 10.0.0.1 dev {DEVICE}; ip route add default via fd00::1 dev {DEVICE}"
        ))?;
        bench.sh(&format!("{up} {from} --interface {DEVICE} $PLACES"))?;
        let mut config = Config::new(&bench.lab);
        for family in [Family::V4, Family::V6] {
            for (protocol, port, kind) in [
                (Protocol::Tcp, HTTP, MonitorKind::Http),
                (Protocol::Udp, ECHO, MonitorKind::UdpConnect),
            ] {
                let pool = format!("{family:?}-{port}");
                let pool = Pool::of(&bench.lab, &pool, family, protocol, port).forwarding(mode);
                config = config.balance(&bench.lab, family, port, pool.monitored_by(kind));
            }
        }
        let agent = Agent::start(&bench.lab, &config)?;
        for (family, vip) in [Family::V4, Family::V6].into_iter().zip(vips) {
            let member = bench.lab.member_addr(0, family);
            agent.wait_members(&[member], "ONLINE", LIMIT)?;
            let of = format!("--from {} --to {member}", bench.lb_addr(family));
            let of = format!("{of} --vip {vip} --mode {name}");
            for question in
                [format!("--port {HTTP} {of}"), format!("--port {ECHO} --protocol udp {of}")]
            {
                let inspection = bench.inspect(&question)?;
                clean(&inspection).map_err(|error| error.context(question))?;
                let findings = &inspection.report.findings;
                assert!(
                    findings
                        .iter()
                        .all(|one| one.outcome != Outcome::Warn || one.check == Check::Load),
                    "{findings:#?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn the_usual_firewall_of_a_server_is_no_cause() -> Result<()> {
    let bench = Bench::of(Families::Both)?;
    let _server = bench.serve()?;
    bench.sh(&format!(
        "nft -f - <<'END'\n\
         table inet filter {{\n\
           chain input {{ type filter hook input priority filter; policy drop;\n\
             ct state vmap {{ established : accept, related : accept, invalid : drop }}\n\
             iifname \"lo\" accept\n\
             meta l4proto {{ icmp, ipv6-icmp }} accept\n\
             tcp dport {{ 22, {HTTP} }} accept\n\
             ip saddr 10.0.0.0/24 udp dport {ECHO} accept\n\
             ip6 saddr fd00::/64 udp dport {ECHO} accept\n\
             limit rate 5/minute log prefix \"dropped \"\n\
             reject with icmpx admin-prohibited\n\
           }}\n\
           chain forward {{ type filter hook forward priority filter; policy drop; }}\n\
           chain output {{ type filter hook output priority filter; policy accept; }}\n\
         }}\nEND\n"
    ))?;
    for family in [Family::V4, Family::V6] {
        let from = bench.lb_addr(family);
        bench.clean(&format!("--port {HTTP} --from {from}"))?;
        bench.clean(&format!("--port {ECHO} --protocol udp --from {from}"))?;
    }
    Ok(())
}

#[test]
fn the_report_keeps_the_question_and_survives_json() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    let inspection = bench.inspect(&bench.http())?;
    assert_eq!(inspection.asked.port, Some(HTTP));
    assert_eq!(inspection.asked.from, [bench.lb()]);
    assert_eq!(inspection.asked.to, [bench.member()]);
    let text = serde_json::to_string(&inspection)?;
    assert_eq!(serde_json::from_str::<Inspection>(&text)?, inspection);
    Ok(())
}

#[test]
fn what_only_root_can_see_is_unknown_to_others() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    let mut said = bench.shell(&format!(
        "cp $(which elb) {0}/elb; chmod 755 {0} {0}/elb; exec setpriv --reuid 65534 --regid 65534 \
         --clear-groups --inh-caps=-all --bounding-set=-all {0}/elb backend inspect {1} -o json",
        bench.lab.files().display(),
        bench.http()
    ));
    let said = said.output()?;
    let inspection: Inspection = serde_json::from_slice(&said.stdout)?;
    assert_eq!(said.status.code(), Some(2), "{inspection:#?}");
    let firewall = inspection.report.finding(Check::Firewall);
    assert!(firewall.is_some_and(|finding| finding.evidence.contains("root")), "{firewall:?}");
    Ok(())
}

#[test]
fn without_nft_rules_are_unknown_and_no_rules_are_no_rules() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    let hidden = |script: &str| {
        let script = format!("mount -t tmpfs none /usr/sbin\n{script}");
        bench.shell_of(&["unshare", "--mount", "sh"], &script)
    };
    clean(&bench.inspect_in(hidden, &bench.http())?)?;
    bench.sh("nft add table inet filter")?;
    let inspection = bench.inspect_in(hidden, &bench.http())?;
    assert_eq!(verdict(&inspection, Check::Firewall), Some(Outcome::Unknown));
    let evidence = &inspection.report.finding(Check::Firewall).expect("it is there").evidence;
    assert!(evidence.contains("without nft: install it"), "{evidence}");
    Ok(())
}
