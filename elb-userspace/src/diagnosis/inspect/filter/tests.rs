//! Rules as the programs print them, an oracle for simple rulesets, and hostile text.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::condition::Condition;
use super::field::{Field, Span};
use super::ruleset::{Base, Chain, Hook, Rule, RuleAction, Statement, Table};
use super::*;

fn packet(source: &str, port: u16) -> FilterPacket {
    FilterPacket {
        direction: Direction::In,
        v6: source.contains(':'),
        source: Some(source.parse().unwrap()),
        destination: Some(
            if source.contains(':') { "fd00::11" } else { "10.0.0.11" }.parse().unwrap(),
        ),
        protocol: 6,
        source_port: Some(PortInterval::EPHEMERAL),
        destination_port: Some(PortInterval(port, port)),
        tcp_flags: Some(2),
        icmp_type: None,
        state: TrackingState::New,
        interface: Some("eth0".to_owned()),
        translated: Some(false),
        mark: Some(0),
        way_back: Some(true),
    }
}

/// Objects as `nft --json` prints them: an input chain with one rule.
fn listing(policy: &str, expressions: &Value) -> Ruleset {
    let json = json!({"nftables": [
        {"metainfo": {"json_schema_version": 1}},
        {"table": {"family": "inet", "name": "filter", "handle": 1}},
        {"set": {"family": "inet", "name": "bad", "table": "filter", "type": "ipv4_addr", "elem": [
            {"range": ["1.1.1.1", "1.1.1.9"]}, {"prefix": {"addr": "10.0.0.0", "len": 24}},
            {"elem": {"val": "192.0.2.7", "timeout": 3600}}]}},
        {"map": {"family": "inet", "name": "verdicts", "table": "filter", "type": "inet_service",
            "map": "verdict", "elem": [[80, {"drop": null}], [443, {"accept": null}]]}},
        {"chain": {"family": "inet", "table": "filter", "name": "sub", "handle": 2}},
        {"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 3,
            "type": "filter", "hook": "input", "prio": 0, "policy": policy}},
        {"rule": {"family": "inet", "table": "filter", "chain": "sub", "handle": 4,
            "expr": [{"drop": null}]}},
        {"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 7,
            "expr": expressions}}
    ]});
    let text =
        "table inet filter { # handle 1\n\tchain input { # handle 3\n\t\tmy words # handle 7\n";
    nft::read(json.to_string().as_bytes(), text).unwrap().rules
}

fn is_blocked(rules: &Ruleset, packet: &FilterPacket) -> bool {
    match judge(rules, packet) {
        Fate::Passes => false,
        Fate::Blocked(_) => true,
        other @ (Fate::Doubtful(_) | Fate::Translated(_)) => panic!("{other:?}"),
    }
}

fn field(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

fn is(left: &Value, op: &str, right: &Value) -> Value {
    json!({"match": {"op": op, "left": left, "right": right}})
}

#[test]
fn matches_that_hold() {
    let (saddr, dport, flags) =
        (field("ip", "saddr"), field("tcp", "dport"), field("tcp", "flags"));
    let state = json!({"ct": {"key": "state"}});
    let meta = |key: &str| json!({"meta": {"key": key}});
    for (left, op, right) in [
        (&saddr, "==", json!("10.0.0.2")),
        (&saddr, "==", json!({"prefix": {"addr": "10.0.0.0", "len": 8}})),
        (&saddr, "==", json!("@bad")),
        (&saddr, "!=", json!("10.0.0.3")),
        (&dport, "==", json!({"set": [22, {"range": [79, 81]}]})),
        (&dport, "<", json!(81)),
        (&dport, ">=", json!(80)),
        (&field("th", "dport"), "==", json!(80)),
        (&field("tcp", "sport"), ">", json!(1023)),
        (&field("ip", "protocol"), "==", json!("tcp")),
        (&meta("l4proto"), "==", json!({"set": ["tcp", "udp"]})),
        (&meta("nfproto"), "==", json!("ipv4")),
        (&meta("iifname"), "==", json!("eth*")),
        (&meta("iif"), "==", json!({"set": ["lo", "eth0"]})),
        (&meta("mark"), "==", json!(0)),
        (&json!({"&": [meta("mark"), 255]}), "!=", json!(1)),
        (&meta("pkttype"), "!=", json!("broadcast")),
        (&json!({"ct": {"key": "direction"}}), "==", json!("original")),
        (&json!({"ct": {"key": "status"}}), "!=", json!("dnat")),
        (&state, "in", json!("new")),
        (&state, "in", json!(["established", "new"])),
        (&state, "==", json!({"set": ["invalid", "new"]})),
        (&flags, "in", json!("syn")),
        (&flags, "!", json!("ack")),
        (&json!({"&": [flags, ["fin", "syn", "rst", "ack"]]}), "==", json!("syn")),
        (&json!({"&": [flags, {"|": ["syn", "ack"]}]}), "==", json!("syn")),
        (&json!({"fib": {"result": "type", "flags": ["daddr"]}}), "==", json!("local")),
        (&json!({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}), "!=", json!(false)),
        (
            &json!({"concat": [saddr, dport]}),
            "==",
            json!({"set": [{"concat": [
            {"prefix": {"addr": "10.0.0.0", "len": 8}}, {"range": [80, 90]}]}]}),
        ),
    ] {
        let rules =
            listing("accept", &json!([is(left, op, &right), {"counter": null}, {"drop": null}]));
        assert!(is_blocked(&rules, &packet("10.0.0.2", 80)), "{left} {op} {right}");
        let reverse = match op {
            "==" => "!=",
            "!=" => "==",
            _ => continue,
        };
        let rules = listing("accept", &json!([is(left, reverse, &right), {"drop": null}]));
        assert!(!is_blocked(&rules, &packet("10.0.0.2", 80)), "{left} {reverse} {right}");
    }
}

#[test]
fn a_field_that_a_packet_lacks_holds_in_no_way() {
    for op in ["==", "!="] {
        for (left, right) in [
            (field("ip6", "saddr"), json!("fd00::2")),
            (field("udp", "dport"), json!(80)),
            (field("icmp", "type"), json!("echo-request")),
        ] {
            let rules = listing("accept", &json!([is(&left, op, &right), {"drop": null}]));
            assert!(!is_blocked(&rules, &packet("10.0.0.2", 80)), "{left} {op} {right}");
        }
    }
}

#[test]
fn verdict_maps_jumps_and_policies() {
    let dport = field("tcp", "dport");
    let map = |data: Value| json!([{"vmap": {"key": dport, "data": data}}]);
    let set = json!({"set": [[80, {"jump": {"target": "sub"}}], [81, {"return": null}]]});
    for (rules, blocked) in [
        (listing("accept", &map(json!("@verdicts"))), [true, false]),
        (listing("drop", &map(json!("@verdicts"))), [true, false]),
        (listing("accept", &map(set.clone())), [true, false]),
        (listing("drop", &map(set)), [true, true]),
        (listing("drop", &json!([{"accept": null}])), [false, false]),
        (listing("accept", &json!([{"goto": {"target": "sub"}}])), [true, true]),
    ] {
        for (port, blocked) in [80, 443].into_iter().zip(blocked) {
            assert_eq!(is_blocked(&rules, &packet("10.0.0.2", port)), blocked, "{rules:?}");
        }
    }
}

#[test]
fn what_is_not_understood_is_doubtful_and_named() {
    for part in [
        json!({"limit": {"rate": 5, "per": "second"}}),
        json!({"xt": null}),
        json!({"something new": {"a": 1}}),
        json!("no object"),
        is(&json!({"rt": {"key": "classid"}}), "==", &json!(1)),
        is(&field("tcp", "dport"), "==", &json!("@no such set")),
        is(&field("tcp", "dport"), "==", &json!({"strange": 1})),
        is(&field("tcp", "dport"), "~", &json!(80)),
    ] {
        let rules = listing("accept", &json!([part, {"drop": null}]));
        let fate = judge(&rules, &packet("10.0.0.2", 80));
        let Fate::Doubtful(places) = fate else { panic!("{part}: {fate:?}") };
        let rule = &rules.chains[places[0].chain].rules[places[0].rule.unwrap()];
        assert_eq!((rule.number, rule.text.as_str()), (7, "my words"));
    }
    // A jump to no chain, or in a circle.
    for target in ["nowhere", "input"] {
        let rules = listing("accept", &json!([{"jump": {"target": target}}]));
        assert!(matches!(judge(&rules, &packet("10.0.0.2", 80)), Fate::Doubtful(_)));
    }
}

#[test]
fn addresses_that_are_changed_are_reported() {
    let rules = listing("accept", &json!([{"redirect": {"port": 8080}}]));
    assert!(matches!(judge(&rules, &packet("10.0.0.2", 80)), Fate::Translated(_)));
}

/// By which chains such a packet goes on, and as what, is not followed.
#[test]
fn what_is_led_elsewhere_is_not_judged_further() {
    let text = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 80 -j DNAT \
                --to-destination 172.31.0.2:8000\nCOMMIT\n\
                *filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    let rules = iptables::read(text, "iptables-legacy", Family::Ip, |_| true);
    assert!(matches!(judge(&rules, &packet("10.0.0.2", 80)), Fate::Translated(_)));
    assert!(matches!(judge(&rules, &packet("10.0.0.2", 81)), Fate::Blocked(_)));
}

fn saved(rules: &str) -> Ruleset {
    let text = format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:web - [0:0]\n{rules}\nCOMMIT\n"
    );
    iptables::read(&text, "iptables-legacy", Family::Ip, |_| true)
}

#[test]
fn rules_of_iptables_that_hold() {
    for rule in [
        "-A INPUT -s 10.0.0.2/32 -p tcp -m tcp --dport 80 -j DROP",
        "-A INPUT -s 10.0.0.0/255.0.0.0 -j REJECT --reject-with icmp-port-unreachable",
        "-A INPUT ! -s 10.0.0.3/32 -j DROP",
        "-A INPUT -p tcp -m multiport --dports 22,79:81 -j DROP",
        "-A INPUT -p tcp ! --dport 81 -j DROP",
        "-A INPUT -i eth+ ! -o eth0 -j DROP",
        "-A INPUT -m conntrack --ctstate INVALID,NEW -j DROP",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP",
        "-A INPUT -p tcp -m tcp --syn -j DROP",
        "-A INPUT -m comment --comment \"no one, \\\"never\\\" -j ACCEPT\" -j DROP",
        "-A INPUT -m iprange --src-range 10.0.0.1-10.0.0.9 -j DROP",
        "-A INPUT -m addrtype --dst-type LOCAL -j DROP",
        "-A INPUT -m mark --mark 0x0/0xff -j DROP",
        "-A INPUT ! -f -j DROP",
        "-A web -j DROP\n-A INPUT -j LOG --log-prefix x\n-A INPUT -g web",
        "-A web -p udp -j ACCEPT\n-A web -j RETURN\n-A INPUT -j web\n-A INPUT -j DROP",
    ] {
        assert!(is_blocked(&saved(rule), &packet("10.0.0.2", 80)), "{rule}");
    }
    for rule in [
        "-A INPUT -p udp -j DROP",
        "-A INPUT -p tcp --dport 81 -j DROP",
        "-A INPUT -i lo -j DROP",
        "-A INPUT -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -p icmp -m icmp --icmp-type 8 -j DROP",
        "-A INPUT -m mark --mark 0x1/0xff -j DROP",
    ] {
        assert!(!is_blocked(&saved(rule), &packet("10.0.0.2", 80)), "{rule}");
    }
    for rule in [
        "-A INPUT -m recent --update --seconds 60 --name x --rsource -j DROP",
        "-A INPUT -m set --match-set bad src -j DROP",
        "-A INPUT -m limit --limit 5/sec -j DROP",
        "-A INPUT -j NFQUEUE --queue-num 1",
    ] {
        let fate = judge(&saved(rule), &packet("10.0.0.2", 80));
        assert!(matches!(fate, Fate::Doubtful(_)), "{rule}: {fate:?}");
    }
}

/// A ruleset in the plainest form: what the oracle reads, and what rules are made of.
#[derive(Clone, Debug)]
struct Plain {
    drops: bool,
    chains: Vec<Vec<PlainRule>>,
}

#[derive(Clone, Debug)]
struct PlainRule {
    net: (Ipv4Addr, u8),
    ports: (u16, u16),
    not: bool,
    action: u8,
}

impl Plain {
    fn rules(&self) -> Ruleset {
        let table = Table { tool: Tool::Nft, family: Family::Ip, name: "t".to_owned() };
        let chains = self.chains.iter().enumerate().map(|(index, rules)| Chain {
            table: table.clone(),
            name: index.to_string(),
            base: (index == 0).then_some(Base {
                hook: Hook::Input,
                priority: 0,
                drops: self.drops,
                first_only: false,
                devices: Vec::new(),
            }),
            rules: rules.iter().map(|rule| rule.rule(index, self.chains.len())).collect(),
        });
        Ruleset { chains: chains.collect(), ..Ruleset::default() }
    }

    /// Whether a packet is dropped, as a reader of the manual would find out.
    fn drops(&self, source: u32, port: u16) -> bool {
        self.walk(0, source, port).unwrap_or(self.drops)
    }

    fn walk(&self, chain: usize, source: u32, port: u16) -> Option<bool> {
        for rule in &self.chains[chain] {
            let (net, length) = rule.net;
            let shift = 32 - u32::from(length);
            let in_net = shift == 32 || (u32::from(net) ^ source) >> shift == 0;
            let (low, high) = rule.ports;
            if in_net == rule.not || !(low..=high).contains(&port) {
                continue;
            }
            match rule.kind(chain, self.chains.len()) {
                RuleAction::Accept => return Some(false),
                RuleAction::Drop => return Some(true),
                RuleAction::Return => return None,
                RuleAction::Jump(name) => {
                    if let Some(decided) = self.walk(name.parse().unwrap(), source, port) {
                        return Some(decided);
                    }
                }
                RuleAction::Goto(name) => return self.walk(name.parse().unwrap(), source, port),
                RuleAction::Reject | RuleAction::Translate | RuleAction::Unknown => unreachable!(),
            }
        }
        None
    }
}

impl PlainRule {
    /// Chains jump to later ones only.
    fn kind(&self, chain: usize, chains: usize) -> RuleAction {
        match self.action % 5 {
            0 => RuleAction::Accept,
            1 => RuleAction::Drop,
            3 if chain + 1 < chains => RuleAction::Jump((chain + 1).to_string()),
            4 if chain + 1 < chains => RuleAction::Goto((chains - 1).to_string()),
            _ => RuleAction::Return,
        }
    }

    fn rule(&self, chain: usize, chains: usize) -> Rule {
        let net = ipnet::IpNet::new(self.net.0.into(), self.net.1).unwrap();
        let numbers = |address: IpAddr| packet::number(address);
        let span = Span::Numbers(numbers(net.network()), numbers(net.broadcast()));
        let source = Condition::is(Field::Source4, vec![span]).negate(self.not);
        let (low, high) = self.ports;
        let ports = vec![Span::Numbers(low.into(), high.into())];
        let port = Condition::is(Field::DestinationPort(Some(6)), ports);
        let statements = vec![
            Statement::When(source),
            Statement::When(port),
            Statement::Then(self.kind(chain, chains)),
        ];
        Rule { number: 0, text: String::new(), statements }
    }
}

/// Few addresses and ports, so that rules and packets meet.
fn address() -> impl Strategy<Value = u32> {
    (0_u32..8).prop_map(|last| 0x0a00_0000 | last)
}

fn plain() -> impl Strategy<Value = Plain> {
    let ports = (78_u16..84, 0_u16..4).prop_map(|(low, more)| (low, low + more));
    let rule = (address(), 28_u8..=32, ports, any::<bool>(), any::<u8>()).prop_map(
        |(net, length, ports, not, action)| PlainRule {
            net: (net.into(), length),
            ports,
            not,
            action,
        },
    );
    let chains = prop::collection::vec(prop::collection::vec(rule, 0..5), 1..4);
    (any::<bool>(), chains).prop_map(|(drops, chains)| Plain { drops, chains })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn simple_rulesets_do_what_the_oracle_says(plain in plain(), source in address(), port in 78_u16..84) {
        let packet = packet(&Ipv4Addr::from(source).to_string(), port);
        prop_assert_eq!(is_blocked(&plain.rules(), &packet), plain.drops(source, port));
    }

    /// What is certain of a packet that is not wholly known is true of every such packet.
    #[test]
    fn certainty_holds_for_every_packet_that_it_may_be(plain in plain(), source in address()) {
        let rules = plain.rules();
        let known = packet(&Ipv4Addr::from(source).to_string(), 80);
        let no_port = FilterPacket { destination_port: Some(PortInterval(78, 83)), ..known.clone() };
        let no_source = FilterPacket { source: None, ..known };
        let by_port: Vec<bool> = (78..84).map(|port| plain.drops(source, port)).collect();
        let by_source: Vec<bool> = (0..8).map(|last| plain.drops(0x0a00_0000 | last, 80)).collect();
        for (packet, drops) in [(no_port, by_port), (no_source, by_source)] {
            match judge(&rules, &packet) {
                Fate::Passes => prop_assert!(drops.iter().all(|drop| !drop)),
                Fate::Blocked(_) => prop_assert!(drops.iter().all(|drop| *drop)),
                Fate::Doubtful(places) => prop_assert!(!places.is_empty()),
                Fate::Translated(_) => prop_assert!(false),
            }
        }
    }

    #[test]
    fn hostile_text_of_iptables_does_not_make_it_panic(
        text in "(\\*filter\n|:[A-Z]{0,6} (ACCEPT|DROP|-)|-A INPUT|-[spijmg] | ?--[a-z-]{1,8} |[!\"\\\\/,:0-9.a-z]{0,6}| |\n){0,40}",
    ) {
        judge(&iptables::read(&text, "iptables-legacy", Family::Ip, |_| true), &packet("10.0.0.2", 80));
    }

    #[test]
    fn hostile_json_of_nft_does_not_make_it_panic(expressions in json_value(), listing_text in ".{0,80}") {
        let rules = listing("accept", &json!([expressions.clone(), {"drop": null}]));
        judge(&rules, &packet("10.0.0.2", 80));
        judge(&rules, &packet("fd00::2", 80));
        let _ = nft::read(json!({"nftables": [expressions]}).to_string().as_bytes(), &listing_text);
    }
}

/// Values made of the words that a listing has.
fn json_value() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "match", "op", "left", "right", "==", "in", "!=", "<", "payload", "protocol", "field",
        "tcp", "ip", "dport", "saddr", "flags", "set", "range", "prefix", "addr", "len", "concat",
        "vmap", "key", "data", "jump", "target", "input", "@bad", "meta", "ct", "state", "&", "|",
        "elem", "val", "rule", "chain", "family", "inet", "table", "filter", "name", "hook",
        "10.0.0.0", "*", "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        words.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((words.clone(), inner), 0..4).prop_map(|pairs| {
                Value::Object(
                    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}
