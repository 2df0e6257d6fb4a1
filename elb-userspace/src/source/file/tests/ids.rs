//! Ids of resources: given, derived, and taken.

use super::*;
use crate::model::ResourceId;

const ONE: &str = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b";

/// The file with an id for each of these, which are lines of it.
fn with_ids(lines: &[&str]) -> String {
    let file = format!("{SMALL}[[ipgroup]]\nname = \"office\"\nip_list = []\n");
    lines.iter().fold(file, |text, line| {
        assert!(text.contains(line), "{line}");
        text.replace(line, &format!("{line}\nid = \"{ONE}\""))
    })
}

/// All ids of a file: of the load balancer, its listeners, pools, members, the monitor and the group.
fn ids(text: &str) -> Vec<ResourceId> {
    let model = parse("elb.toml", text).unwrap().model;
    let lb = &model.load_balancers()[0];
    let pools = model.pools().iter();
    let members = pools.clone().flat_map(|pool| &pool.members).map(|member| member.id);
    let monitors = pools.clone().filter_map(|pool| Some(pool.healthmonitor.as_ref()?.id));
    let listeners = lb.listeners.iter().map(|listener| listener.id);
    let groups = model.ip_groups().iter().map(|group| group.id);
    let all = [lb.id].into_iter().chain(listeners).chain(pools.map(|pool| pool.id));
    all.chain(members).chain(monitors).chain(groups).collect()
}

#[test]
fn ids_follow_from_names_unless_they_are_given() {
    let derived = ids(&with_ids(&[]));
    assert_eq!(derived.len(), 9);
    assert_eq!(derived, ids(&with_ids(&[])), "at every start");
    // Of one kind and another it may be the same.
    let heads = ["name = \"lb\"", "name = \"http\"", "name = \"b1\"", "[pool.healthmonitor]"];
    let given = ids(&with_ids(&[&heads[..], &["name = \"office\""]].concat()));
    let one: ResourceId = ONE.parse().unwrap();
    let is_given: Vec<bool> = given.iter().map(|id| *id == one).collect();
    // The load balancer, its first listener, the first member, the monitor, the group.
    assert_eq!(is_given, [true, true, false, false, false, true, false, true, true]);
    let stay: Vec<bool> = given.iter().zip(&derived).map(|(new, old)| new == old).collect();
    // The other listener follows from the id of the load balancer.
    assert_eq!(stay, [false, false, false, true, true, false, true, false, false]);
}

#[test]
fn a_member_is_the_same_under_any_name() {
    let renamed = with_ids(&[]).replace("name = \"b1\"", "name = \"other\"");
    assert_eq!(ids(&renamed), ids(&with_ids(&[])));
    let elsewhere = with_ids(&[]).replace("10.0.0.11", "10.0.0.12");
    assert_ne!(ids(&elsewhere), ids(&with_ids(&[])));
}

fn refused(text: &str) -> String {
    parse("elb.toml", text).unwrap_err().to_string()
}

#[test]
fn an_id_of_two_is_refused_by_the_names_of_both() {
    let fix = "give one of them another id, or none: it then follows from its name";
    for (lines, object, what) in [
        (
            ["name = \"http\"", "name = \"dns\"\nprotocol = \"UDP\"\nprotocol_port"],
            "load balancer \"lb\", listener \"dns\"",
            "of listener lb/dns is that of listener lb/http",
        ),
        (
            ["name = \"web\"", "name = \"dns\"\nprotocol = \"UDP\"\nforwarding = \"l2\""],
            "pool \"dns\"",
            "of pool \"dns\" is that of pool \"web\"",
        ),
        (
            ["address = \"10.0.0.11\"", "address = \"10.0.0.21\""],
            "pool \"dns\", member \"10.0.0.21:53\"",
            "of member dns/10.0.0.21:53 is that of member web/b1",
        ),
    ] {
        let [first, second] = lines;
        let (from, to) = match second.split_once('\n') {
            Some((name, rest)) => (second.to_owned(), format!("{name}\nid = \"{ONE}\"\n{rest}")),
            None => (second.to_owned(), format!("{second}\nid = \"{ONE}\"")),
        };
        let text = with_ids(&[first]);
        assert!(text.contains(&from), "{from}");
        let said = refused(&text.replace(&from, &to));
        assert!(said.contains(&format!(": {object}: id {ONE} {what}; {fix}")), "{said}");
        assert_eq!(said.lines().filter(|line| !line.contains("warning")).count(), 1, "{said}");
    }
}

/// A pool has the id that follows from the name of another.
#[test]
fn a_derived_id_may_be_taken_too() {
    let dns = ResourceId::of_pool("dns");
    let text = with_ids(&["name = \"web\""]).replace(ONE, &dns.to_string());
    let said = refused(&text);
    assert!(said.contains("of pool \"dns\" is that of pool \"web\""), "{said}");
}

#[test]
fn what_is_no_uuid_is_refused_with_a_way_out() {
    let said = refused(&with_ids(&["name = \"http\""]).replace(ONE, "web-1"));
    let what = "listener \"http\": id \"web-1\" is not a UUID; use a UUID as `uuidgen` prints it, or \
                leave id out";
    assert!(said.contains(what), "{said}");
}
