//! The words: a change to a good file, and all that is said about it.

use super::*;

/// Replaces the first `from` in the small file, and wants these lines, listeners that are left out
/// with their pool aside.
#[track_caller]
pub(super) fn says(from: &str, to: &str, lines: &[&str]) {
    assert!(SMALL.contains(from), "{from}");
    let (_, errors) = parse_lenient("elb.toml", &SMALL.replacen(from, to, 1));
    let own =
        errors.iter().filter(|error| !error.what.contains("has errors, so it cannot be served"));
    let own: Vec<_> = own.map(ToString::to_string).collect();
    let lines: Vec<_> = lines.iter().map(|line| format!("elb.toml:{line}")).collect();
    assert_eq!(own, lines, "{to}");
}

#[test]
fn syntax_and_keys() {
    says(
        r#"type = "HTTP""#,
        r#"typo = "HTTP""#,
        &[
            "21:1: pool \"web\", healthmonitor: type is missing; set it to TCP, HTTP, HTTPS, TLS, \
             GRPC or COMMAND, in a UDP pool to UDP_CONNECT or COMMAND",
            "22:1: pool \"web\", healthmonitor: \"typo\" is not a key here; did you mean type?",
        ],
    );
    says(
        r#"type = "HTTP""#,
        "type = 1",
        &["22:8: pool \"web\", healthmonitor: type is of the type integer; write a text in \
             quotes"],
    );
    says("[[pool]]", "[pool]", &["27:3: duplicate key; see https://toml.io for the syntax"]);
    says("[[pool]]", "[[pools]]", &["27:3: duplicate key; see https://toml.io for the syntax"]);
    says(
        r#"name = "b1""#,
        r#"name = "b1"#,
        &["24:11: invalid basic string, expected `\"`; see https://toml.io for the syntax"],
    );
    says(
        r#"name = "b1""#,
        r#"name = "b1" x"#,
        &["24:13: unexpected key or value, expected newline, `#`; see https://toml.io for the \
             syntax"],
    );
    says(
        r#"name = "b1""#,
        "name = \"b1\"\nname = \"b1\"",
        &["25:1: duplicate key; see https://toml.io for the syntax"],
    );
    says(
        r#"vip_address = "192.0.2.10""#,
        r#"admin_state_up = "yes""#,
        &["6:18: load balancer \"lb\": admin_state_up is of the type string; write true or \
             false, without quotes"],
    );
    says(
        r#"name = "lb""#,
        r#"nam = "lb""#,
        &[
            "4:1: load balancer #1: name is missing; give it one",
            "5:1: load balancer #1: \"nam\" is not a key here; did you mean name?",
        ],
    );
    says(
        r#"interfaces = ["eth0"]"#,
        r#"interfaces = "eth0""#,
        &["3:14: [agent]: interfaces is of the type string; write a list of texts, as in \
             [\"a\", \"b\"]"],
    );
    says(
        "[agent]\ninterfaces = [\"eth0\"]",
        "",
        &["1:1: agent is missing; add [agent] with interfaces = [\"...\"]"],
    );
}

#[test]
fn values() {
    says(
        r#"name = "b1""#,
        "name = \"b1\"\nweight = 101",
        &["25:10: pool \"web\", member \"b1\": weight 101 is outside 0..=100; use 0 to 100; 0 \
             takes no new connections"],
    );
    says(
        r#"type = "HTTP""#,
        "type = \"HTTP\"\ntimeout = 99999999999999999999",
        &["23:11: pool \"web\", healthmonitor: timeout 100000000000000000000 is outside \
             0.1..=50; use 0.1 to 50 seconds"],
    );
    says(
        r#"forwarding = "ipip""#,
        "forwarding = \"ipip\"\nudp_hold = 3",
        &["21:12: pool \"web\": udp_hold is for UDP pools; remove it"],
    );
    says(
        r#"forwarding = "ipip""#,
        "forwarding = \"ipip\"\nlb_algorithm = \"RANDOM\"",
        &["21:16: pool \"web\": lb_algorithm \"RANDOM\" is not known; use 5_TUPLE_HASH, \
             3_TUPLE_HASH, 2_TUPLE_HASH, SOURCE_IP, QUIC_CID, ROUND_ROBIN or LEAST_CONNECTIONS"],
    );
    says(
        r#"forwarding = "ipip""#,
        "forwarding = \"ipip\"\nlb_algorithm = \"QUIC_CID\"",
        &["21:16: pool \"web\": lb_algorithm QUIC_CID is not for TCP; use it in a UDP pool: QUIC \
             is carried by UDP"],
    );
    says(
        r#"forwarding = "ipip""#,
        "forwarding = \"ipip\"\nring_size = 65536",
        &["21:13: pool \"web\": ring_size 65536 is not one of the sizes there are; use 4093, \
             16381, 65537 or 655373, at least 100 times the number of members"],
    );
    says(
        r#"forwarding = "ipip""#,
        "forwarding = \"ipip\"\npool_health = {}",
        &["21:15: pool \"web\", pool_health: minimum_healthy_member_count is missing; set it to \
             0 or 1, or remove pool_health"],
    );
    says(
        r#"vip_address = "192.0.2.10""#,
        r#"vip_address = "192.0.2""#,
        &["6:15: load balancer \"lb\": vip_address \"192.0.2\" is not an IPv4 address; write it \
             as in \"192.0.2.10\""],
    );
    says(
        r#"interfaces = ["eth0"]"#,
        "interfaces = [\"eth0\", \"eth0\", \"a/b\"]\nsocket = \"x\"\nencap_source = \"127.0.0.1\"",
        &[
            "3:14: [agent]: \"eth0\" is there twice; remove one of them",
            "3:14: [agent]: \"a/b\" is not the name of an interface; use a name that `ip link` \
             shows",
            "4:10: [agent]: socket \"x\" is not an absolute path; use an absolute path, which \
             starts with /",
            "5:16: [agent]: encap_source 127.0.0.1 is a loopback address; use a unicast address \
             that the members accept as a source",
        ],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn relations() {
    says(
        r#"type = "HTTP""#,
        "type = \"HTTP\"\ntimeout = 6",
        &["23:11: warning: pool \"web\", healthmonitor: timeout is longer than delay; make \
             timeout at most delay, or the verdict will be late"],
    );
    says(
        r#"forwarding = "ipip""#,
        "forwarding = \"ipip\"\nany_port_enable = true",
        &[
            "22:1: pool \"web\", healthmonitor: monitor_port is missing: the members of this pool \
             have no port; set it to a port that the members listen on",
            "27:17: pool \"web\", member \"b1\": protocol_port 80 contradicts any_port_enable of \
             the pool; remove protocol_port: members take the port that a packet came for",
        ],
    );
    says(
        r#"address = "10.0.0.21""#,
        r#"address = "2001:db8::21""#,
        &["16:16: load balancer \"lb\", listener \"dns\": VIP 192.0.2.10 and member \
             \"[2001:db8::21]:53\" (2001:db8::21) of pool \"dns\" differ in family, which \
             forwarding l2 cannot bridge; use forwarding = \"ipip\", or a load balancer and a \
             pool per family"],
    );
    says(
        r#"address = "10.0.0.21""#,
        r#"address = "::ffff:10.0.0.21""#,
        &[
            "16:16: load balancer \"lb\", listener \"dns\": VIP 192.0.2.10 and member \
             \"[::ffff:10.0.0.21]:53\" (::ffff:10.0.0.21) of pool \"dns\" differ in family, which \
             forwarding l2 cannot bridge; use forwarding = \"ipip\", or a load balancer and a \
             pool per family",
            "32:11: pool \"dns\", member \"[::ffff:10.0.0.21]:53\": address ::ffff:10.0.0.21 is \
             an IPv4 address written as IPv6; use the unicast address of the backend server",
        ],
    );
    says(
        r#"address = "10.0.0.21""#,
        r#"address = "192.0.2.10""#,
        &["32:11: pool \"dns\", member \"192.0.2.10:53\": address 192.0.2.10 is a load \
             balancer's VIP; use the backend server's own address"],
    );
    says(
        r#"address = "10.0.0.21""#,
        "address = \"10.0.0.21\"\nprotocol_port = 53\n[[pool.member]]\naddress = \"10.0.0.21\"",
        &["35:11: pool \"dns\", member \"10.0.0.21:53\": 10.0.0.21:53 is in the pool twice; \
             remove one of them, and add its weight"],
    );
    says(
        r#"default_pool = "dns""#,
        r#"default_pool = "dnss""#,
        &[
            "16:16: load balancer \"lb\", listener \"dns\": default_pool \"dnss\" does not exist; \
             define a pool of that name or name another",
            "28:8: warning: pool \"dns\": no listener uses it, so nothing is sent to its members; \
             name it as the default_pool of one, or remove it",
        ],
    );
    says(
        r#"default_pool = "dns""#,
        r#"default_pool = "web""#,
        &[
            "16:16: load balancer \"lb\", listener \"dns\": protocol UDP is not that of pool \
             \"web\", TCP; give both the same protocol",
            "28:8: warning: pool \"dns\": no listener uses it, so nothing is sent to its members; \
             name it as the default_pool of one, or remove it",
        ],
    );
    says(
        "protocol_port = 80",
        "protocol_port = 0",
        &["10:17: load balancer \"lb\", listener \"http\": any port (0) is asked of pool \
             \"web\", which has ports; set any_port_enable = true in the pool and remove its \
             members' protocol_port, or give the listener one port"],
    );
    says(
        "protocol_port = 80",
        "protocol_port = 81",
        &["10:17: load balancer \"lb\", listener \"http\": protocol_port 81 is not that of \
             member \"b1\" of pool \"web\", 80: ipip cannot translate ports; give both the same \
             port, or set any_port_enable = true in the pool and remove its members' \
             protocol_port"],
    );
    says(
        r#"name = "dns""#,
        r#"name = "http""#,
        &["13:8: load balancer \"lb\", listener \"http\": name \"http\" is that of another \
             listener; rename one of them"],
    );
    says(
        "protocol_port = 53",
        "protocol_port = 4789",
        &[
            "15:17: load balancer \"lb\", listener \"dns\": UDP protocol_port 4789 is reserved \
             for VXLAN; use another port",
            "15:17: load balancer \"lb\", listener \"dns\": protocol_port 4789 is not that of \
             member \"10.0.0.21:53\" of pool \"dns\", 53: l2 cannot translate ports; give both \
             the same port, or set any_port_enable = true in the pool and remove its members' \
             protocol_port",
        ],
    );
    says(
        "[[pool]]",
        "[[load_balancer]]\nname = \"lb\"\nvip_address = \"192.0.2.10\"\n[[pool]]",
        &[
            "18:8: load balancer \"lb\": name \"lb\" is that of another load balancer; rename one \
             of them",
            "19:15: load balancer \"lb\": vip_address 192.0.2.10 is that of load balancer \"lb\"; \
             use another address, or move the listeners there",
        ],
    );
}

#[test]
fn warnings() {
    says(
        r#"vip_address = "192.0.2.10""#,
        r#"announce = "none""#,
        &["5:8: warning: load balancer \"lb\": it has no address, so no client reaches it; set \
             vip_address or ipv6_vip_address"],
    );
    says(
        "name = \"b1\"",
        "name = \"b1\"\nweight = 0",
        &["18:8: warning: pool \"web\": it has no member that takes new connections; add a \
             member with a weight of at least 1"],
    );
    says(
        "[[pool]]",
        "[[pool]]\nname = \"spare\"\nprotocol = \"TCP\"\nforwarding = \"l2\"\n\
         member = [{ address = \"10.0.0.31\", protocol_port = 80 }]\n[[pool]]",
        &[
            "18:8: warning: pool \"spare\": no listener uses it, so nothing is sent to its members; \
             name it as the default_pool of one, or remove it",
        ],
    );
}
