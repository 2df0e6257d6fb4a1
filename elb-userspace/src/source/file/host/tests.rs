//! What a virtual address takes that is the host's own.

use super::*;
use crate::source::file::{Errors, parse_for};

fn host() -> Host {
    let tcp = |address: Option<[u8; 4]>, port| Listening {
        protocol: Protocol::Tcp,
        address: address.map(IpAddr::from),
        port,
    };
    Host {
        addresses: BTreeMap::from([(IpAddr::from([10, 0, 0, 2]), "eth0".to_owned())]),
        ephemeral: Some((32_768, 60_999)),
        listening: BTreeSet::from([tcp(None, 22), tcp(Some([10, 0, 0, 7]), 443)]),
        ..Host::default()
    }
}

/// A listener with these ports at 10.0.0.2; member 10.0.0.11.
fn found(ports: &str, more: &str, host: &Host) -> (bool, Errors) {
    let any = if ports.contains("protocol_port = 80") { "" } else { "any_port_enable = true\n" };
    let port = if any.is_empty() { "protocol_port = 80\n" } else { "" };
    let text = format!(
        "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
         vip_address = \"10.0.0.2\"\n{more}\n[[load_balancer.listener]]\nname = \"one\"\n\
         protocol = \"TCP\"\n{ports}\ndefault_pool = \"web\"\n[[pool]]\nname = \"web\"\n\
         protocol = \"TCP\"\nforwarding = \"ipip\"\n{any}[[pool.member]]\naddress = \"10.0.0.11\"\n{port}"
    );
    let (config, errors) = parse_for("elb.toml", &text, host);
    let balancers = config.unwrap().model;
    (!balancers.load_balancers()[0].listeners.is_empty(), errors)
}

fn ranges(first: u16, last: u16) -> String {
    format!("port_ranges = [{{ start_port = {first}, end_port = {last} }}]")
}

#[test]
fn what_takes_many_ports_of_the_host_is_refused() {
    let (serves, errors) = found("protocol_port = 0", "", &host());
    assert!(!serves && errors.has_errors());
    let said = errors.to_string();
    assert!(
        said.contains("listener \"one\": 10.0.0.2 is an address of this host (eth0)"),
        "{said}"
    );
    assert!(said.contains("ssh included; use a virtual address that no interface has"), "{said}");
    for (first, last, taken) in
        [(20, 30, "TCP port 22, where this host"), (30_000, 33_000, "answers to connections")]
    {
        let (serves, errors) = found(&ranges(first, last), "", &host());
        assert!(!serves && errors.to_string().contains(taken), "{errors}");
    }
    let (serves, errors) = found(&ranges(8_000, 8_100), "", &host());
    assert!(serves && !errors.has_errors(), "{errors}");
}

#[test]
fn one_port_is_warned_of() {
    let (serves, errors) = found("protocol_port = 80", "", &host());
    assert!(serves && !errors.has_errors());
    let said = errors.to_string();
    let words = "elb.toml:5:15: warning: load balancer \"lb\": vip_address 10.0.0.2 is an address of \
                 this host (eth0): members that have it on their lo do not answer this host";
    assert!(said.starts_with(words), "{said}");
}

#[test]
fn what_is_allowed_or_served_already_is_only_a_warning() {
    let (serves, errors) = found("protocol_port = 0", "allow_host_address = true", &host());
    assert!(serves && !errors.has_errors() && !errors.is_empty(), "{errors}");
    let place = "TCP 0 ".to_owned();
    let served = BTreeSet::from([(IpAddr::from([10, 0, 0, 2]), place)]);
    let (serves, errors) = found("protocol_port = 0", "", &Host { served, ..host() });
    assert!(serves && errors.to_string().contains("listener \"one\" takes every"), "{errors}");
    let place = "TCP 80 ".to_owned();
    let served = BTreeSet::from([(IpAddr::from([10, 0, 0, 2]), place)]);
    let (serves, errors) = found("protocol_port = 0", "", &Host { served, ..host() });
    assert!(!serves && errors.has_errors(), "another port of it is served: {errors}");
}

#[test]
fn an_unknown_host_and_another_one_find_nothing() {
    let other = [10, 0, 0, 9].into();
    let other = Host { addresses: BTreeMap::from([(other, "eth0".to_owned())]), ..host() };
    for host in [Host::default(), other] {
        let (serves, errors) = found("protocol_port = 0", "", &host);
        assert!(serves && errors.is_empty(), "{errors}");
    }
}

#[test]
fn a_member_that_is_the_host_itself_is_warned_of() {
    let own = [10, 0, 0, 11].into();
    let host = Host { addresses: BTreeMap::from([(own, "eth0".to_owned())]), ..Host::default() };
    let (_, errors) = found("protocol_port = 80", "", &host);
    assert!(errors.to_string().contains("10.0.0.11 is an address of this host (eth0)"), "{errors}");
}

#[test]
fn this_host_can_be_looked_at() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let here = socket.local_addr().unwrap();
    let host = Host::look();
    let (address, port) = (Some(here.ip()), here.port());
    assert!(host.listening.contains(&Listening { protocol: Protocol::Tcp, address, port }));
    assert!(host.ephemeral.is_some_and(|(first, last)| first < last));
}
