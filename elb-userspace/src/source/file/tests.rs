//! What a file means, what is said about wrong ones, and what is served regardless.

mod admission;
mod embedded_clients;
mod ids;
mod messages;
mod monitors;
mod source_addresses;

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::model::FlowsOnUnhealthy;
use crate::model::monitor::HealthCheck;

const SAMPLE: &str = include_str!("../../../dist/elb.toml");

const SMALL: &str = r#"
[agent]
interfaces = ["eth0"]
[[load_balancer]]
name = "lb"
vip_address = "192.0.2.10"
[[load_balancer.listener]]
name = "http"
protocol = "TCP"
protocol_port = 80
default_pool = "web"
[[load_balancer.listener]]
name = "dns"
protocol = "UDP"
protocol_port = 53
default_pool = "dns"
[[pool]]
name = "web"
protocol = "TCP"
forwarding = "ipip"
[pool.healthmonitor]
type = "HTTP"
[[pool.member]]
name = "b1"
address = "10.0.0.11"
protocol_port = 80
[[pool]]
name = "dns"
protocol = "UDP"
forwarding = "l2"
[[pool.member]]
address = "10.0.0.21"
protocol_port = 53
"#;

fn served(config: &Config) -> Vec<String> {
    let listeners = config.model.load_balancers().iter().flat_map(|lb| &lb.listeners);
    listeners.map(|listener| listener.name.to_string()).collect()
}

#[test]
fn the_smallest_file_takes_the_defaults() {
    let (config, errors) = parse_lenient("elb.toml", SMALL);
    assert_eq!(errors.to_string(), "");
    let config = config.unwrap();
    assert_eq!(config.agent.attach_mode, AttachMode::Native);
    assert_eq!(config.agent.socket, Path::new("/run/elb/elb.sock"));
    assert_eq!(config.agent.pin_dir, Path::new("/sys/fs/bpf/elb"));
    assert_eq!(config.agent.ring_slots.get(), 8_388_608);
    let [lb] = config.model.load_balancers() else { panic!() };
    assert!(lb.admin_state_up && lb.listeners[0].admin_state_up);
    assert_eq!(lb.listeners[0].keepalive_timeout.get(), 300);
    let [web, dns] = config.model.pools() else { panic!() };
    assert_eq!((web.ring_size.get(), dns.udp_hold.get()), (65_537, 30));
    assert_eq!(web.flows_on_unhealthy, FlowsOnUnhealthy::Keep);
    assert_eq!(dns.flows_on_unhealthy, FlowsOnUnhealthy::Rehash);
    assert_eq!((web.members[0].weight.get(), web.minimum_healthy_member_count.get()), (1, 0));
    assert_eq!(dns.members[0].name.as_str(), "10.0.0.21:53");
    let monitor = web.healthmonitor.as_ref().unwrap();
    assert_eq!((monitor.delay.ceil(), monitor.timeout.ceil()), (5, 3));
    assert_eq!((monitor.max_retries.get(), monitor.max_retries_down.get()), (3, 3));
    assert_eq!(monitor.port(&web.members[0]), 80);
    let HealthCheck::Http(http) = &monitor.check else { panic!() };
    assert_eq!((http.url_path.as_str(), http.expected_codes.to_string().as_str()), ("/", "200"));
    let host = config.model.default_host(&web.name, &web.members[0]);
    assert_eq!(host.to_string(), "192.0.2.10");
    assert_eq!(parse("elb.toml", SMALL), Ok(config));
}

#[test]
fn the_sample_is_valid_and_shows_the_defaults() {
    let (plain, errors) = parse_lenient("elb.toml", SAMPLE);
    assert_eq!(errors.to_string(), "");
    let uncomment = |except: &[&str]| {
        let line = |line: &str| match line.strip_prefix("# ") {
            Some(setting) if is_setting(setting, except) => setting.to_owned(),
            _ => line.to_owned(),
        };
        SAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
    };
    let not_defaults = [
        "include",
        "socket_group",
        "encap_source",
        "encap_source_ipv6",
        "probe_source",
        "probe_source_ipv6",
        "probe_mark",
        "monitor_port",
        "domain_name",
        "lb_algorithm",
        "quic_cid_hash_strategy",
        "server_id",
        "id",
        "listen",
        "bearer_token_file",
        "tls_certificate",
        "tls_key",
    ];
    let (defaults, errors) = parse_lenient("elb.toml", &uncomment(&not_defaults));
    assert_eq!((defaults, errors.to_string().as_str()), (plain, ""));
    let (_, errors) = parse_lenient("elb.toml", &uncomment(&[]));
    assert_eq!(errors.to_string(), "");
}

fn is_setting(line: &str, except: &[&str]) -> bool {
    let key = line.split_once(" = ").map_or("", |(key, _)| key);
    !key.is_empty()
        && key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'_' | b'0'..=b'9'))
        && !except.contains(&key)
}

/// Every key that the reader knows is explained in the sample.
#[test]
fn the_sample_shows_every_key() {
    let with_unknown_key = |table: &str| {
        let text = format!(
            "{SMALL}[[ipgroup]]\nname = \"office\"\nip_list = []\n[metrics]\n[flow_log]\n[sflow]\n[snat]\n"
        );
        let text = text.replace(table, &format!("{table}\nqqqqqqqqqq = 1"));
        let errors = parse("elb.toml", &text).unwrap_err();
        let error = errors.iter().find(|error| error.what.contains("qqqqqqqqqq")).unwrap();
        error.fix.strip_prefix("remove it; the keys are ").unwrap().to_owned()
    };
    let tables = [
        "[agent]",
        "[metrics]",
        "[flow_log]",
        "[sflow]",
        "[snat]",
        "[[load_balancer]]",
        "[[load_balancer.listener]]",
        "[[pool]]",
        "[[pool.member]]",
        "[[ipgroup]]",
    ];
    let tables = tables.into_iter().chain(["[pool.healthmonitor]"]);
    for key in tables.map(with_unknown_key).collect::<Vec<_>>().join(", ").split(", ") {
        let shown = SAMPLE.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.starts_with(&format!("{key} = ")) || line.contains(&format!(".{key}]"))
        });
        assert!(shown, "{key}");
    }
}

#[test]
fn one_bad_object_does_not_stop_the_others() {
    let check = |from: &str, to: &str, expected: &[&str]| {
        assert!(SMALL.contains(from), "{from}");
        let (config, errors) = parse_lenient("elb.toml", &SMALL.replace(from, to));
        assert!(errors.has_errors(), "{to}");
        assert_eq!(served(&config.unwrap()), expected, "{to}: {errors}");
    };
    check("protocol_port = 80\ndefault_pool", "protocol_port = 8080\ndefault_pool", &["dns"]);
    check("protocol_port = 53\ndefault_pool", "protocol_port = 70000\ndefault_pool", &["http"]);
    check("forwarding = \"ipip\"", "forwarding = \"fullnat\"", &["dns"]);
    check("address = \"10.0.0.11\"", "address = \"127.0.0.1\"", &["dns"]);
    check("type = \"HTTP\"", "type = \"HTTP\"\ndelay = 0", &["dns"]);
    check("vip_address = \"192.0.2.10\"", "vip_address = \"224.0.0.1\"", &[]);
}

#[test]
fn one_pool_serves_any_port() {
    let text = SMALL
        .replace("forwarding = \"ipip\"", "forwarding = \"ipip\"\nany_port_enable = true")
        .replace("type = \"HTTP\"", "type = \"HTTP\"\nmonitor_port = 8080")
        .replace("address = \"10.0.0.11\"\nprotocol_port = 80", "address = \"10.0.0.11\"")
        .replace("name = \"b1\"\n", "");
    for port in ["0", "80", "443"] {
        let text = text.replace("protocol_port = 80", &format!("protocol_port = {port}"));
        let config = parse("elb.toml", &text).unwrap();
        let pool = &config.model.pools()[0];
        let member = &pool.members[0];
        assert_eq!((member.name.as_str(), member.protocol_port), ("10.0.0.11", 0));
        assert_eq!(pool.healthmonitor.as_ref().unwrap().port(member), 8080);
    }
}

#[test]
fn a_probe_names_a_vip_of_the_members_family() {
    let dual = SMALL.replace("name = \"lb\"", "name = \"lb\"\nipv6_vip_address = \"2001:db8::10\"");
    let dual = dual.replace("forwarding = \"l2\"", "forwarding = \"ipip\"");
    let host = |text: &str| {
        let config = parse("elb.toml", text).unwrap();
        let pool = &config.model.pools()[0];
        config.model.default_host(&pool.name, &pool.members[0]).to_string()
    };
    assert_eq!(host(&dual), "192.0.2.10");
    assert_eq!(host(&dual.replace("10.0.0.11", "2001:db8::11")), "2001:db8::10");
    assert_eq!(host(&SMALL.replace("10.0.0.11", "2001:db8::11")), "192.0.2.10");
    let (head, _) = SMALL.split_once("[[load_balancer.listener]]").unwrap();
    let (_, pools) = SMALL.split_once("[[pool]]").unwrap();
    assert_eq!(host(&format!("{head}[[pool]]{pools}")), "10.0.0.11", "no listener");
}

#[test]
fn nothing_is_served_without_syntax_or_agent() {
    let (config, errors) = parse_lenient("elb.toml", &SMALL.replace("\"lb\"", "\"lb"));
    assert!(config.is_none() && errors.has_errors());
    let (config, errors) = parse_lenient("elb.toml", &SMALL.replace("[\"eth0\"]", "[]"));
    assert!(config.is_none() && errors.has_errors());
}

#[test]
fn a_file_is_read_up_to_its_bound() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("elb.toml");
    let missing = load(&path).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("{}: cannot be read: No such file", path.display())));
    fs::write(&path, SAMPLE).unwrap();
    assert!(load(&path).is_ok() && load_lenient(&path).0.is_some());
    fs::write(&path, format!("{SAMPLE}#{}", " ".repeat(4 << 20))).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("larger than 4 MiB"));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(load_lenient(&path).1.to_string().contains("UTF-8"));
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let cases = [
        (fifo.as_path(), "a FIFO"),
        (&socket, "a socket"),
        (directory.path(), "a directory"),
        (Path::new("/dev/zero"), "a device"),
    ];
    for (path, what) in cases {
        let said = load(path).unwrap_err().to_string();
        assert!(said.contains(&format!("it is {what}")), "{said}");
    }
}

#[test]
fn capacities_leave_out_what_does_not_fit() {
    let text = SMALL.replace("[\"eth0\"]", "[\"eth0\"]\nring_slots = 131_087");
    let (config, errors) = parse_lenient("elb.toml", &text);
    assert_eq!(served(&config.unwrap()), ["http"]);
    assert_eq!(
        errors.to_string(),
        "elb.toml:17:16: warning: load balancer \"lb\", listener \"dns\": its pool \"dns\" \
         has errors, so it cannot be served; correct the pool\n\
         elb.toml:28:1: pool \"dns\": its ring needs 131104 slots in all, of 131087; raise \
         ring_slots of the agent, or lower ring_size",
    );
    let members = |count: u16| {
        let [high, low] = count.to_be_bytes();
        format!("[[pool.member]]\naddress = \"10.1.{high}.{low}\"\nprotocol_port = 53\n")
    };
    let text = (0..4_094).map(members).collect::<String>();
    let (_, errors) = parse_lenient("elb.toml", &format!("{SMALL}{text}"));
    assert!(errors.to_string().contains("need 4097 backends in all, of 4096"), "{errors}");
}

fn lines() -> impl Strategy<Value = String> {
    let line = prop::sample::select(SAMPLE.lines().chain(SMALL.lines()).collect::<Vec<_>>());
    prop::collection::vec(line, 0..60).prop_map(|lines| lines.join("\n").replace("# ", ""))
}

fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0usize..12, "[\\[\\]\"=.#a-z0-9{}\n-]{0,6}");
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text = SMALL.to_owned();
        for (at, length, with) in edits {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &with);
        }
        text
    })
}

proptest! {
    #[test]
    fn no_text_panics(
        text in prop_oneof!["\\PC*", "[\\[\\]\"=.#a-z0-9{}\n -]*", lines(), mutated()],
    ) {
        let (config, errors) = parse_lenient("elb.toml", &text);
        prop_assert_eq!(parse("elb.toml", &text).is_ok(), !errors.has_errors());
        prop_assert!(config.is_some() || errors.has_errors());
        let lines = text.lines().count() + 1;
        prop_assert!(errors.iter().all(|error| (1..=lines).contains(&error.line)));
    }
}
