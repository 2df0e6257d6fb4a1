//! IP groups, limits and ranges of ports: what is read, and what is said about wrong ones.

use super::*;
use crate::model::ipgroup::Cidr;
use crate::model::{AccessList, Ports};

const GROUP: &str = "[[ipgroup]]\nname = \"office\"\nip_list = [\"10.0.0.0/8\"]\n";

/// The small file, with lines in place of the port of listener "http", and more at its end.
fn text(listener: &str, more: &str) -> String {
    SMALL.replacen("protocol_port = 80", listener, 1) + more
}

/// The same, with a pool that takes any port.
fn any_port(listener: &str) -> String {
    text(listener, "")
        .replacen("type = \"HTTP\"", "type = \"HTTP\"\nmonitor_port = 80", 1)
        .replacen("forwarding = \"ipip\"", "forwarding = \"ipip\"\nany_port_enable = true", 1)
        .replacen("address = \"10.0.0.11\"\nprotocol_port = 80", "address = \"10.0.0.11\"", 1)
}

#[track_caller]
fn says(text: &str, lines: &[&str]) {
    let (_, errors) = parse_lenient("elb.toml", text);
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let lines: Vec<_> = lines.iter().map(|line| format!("elb.toml:{line}")).collect();
    assert_eq!(errors, lines, "{text}");
}

#[test]
fn a_listener_has_a_group_and_limits() {
    let more = "[[ipgroup]]\nname = \"office\"\nip_list = [\n\"10.1.2.3/8\",\n\
                { ip = \"::1\", description = \"here\" },\n]\n";
    let lines =
        "protocol_port = 80\nipgroup = { ipgroup = \"office\", type = \"black\" }\ncps = 100";
    let config = parse("elb.toml", &text(lines, more)).unwrap();
    let group = &config.model.ip_groups()[0];
    let networks: Vec<_> = group.networks().iter().map(Cidr::to_string).collect();
    assert_eq!(
        (group.name.as_str(), networks),
        ("office", vec!["10.0.0.0/8".into(), "::1/128".into()])
    );
    let listeners = &config.model.load_balancers()[0].listeners;
    let access = listeners[0].ipgroup.as_ref().unwrap();
    assert_eq!((access.list, access.enable_ipgroup), (AccessList::Black, true));
    assert_eq!((listeners[0].cps.get(), listeners[0].max_connection.get()), (100, 0));
    assert_eq!((listeners[1].ipgroup.as_ref(), listeners[1].cps.get()), (None, 0));
}

#[test]
fn a_listener_has_ranges_of_ports() {
    let ranges = "port_ranges = [{ start_port = 1000, end_port = 1010 }, \
                  { start_port = 80, end_port = 80 }]";
    for lines in [ranges.to_owned(), format!("protocol_port = 0\n{ranges}")] {
        let config = parse("elb.toml", &any_port(&lines)).unwrap();
        let listener = &config.model.load_balancers()[0].listeners[0];
        assert!(matches!(listener.ports(), Ports::Ranges([_, _])));
        assert_eq!(listener.ports().to_string(), "1000-1010,80-80");
    }
    let config = parse("elb.toml", &any_port("protocol_port = 0\nport_ranges = []")).unwrap();
    assert_eq!(config.model.load_balancers()[0].listeners[0].ports(), Ports::Any);
}

/// Half a whitelist lets out who should be let in, half a blacklist lets in who should not be.
#[test]
fn a_listener_whose_group_is_wrong_is_not_served() {
    let lines = "protocol_port = 80\nipgroup = { ipgroup = \"office\" }";
    let (config, errors) = parse_lenient("elb.toml", &text(lines, &GROUP.replace("/8", "/33")));
    assert_eq!(served(&config.unwrap()), ["dns"]);
    assert_eq!(
        errors.to_string(),
        "elb.toml:11:11: warning: load balancer \"lb\", listener \"http\": its IP group \
         \"office\" has errors, so it cannot be served; correct the IP group\n\
         elb.toml:37:12: ipgroup \"office\": \"10.0.0.0/33\" is not an address or a network; \
         use an address or a network, as in \"10.0.0.7\" or \"10.0.0.0/8\"",
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn groups() {
    let uses = "protocol_port = 80\nipgroup = { ipgroup = \"office\" }";
    let group = |from: &str, to: &str| {
        assert!(GROUP.contains(from), "{from}");
        text("protocol_port = 80", &GROUP.replacen(from, to, 1))
    };
    says(
        &group("", ""),
        &[
            "35:8: warning: ipgroup \"office\": no listener uses it; name it as the ipgroup of one, \
           or remove it",
        ],
    );
    says(&group("name = \"office\"\n", ""), &["34:1: ipgroup #1: name is missing; give it one"]);
    says(
        &group("ip_list = [\"10.0.0.0/8\"]", ""),
        &["34:1: ipgroup \"office\": ip_list is missing; set it to a list of networks; it may be \
           empty: []"],
    );
    says(
        &group("[\"10.0.0.0/8\"]", "\"10.0.0.0/8\""),
        &["36:11: ipgroup \"office\": ip_list is of the type string; write a list of texts or \
           tables"],
    );
    says(
        &group("[\"10.0.0.0/8\"]", "[\n7,\n]"),
        &["36:11: ipgroup \"office\": ip_list is of the type array; write a list of texts or \
           tables"],
    );
    says(
        &group(
            "[\"10.0.0.0/8\"]",
            "[\n\"10.0.0.1-10.0.0.9\",\n{ ip = \"x\", descr = 1 },\n\
                 { description = \"<\" },\n]",
        ),
        &[
            "37:1: ipgroup \"office\": \"10.0.0.1-10.0.0.9\" is a range, which this version does \
             not support; write it as networks, as in \"10.0.0.0/8\"",
            "38:8: ipgroup \"office\", ip list #2: ip \"x\" is not an address or a network; use an \
             address or a network, as in \"10.0.0.7\" or \"10.0.0.0/8\"",
            "38:13: ipgroup \"office\", ip list #2: \"descr\" is not a key here; remove it; the \
             keys are ip, description",
            "39:1: ipgroup \"office\", ip list #3: ip is missing; set it to an address or a network",
            "39:17: ipgroup \"office\", ip list #3: description contains < or >; use up to \
             255 characters without < and >",
        ],
    );
    let many: String = (0..301).map(|n| format!("\"10.0.{}.{}\",", n / 256, n % 256)).collect();
    says(
        &group("\"10.0.0.0/8\"", &many),
        &[
            "36:11: ipgroup \"office\": ip_list has 301 networks, of at most 300; join neighbouring \
           networks, or use two listeners",
        ],
    );
    says(
        &text(uses, &GROUP.replace("\"10.0.0.0/8\"", "\"10.0.0.0/8\",\n{ ip = \"10.9.9.9/8\" }")),
        &["38:1: warning: ipgroup \"office\": 10.0.0.0/8 is in ip_list twice; remove one of them"],
    );
    says(
        &text(uses, &format!("{GROUP}{GROUP}")),
        &["39:8: ipgroup \"office\": name \"office\" is that of another IP group; rename one of \
           them"],
    );
    let groups: String =
        (0..51).map(|n| format!("[[ipgroup]]\nname = \"g{n}\"\nip_list = []\n")).collect();
    let (config, errors) = parse_lenient("elb.toml", &text("protocol_port = 80", &groups));
    assert_eq!(config.unwrap().model.ip_groups().len(), 50);
    let last = errors.iter().find(|error| error.severity == Severity::Error).unwrap();
    assert_eq!(
        last.to_string(),
        "elb.toml:185:8: ipgroup \"g50\": it is IP group 51, of at most 50; join some of them",
    );
}

#[test]
fn access_and_limits() {
    let lines = |lines: &str| text(&format!("protocol_port = 80\n{lines}"), "");
    says(
        &lines("ipgroup = { ipgroup = \"office\" }"),
        &["11:11: load balancer \"lb\", listener \"http\": ipgroup \"office\" does not exist; \
           define an [[ipgroup]] of that name or name another"],
    );
    says(
        &lines("ipgroup = { type = \"grey\", enable_ipgroup = 1 }"),
        &[
            "11:11: load balancer \"lb\", listener \"http\", ipgroup: ipgroup is missing; name \
             the [[ipgroup]]",
            "11:20: load balancer \"lb\", listener \"http\", ipgroup: type \"grey\" is not known; \
             use white or black",
            "11:45: load balancer \"lb\", listener \"http\", ipgroup: enable_ipgroup is of the \
             type integer; write true or false, without quotes",
        ],
    );
    says(
        &lines("cps = 1_000_001\nmax_connection = -1"),
        &[
            "11:7: load balancer \"lb\", listener \"http\": cps 1000001 is outside 0..=1000000; \
             use 0 to 1000000; 0 is no limit",
            "12:18: load balancer \"lb\", listener \"http\": max_connection -1 is outside \
             0..=1000000; use 0 to 1000000; 0 is no limit",
        ],
    );
    says(&lines("cps = 1_000_000\nmax_connection = 0"), &[]);
    says(
        &lines("max_connection = 5"),
        &["11:18: load balancer \"lb\", listener \"http\": max_connection needs a pool that \
           records every connection; that of pool \"web\" is 5_TUPLE_HASH, which does not; remove \
           it, or set lb_algorithm = \"ROUND_ROBIN\" or \"LEAST_CONNECTIONS\" in the pool"],
    );
    says(
        &SMALL.replacen("protocol_port = 53", "protocol_port = 53\ncps = 5", 1),
        &["16:7: load balancer \"lb\", listener \"dns\": cps of a UDP listener needs a pool that \
           records every flow; that of pool \"dns\" is 5_TUPLE_HASH, which does not; remove it, \
           or set lb_algorithm = \"ROUND_ROBIN\" or \"LEAST_CONNECTIONS\" in the pool"],
    );
}

/// Where every flow is recorded, all can be counted.
#[test]
fn limits_of_pools_that_record_every_flow() {
    for algorithm in ["ROUND_ROBIN", "LEAST_CONNECTIONS"] {
        let pool = format!("lb_algorithm = \"{algorithm}\"\nforwarding");
        let text = text("protocol_port = 80\nmax_connection = 5\ncps = 6", "")
            .replace(
                "protocol_port = 53\ndefault",
                "protocol_port = 53\nmax_connection = 7\ncps = 8\ndefault",
            )
            .replace("forwarding", &pool);
        let config = parse("elb.toml", &text).unwrap();
        let listeners = config.model.load_balancers()[0].listeners.iter();
        let limits: Vec<_> = listeners.map(|l| (l.max_connection.get(), l.cps.get())).collect();
        assert_eq!(limits, [(5, 6), (7, 8)], "{algorithm}");
    }
}

#[test]
fn ranges() {
    let range = |start: u32, end: u32| format!("{{ start_port = {start}, end_port = {end} }}");
    let ranges = |ranges: &[String]| format!("port_ranges = [\n{}\n]", ranges.join(",\n"));
    says(
        &any_port(&ranges(&[range(0, 70_000), range(6, 5), "{ start = 1 }".into()])),
        &[
            "11:16: load balancer \"lb\", listener \"http\", port ranges #1: start_port 0 is \
             outside 1..=65535; use 1 to 65535",
            "11:30: load balancer \"lb\", listener \"http\", port ranges #1: end_port 70000 is \
             outside 1..=65535; use 1 to 65535",
            "12:30: load balancer \"lb\", listener \"http\", port ranges #2: 6-5 is not a range \
             of ports; use 1 <= start_port <= end_port <= 65535",
            "13:1: load balancer \"lb\", listener \"http\", port ranges #3: start_port is \
             missing; set it to the first port of the range",
            "13:1: load balancer \"lb\", listener \"http\", port ranges #3: end_port is missing; \
             set it to the last port of the range",
            "13:3: load balancer \"lb\", listener \"http\", port ranges #3: \"start\" is not a \
             key here; remove it; the keys are start_port, end_port",
        ],
    );
    says(
        &any_port(&ranges(&[range(1000, 1010), range(1010, 1020)])),
        &["10:15: load balancer \"lb\", listener \"http\": port_ranges 1000-1010 and 1010-1020 \
           overlap; join them, or make one smaller"],
    );
    let eleven: Vec<_> = (1..=11).map(|n| range(n * 10, n * 10)).collect();
    says(
        &any_port(&ranges(&eleven)),
        &["10:15: load balancer \"lb\", listener \"http\": port_ranges has 11 ranges, of at most \
           10; use another listener for the others"],
    );
    says(
        &any_port(&format!("protocol_port = 80\n{}", ranges(&[range(1, 2)]))),
        &["11:15: load balancer \"lb\", listener \"http\": port_ranges contradicts protocol_port \
           80; set protocol_port = 0, or remove port_ranges"],
    );
    says(
        &text(&ranges(&[range(79, 81)]), ""),
        &["10:15: load balancer \"lb\", listener \"http\": a range of ports is asked of pool \
           \"web\", which has ports; set any_port_enable = true in the pool and remove its \
           members' protocol_port, or give the listener one port"],
    );
    let udp = |range: String| {
        SMALL
            .replacen("protocol_port = 53", &ranges(&[range]), 1)
            .replacen("forwarding = \"l2\"", "forwarding = \"l2\"\nany_port_enable = true", 1)
            .replacen("address = \"10.0.0.21\"\nprotocol_port = 53", "address = \"10.0.0.21\"", 1)
    };
    says(
        &udp(range(4000, 4789)),
        &[
            "15:15: load balancer \"lb\", listener \"dns\": port_ranges hold UDP port 4789, which is \
           reserved for VXLAN; use another port",
        ],
    );
    says(&udp(range(4790, 4800)), &[]);
}

/// A member may have only so many connections where its pool counts them.
#[test]
fn limits_of_members() {
    let limited = |most: &str, algorithm: &str| {
        SMALL
            .replacen("[[pool.member]]", &format!("[[pool.member]]\nmax_connection = {most}"), 1)
            .replacen("[[pool]]", &format!("[[pool]]\nlb_algorithm = \"{algorithm}\""), 1)
    };
    for algorithm in ["ROUND_ROBIN", "LEAST_CONNECTIONS"] {
        says(&limited("500", algorithm), &[]);
        let (config, _) = parse_lenient("elb.toml", &limited("500", algorithm));
        assert_eq!(config.unwrap().model.pools()[0].members[0].max_connection.get(), 500);
    }
    says(&limited("0", "SOURCE_IP"), &[]);
    let errors = |text: String| {
        let (_, errors) = parse_lenient("elb.toml", &text);
        errors.to_string()
    };
    let said = errors(limited("500", "SOURCE_IP"));
    for words in [
        "max_connection 500 needs a pool that records every connection; that of pool \"web\" is SOURCE_IP",
        "remove it, or set lb_algorithm = \"ROUND_ROBIN\" or \"LEAST_CONNECTIONS\" in the pool",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let said = errors(limited("1000001", "ROUND_ROBIN"));
    assert!(said.contains("max_connection 1000001 is outside 0..=1000000"), "{said}");
}

/// Listeners of one load balancer share no port, unless one takes what the others leave.
#[test]
fn overlaps() {
    let second = |protocol: &str, ports: &str| {
        let listener = format!(
            "[[load_balancer.listener]]\nname = \"two\"\nprotocol = \"{protocol}\"\n{ports}\n\
             default_pool = \"web\"\n[[pool]]\nname = \"web\""
        );
        let first = "port_ranges = [{ start_port = 1000, end_port = 1010 }]";
        any_port(first).replacen("[[pool]]\nname = \"web\"", &listener, 1)
    };
    let range =
        |start, end| format!("port_ranges = [{{ start_port = {start}, end_port = {end} }}]");
    let at = "load balancer \"lb\", listener \"two\"";
    for (ports, position, what) in [
        ("protocol_port = 1000".into(), "20:17", "protocol_port 1000"),
        ("protocol_port = 1010".into(), "20:17", "protocol_port 1010"),
        (range(1010, 1010), "20:15", "port_ranges 1010-1010"),
        (range(900, 1000), "20:15", "port_ranges 900-1000"),
        (range(1, 65_535), "20:15", "port_ranges 1-65535"),
        (range(1003, 1004), "20:15", "port_ranges 1003-1004"),
    ] {
        let line = format!(
            "{position}: {at}: TCP {what} overlaps port_ranges 1000-1010 of listener \"http\"; \
             use another port"
        );
        says(&second("TCP", &ports), &[&line]);
    }
    for ports in ["protocol_port = 0", "protocol_port = 999", "protocol_port = 1011"] {
        says(&second("TCP", ports), &[]);
    }
    says(&second("TCP", &range(1011, 2000)), &[]);
    let other = second("TCP", "protocol_port = 7").replacen(
        "port_ranges = [{ start_port = 1000, end_port = 1010 }]",
        "protocol_port = 7",
        1,
    );
    let line =
        format!("20:17: {at}: TCP protocol_port 7 is that of listener \"http\"; use another port");
    says(&other, &[&line]);
    let line =
        format!("20:17: {at}: TCP protocol_port 0 is that of listener \"http\"; use another port");
    says(&other.replace("protocol_port = 7", "protocol_port = 0"), &[&line]);
}

/// The map of ranges holds half as many, for the others while they change.
#[test]
fn ranges_that_find_no_room() {
    let range = "{ start_port = 1, end_port = 65534 }";
    let mut text = any_port(&format!("port_ranges = [{range}]"));
    let (head, tail) = text.split_once("[[pool]]").unwrap();
    let more = |n: u32| {
        format!(
            "[[load_balancer]]\nname = \"lb{n}\"\nvip_address = \"10.1.{}.{}\"\n\
             [[load_balancer.listener]]\nname = \"l{n}\"\nprotocol = \"TCP\"\n\
             port_ranges = [{range}]\ndefault_pool = \"web\"\n",
            n / 256,
            n % 256,
        )
    };
    text = format!("{head}{}[[pool]]{tail}", (0..1092).map(more).collect::<String>());
    let (config, errors) = parse_lenient("elb.toml", &text);
    assert_eq!(served(&config.unwrap()).len(), 2 + 1091);
    assert_eq!(
        errors.iter().map(|error| error.what.as_str()).collect::<Vec<_>>(),
        [
            "its ports need 32790 prefixes in all, of 32768",
            "its members are probed at 4 of its 1092 virtual addresses at a time: a failure at one \
             is seen after up to 273 intervals",
        ],
    );
}
