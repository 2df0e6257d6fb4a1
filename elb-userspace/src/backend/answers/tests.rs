//! What needs no kernel: which rules there are to be, and how they compare with the kernel's.

use rtnetlink::packet_route::rule::RuleAttribute;

use super::*;

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ports(texts: &[&str]) -> Vec<ServicePort> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn answers(via: &[&str], of: &[&str]) -> Answers {
    Answers { via: addresses(via), ports: ports(of) }
}

#[test]
fn a_rule_compares_the_source_of_tcp_but_not_of_udp() {
    let own = addresses(&["10.0.0.11", "10.0.0.12"]);
    let rules = AnswerRule::all(false, &own, &ports(&["8080", "53/udp", "8000-8010"]));
    let shown: Vec<String> = rules.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "ip rule from 10.0.0.11 iif lo ipproto tcp sport 8080 lookup 3786473472",
            "ip rule from 10.0.0.12 iif lo ipproto tcp sport 8080 lookup 3786473472",
            "ip rule iif lo ipproto udp sport 53 lookup 3786473472",
            "ip rule from 10.0.0.11 iif lo ipproto tcp sport 8000-8010 lookup 3786473472",
            "ip rule from 10.0.0.12 iif lo ipproto tcp sport 8000-8010 lookup 3786473472",
        ]
    );
    let v6 = AnswerRule::all(true, &addresses(&["fd00::11"]), &ports(&["80"]));
    assert_eq!(
        v6[0].to_string(),
        "ip -6 rule from fd00::11 iif lo ipproto tcp sport 80 lookup 3786473472"
    );
}

#[test]
fn a_rule_is_found_among_those_of_the_kernel() {
    let rules = AnswerRule::all(false, &addresses(&["10.0.0.11"]), &ports(&["80", "53/udp"]));
    for rule in &rules {
        let mut found = rule.message();
        // What the kernel reports in addition.
        found.attributes.push(RuleAttribute::SuppressPrefixLen(u32::MAX));
        assert!(rule.is(&found));
        assert_eq!(read(&found), Some(*rule));
        assert_eq!(rules.iter().filter(|other| other.is(&found)).count(), 1);
        // As a kernel before 4.17 takes it.
        let is_port = |one: &RuleAttribute| matches!(one, RuleAttribute::SourcePortRange(_));
        found.attributes.retain(|attribute| !is_port(attribute));
        assert!(!rule.is(&found));
        assert_eq!(read(&found), None);
    }
}

#[test]
fn answers_are_added_to_those_before_or_take_their_place() {
    let before = answers(&["10.0.0.2", "fd00::2"], &["80"]);
    let given = answers(&["10.0.0.3"], &["80", "443"]);
    let both = answers(&["10.0.0.3", "fd00::2"], &["80", "443"]);
    assert_eq!(Answers::next(Some(&before), &given, false), both);
    assert_eq!(Answers::next(Some(&before), &given, true), given);
    assert_eq!(Answers::next(None, &given, false), given);
    assert_eq!(Answers::next(Some(&before), &Answers::default(), false), before);
    assert!(Answers::next(Some(&before), &Answers::default(), true).is_empty());
}

#[test]
fn only_one_unicast_address_of_a_version_is_a_next_hop() {
    assert!(check(&addresses(&["10.0.0.2", "fd00::2"])).is_ok());
    for text in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.0.1", "fe80::1"] {
        let error = check(&addresses(&[text])).unwrap_err();
        assert!(matches!(error, BackendError::NoGateway(_)), "{text}: {error}");
    }
    let two = check(&addresses(&["10.0.0.2", "fd00::2", "10.0.0.3"])).unwrap_err();
    assert!(two.to_string().contains("as 10.0.0.2 and as 10.0.0.3"), "{two}");
}

#[test]
fn the_next_hop_is_in_the_network_of_an_address() {
    let is_in = |own: &str, prefix, other: &str| {
        covers(own.parse().unwrap(), prefix, other.parse().unwrap())
    };
    assert!(is_in("10.0.0.11", 24, "10.0.0.2") && is_in("fd00::11", 64, "fd00::2"));
    assert!(!is_in("10.0.0.11", 24, "10.0.1.2") && !is_in("10.0.0.11", 24, "fd00::2"));
}
