//! Answers that do not find their way back.

use anyhow::Result;
use elb_tests::{address::Families, lab::Lab};
use elb_userspace::diagnosis::check::Check;

use crate::scene::*;

#[test]
fn a_route_that_refuses_is_named_and_deleted() -> Result<()> {
    for kind in ["unreachable", "blackhole", "prohibit"] {
        let bench = Bench::new()?;
        let _server = bench.serve()?;
        let (lb, member) = (bench.lb(), bench.member());
        bench.host().ip(&format!("route add {kind} {lb}"))?;
        assert!(!bench.reached(HTTP)?, "{kind}");
        let question = format!("{} --to {member}", bench.http());
        let words = [&*format!("route {kind} {lb}/32"), "is in the way"];
        bench.repairs(&question, Check::Route, &words)?;
        assert!(bench.reached(HTTP)?, "{kind}");
    }
    Ok(())
}

#[test]
fn a_rule_that_refuses_is_named_and_deleted() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.host().ip(&format!("rule add to {} prohibit pref 77", bench.lb()))?;
    let question = format!("{} --to {}", bench.http(), bench.member());
    bench.repairs(&question, Check::Route, &["rule preference 77"])?;
    Ok(())
}

#[test]
fn a_route_that_is_gone_is_named_and_comes_back() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.host().ip(&format!("route del 10.0.0.0/24 dev {DEVICE}"))?;
    assert!(!bench.reached(HTTP)?);
    let words = ["there is no route to 10.0.0.2", "eth0 has 10.0.0.11/24"];
    bench.repairs(&format!("{} --to {}", bench.http(), bench.member()), Check::Route, &words)?;
    assert!(bench.reached(HTTP)?);
    Ok(())
}

#[test]
fn an_interface_that_is_down_is_named_and_comes_up() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    bench.host().ip(&format!("link set {DEVICE} down"))?;
    let question = format!("{} --to {}", bench.http(), bench.member());
    bench.repairs(&question, Check::Route, &["eth0", "is down"])?;
    Ok(())
}

#[test]
fn a_missing_default_route_is_named() -> Result<()> {
    let lab = Lab::builder().families(Families::V4).backends(1).two_armed().start()?;
    let bench = Bench::in_lab(lab)?;
    let _server = bench.serve()?;
    let client = bench.lab.client_addr(elb_tests::address::Family::V4);
    let question = format!("--port {HTTP} --from {client} --to {}", bench.member());
    bench.clean(&question)?;
    let route = bench.host().ip("route show")?;
    let route = route.lines().find(|line| line.contains(" via ")).expect("a route by the router");
    bench.host().ip(&format!("route del {route}"))?;
    let finding = bench.names(&question, Check::Route, &["no default route"])?;
    // The gateway is the administrator's to know.
    let fix = finding.fix.expect("a fix").replace("GATEWAY", "10.0.0.1");
    bench.sh(&fix)?;
    bench.clean(&question)
}

#[test]
fn strict_reverse_path_filtering_is_named_and_loosened() -> Result<()> {
    let bench = Bench::new()?;
    let _server = bench.serve()?;
    // Answers leave by another interface than the one that has the address.
    bench.host().ip(&format!(
        "link add other type veth peer name far\n\
         link set other up\n\
         link set far up\n\
         address add 10.9.0.1/24 dev other\n\
         route add {}/32 dev other",
        bench.lb()
    ))?;
    bench.host().sysctl(&format!("ipv4/conf/{DEVICE}/rp_filter"), "1")?;
    assert!(!bench.reached(HTTP)?);
    let question = format!("{} --to {}", bench.http(), bench.member());
    let words = ["net.ipv4.conf.eth0.rp_filter is strict", "go out by other"];
    bench.repairs(&question, Check::Sysctls, &words)?;
    Ok(())
}
