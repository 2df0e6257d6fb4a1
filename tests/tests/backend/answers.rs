//! `--mode nat`: a table and rules for answers of a service, by port, and nothing left of them.

use anyhow::Result;
use elb_tests::address::Family;
use serde_json::Value;

use crate::scene::*;

const UP: &str = "up --mode nat --via 10.0.0.2 --via fd00::2";

/// Rules of both versions of IP, without those that every host has.
fn rules(bench: &Bench) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for version in ["-4", "-6"] {
        let found: Value = serde_json::from_str(&ip(bench.host(), &[version, "rule", "show"])?)?;
        let own = found.as_array().into_iter().flatten();
        let own = own.filter(|rule| rule["priority"] == 91);
        all.extend(own.map(ToString::to_string));
    }
    Ok(all)
}

fn json(bench: &Bench, arguments: &str) -> Result<Value> {
    let said = bench.elb(&format!("{arguments} -o json"))?;
    elb_tests::printed::value(&["backend", "up"], &said)
}

#[test]
fn up_twice_changes_nothing_and_down_leaves_nothing() -> Result<()> {
    let bench = Bench::new()?;
    bench.host().sysctl("ipv4/conf/all/rp_filter", "1")?;
    let before = bench.look()?;
    let up = format!("{UP} --port 8080 --port 53/udp");
    assert_eq!(
        bench.elb(&up)?,
        "set net.ipv4.conf.eth0.rp_filter from 0 to 2\n\
         set the default route of table 3786473472 to 10.0.0.2\n\
         added ip rule from 10.0.0.10 iif lo ipproto tcp sport 8080 lookup 3786473472\n\
         added ip rule iif lo ipproto udp sport 53 lookup 3786473472\n\
         set the default route of table 3786473472 to fd00::2\n\
         added ip -6 rule from fd00::10 iif lo ipproto tcp sport 8080 lookup 3786473472\n\
         added ip -6 rule iif lo ipproto udp sport 53 lookup 3786473472\n"
            .replace("10.0.0.10", &bench.lab.member_addr(0, Family::V4).to_string())
            .replace("fd00::10", &bench.lab.member_addr(0, Family::V6).to_string())
    );
    let with = (bench.look()?, rules(&bench)?);
    let again = json(&bench, &up)?;
    assert_eq!(again["changed"], Value::Bool(false), "{again}");
    assert_eq!((bench.look()?, rules(&bench)?), with);

    let status = bench.elb("status -o json")?;
    let status = elb_tests::printed::value(&["backend", "status"], &status)?;
    assert_eq!(status["answers"]["ports"], serde_json::json!(["8080/tcp", "53/udp"]));
    assert_eq!(status["problems"], serde_json::json!([]));

    // A port more, and each goes by itself.
    assert_eq!(json(&bench, &format!("{UP} --port 443"))?["changed"], Value::Bool(true));
    assert_eq!(rules(&bench)?.len(), 6);
    let one = bench.elb("down --port 8080 --port 22")?;
    assert!(one.contains("answers of 22/tcp are not led"), "{one}");
    assert_eq!(rules(&bench)?.len(), 4);
    bench.elb(&format!("down {}", &UP[3..].replace("--mode nat", "--mode nat --port 443")))?;
    bench.elb("down --port 53/udp")?;
    assert_eq!((bench.look()?, rules(&bench)?.len()), (before, 0));
    Ok(())
}

#[test]
fn where_the_default_route_leads_there_nothing_is_needed() -> Result<()> {
    let bench = Bench::new()?;
    bench
        .host()
        .ip("route add default via 10.0.0.2 dev eth0\nroute add default via fd00::2 dev eth0")?;
    let before = bench.look()?;
    let said = bench.elb(UP)?;
    assert_eq!(
        said,
        "the default route leads to 10.0.0.2 already: answers go there, nothing is needed\n\
         the default route leads to fd00::2 already: answers go there, nothing is needed\n"
    );
    assert_eq!((bench.look()?.routes, rules(&bench)?.len()), (before.routes.clone(), 0));
    assert!(!bench.elb("status")?.contains("problem"));
    // Which another route may change later.
    bench.host().ip("route replace default via 10.0.0.1 dev eth0")?;
    let status = bench.refused_status()?;
    assert!(status.contains("default route does not lead to 10.0.0.2 any more"), "{status}");
    bench.host().ip("route replace default via 10.0.0.2 dev eth0")?;
    bench.elb("down --all")?;
    assert_eq!(bench.look()?, before);
    Ok(())
}

#[test]
fn what_is_gone_is_a_problem_and_comes_back() -> Result<()> {
    let bench = Bench::new()?;
    let up = format!("{UP} --port 80");
    bench.elb(&up)?;
    bench.host().ip("rule del priority 91")?;
    let status = bench.refused_status()?;
    assert!(status.contains("the rule for them is gone"), "{status}");
    bench.elb(&up)?;
    assert!(!bench.elb("status")?.contains("problem"));
    // Another next hop, in the place of the one before.
    let said = bench.elb("up --mode nat --via 10.0.0.3 --port 80")?;
    assert!(said.contains("from 10.0.0.2 to 10.0.0.3"), "{said}");
    assert!(!bench.elb("status")?.contains("problem"));
    Ok(())
}

#[test]
fn next_to_virtual_addresses_each_goes_by_itself() -> Result<()> {
    let bench = Bench::new()?;
    let before = bench.look()?;
    bench.elb(&format!("{UP} --port 80"))?;
    let nat = (bench.look()?, rules(&bench)?);
    bench.up("l2", &bench.vips())?;
    let status = bench.elb("status")?;
    assert!(
        status.contains("answers of 80/tcp") && status.contains("virtual addresses"),
        "{status}"
    );
    bench.elb(&format!("down {}", list(&bench.vips())))?;
    assert_eq!((bench.look()?, rules(&bench)?), nat);
    bench.elb("down --all")?;
    assert_eq!((bench.look()?, rules(&bench)?.len()), (before, 0));
    Ok(())
}

#[test]
fn a_file_takes_the_place_of_what_is_set_up() -> Result<()> {
    let bench = Bench::new()?;
    let before = bench.look()?;
    bench.up("l2", &bench.vips())?;
    bench.elb(&format!("{UP} --port 80 --port 443"))?;
    let file = bench.lab.files().join("backend.toml");
    std::fs::write(&file, "mode = \"nat\"\nvia = [\"10.0.0.2\"]\nport = [8080]\n")?;
    let up = format!("up --config {}", file.display());
    bench.elb(&up)?;
    assert_eq!(rules(&bench)?.len(), 1);
    assert!(!bench.elb("status")?.contains("virtual addresses"));
    assert_eq!(json(&bench, &up)?["changed"], Value::Bool(false));
    bench.elb("down --all")?;
    assert_eq!((bench.look()?, rules(&bench)?.len()), (before, 0));
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_changed() -> Result<()> {
    let bench = Bench::new()?;
    let before = bench.look()?;
    let own = bench.lab.member_addr(0, Family::V4);
    for (arguments, words) in [
        ("--port 80".to_owned(), "--mode nat needs --via"),
        ("--via 10.0.0.2".to_owned(), "has no default route; name the ports"),
        ("--via 192.0.2.1 --port 80".to_owned(), "in no network of this host"),
        ("--via 192.0.2.1 --port 80 --interface eth0".to_owned(), "in no network of interface"),
        (format!("--via {own} --port 80"), "an address of this host itself"),
        ("--via 10.0.0.2 --via 10.0.0.3 --port 80".to_owned(), "leave one out"),
        ("--via fe80::1 --port 80 --interface eth0".to_owned(), "cannot be the next hop"),
        ("--via 10.0.0.2 --port 80 --vip 192.0.2.10".to_owned(), "--vip is not for --mode nat"),
        ("--via 10.0.0.2 --port 80 --mss 1440".to_owned(), "--mss is not for --mode nat"),
        ("--via 10.0.0.2 --port 80 --from 10.0.0.2".to_owned(), "--from is for --mode ipip"),
    ] {
        let error = bench.refused(&format!("up --mode nat {arguments}"))?;
        assert!(error.contains(words), "{arguments}: {error}");
    }
    let other = bench.refused("up --mode l2 --interface eth0 --vip 192.0.2.10 --via 10.0.0.2")?;
    assert!(other.contains("--via is not for --mode l2"), "{other}");
    assert_eq!((bench.look()?, rules(&bench)?.len()), (before, 0));
    Ok(())
}
