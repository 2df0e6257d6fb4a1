//! What cannot be, or is done another way: shown, and nothing half-made.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use elb_tests::address::Family;

use crate::scene::*;

#[test]
fn a_set_up_that_cannot_be_changes_nothing() -> Result<()> {
    let bench = Bench::new()?;
    let before = bench.look()?;
    let [v4, _] = bench.vips();
    let member = bench.lab.member_addr(0, Family::V4);
    for (arguments, said) in [
        (
            format!("--vip {v4} --mode ipip --from any --interface none0"),
            "interface \"none0\" does not exist",
        ),
        (format!("--vip {v4} --mode ipip --from any --interface lo"), "do not come in by lo"),
        (format!("--vip {v4} --mode ipip --from any"), "there is no default route"),
        (
            format!("--vip {member} --mode ipip --from any --interface {DEVICE}"),
            "is on interface \"eth0\"",
        ),
        (format!("--vip 127.0.0.1 --mode l2 --interface {DEVICE}"), "a loopback address"),
        (format!("--vip {v4} --mode ipip --interface {DEVICE}"), "need --from"),
        (format!("--vip {v4} --mode gue --interface {DEVICE}"), "need --from"),
        (format!("--vip {v4} --mode l2 --from any --interface {DEVICE}"), "leave it out"),
    ] {
        let error = bench.refused(&format!("up {arguments}"))?;
        assert!(error.contains(said), "{error}");
        assert_eq!(bench.look()?, before, "{arguments}");
    }
    let elsewhere = up_with(&bench, v4, bench.lab.files());
    let error = refusal(elsewhere)?;
    assert!(error.contains("is not in a BPF file system"), "{error}");
    assert_eq!(bench.look()?, before);
    Ok(())
}

#[test]
fn a_step_that_fails_takes_back_those_before_it() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    // The program of another owner is in the way: the last step fails.
    let _other = elb_tests::xdp::XdpPass::attach(bench.host(), &[DEVICE])?;
    let before = bench.look()?;
    let both = list(&[v4, v6]);
    let error = bench.refused(&format!("up {both} --mode ipip --from any --interface {DEVICE}"))?;
    assert!(error.contains("already carries another XDP program"), "{error}");
    assert!(error.contains("undone: removed 10.0.0.100/32 from lo"), "{error}");
    assert!(!error.contains("not undone"), "{error}");
    assert_eq!(bench.look()?, before);

    // What an earlier call did stays.
    bench.up("l2", &[v4])?;
    let with_one = bench.look()?;
    let error = bench.refused(&format!("up {both} --mode ipip --from any --interface {DEVICE}"))?;
    assert!(error.contains("undone: removed fd00::100/128 from lo"), "{error}");
    assert_eq!(bench.look()?, with_one);
    bench.elb("down --all")?;
    assert_eq!(bench.look()?, before);
    Ok(())
}

#[test]
fn the_network_stack_runs_the_program_where_it_is_configured() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, _] = bench.vips();
    let up = format!("up --vip {v4} --mode ipip --from any --interface {DEVICE}");
    let said = bench.elb(&format!("{up} --attach generic"))?;
    assert!(said.ends_with("attached decap to eth0 (generic)\n"), "{said}");
    assert_eq!(bench.attached()?.as_deref(), Some("generic decap"));
    assert!(bench.serves(Family::V4, v4)?);
    let said = bench.elb(&up)?;
    assert!(said.ends_with("decap is attached to eth0 already (generic)\n"), "{said}");
    let error = bench.refused(&format!("{up} --attach native"))?;
    assert!(error.contains("in generic mode"), "{error}");
    assert!(bench.serves(Family::V4, v4)?);
    Ok(())
}

#[test]
fn a_driver_that_cannot_is_reported_and_replaced_by_the_network_stack() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, _] = bench.vips();
    // Bridges cannot run programs themselves.
    let member = bench.lab.member_addr(0, Family::V4);
    bench.host().ip(&format!(
        "link add br0 type bridge forward_delay 0\n\
         link set {DEVICE} master br0\n\
         address del {member}/24 dev {DEVICE}\n\
         address add {member}/24 dev br0\n\
         link set br0 up"
    ))?;
    let up = format!("up --vip {v4} --mode ipip --from any --interface br0");
    let before = bench.look()?;
    let error = bench.refused(&format!("{up} --attach native"))?;
    assert!(error.contains("\"br0\" cannot run XDP in its driver: Operation not supp"), "{error}");
    assert!(bench.look()? == before, "{error}");

    let said = bench.elb(&up)?;
    assert!(said.contains("(generic, which is slower: the driver refused native XDP:"), "{said}");
    assert!(bench.serves(Family::V4, v4)?);
    Ok(())
}

#[test]
fn the_interface_of_the_default_route_is_taken() -> Result<()> {
    let bench = Bench::new()?;
    let gateway = bench.lab.client_addr(Family::V4);
    bench.host().ip(&format!("route add default via {gateway} dev {DEVICE} metric 5"))?;
    let said = bench.elb(&format!("up --vip {} --mode ipip --from 10.0.0.2", bench.lab.vip4()))?;
    assert!(said.ends_with("attached decap to eth0 (native)\n"), "{said}");
    Ok(())
}

#[test]
fn two_set_ups_do_not_share_a_host() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, v6] = bench.vips();
    bench.up("ipip", &[v4])?;
    let before = bench.look()?;
    let second = up_with(&bench, v6, &bench.lab.pins().join("second"));
    let error = refusal(second)?;
    assert!(error.contains("has a set-up with pin_dir"), "{error}");
    assert_eq!(bench.look()?, before);
    Ok(())
}

#[test]
fn a_broken_state_file_is_kept_and_reported() -> Result<()> {
    let bench = Bench::new()?;
    let [v4, _] = bench.vips();
    bench.up("ipip", &[v4])?;
    let state = files(&bench.state_dir()).remove(0);
    let text = fs::read_to_string(&state)?;
    fs::write(&state, &text[..20])?;
    let broken = bench.look()?;
    for arguments in
        [format!("up --vip {v4} --mode ipip --from any --interface {DEVICE}"), "down --all".into()]
    {
        let error = bench.refused(&arguments)?;
        assert!(error.contains("cannot be understood"), "{error}");
        assert_eq!(bench.look()?, broken);
        assert_eq!(fs::read_to_string(&state)?, text[..20]);
    }
    fs::write(&state, text)?;
    bench.elb("down --all")?;
    assert_eq!(bench.attached()?, None);
    Ok(())
}

/// A set-up with another directory of pins.
fn up_with(bench: &Bench, vip: IpAddr, pin_dir: &Path) -> Command {
    let mut command = bench.host().command(&bench.elb);
    command.args(["backend", "up", "--mode", "ipip", "--from", "any", "--interface", DEVICE]);
    command.arg("--vip").arg(vip.to_string()).arg("--pin-dir").arg(pin_dir);
    command.arg("--state-dir").arg(bench.state_dir());
    command
}
