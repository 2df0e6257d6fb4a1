//! Members behind an interface that does not carry the program, and members without a route, in words.

use std::net::IpAddr;

use crate::control::network::UnservedWay;

/// Members that are named; the others are counted.
const NAMED: usize = 4;

/// What is wrong.
pub fn what(way: &UnservedWay) -> String {
    let UnservedWay { interface, .. } = way;
    format!(
        "packets to {} are dropped (no_device): they would leave by {interface}, which is not in [agent] \
         interfaces{}",
        members(way),
        port(way).map(|port| format!("; {port} is a port of {interface}")).unwrap_or_default()
    )
}

/// What to do about it.
pub fn fix(way: &UnservedWay) -> String {
    let UnservedWay { interface, .. } = way;
    let member = way.members.first().map(IpAddr::to_string).unwrap_or_default();
    match port(way) {
        Some(port) => format!(
            "ip link set {port} nomaster    # and give {port} the addresses of {interface}; or name \
             {interface} in place of {port} in interfaces of [agent], with attach_mode = \"generic\" \
             if {interface} is a bridge"
        ),
        None => {
            let mode = if way.has_ports {
                format!(" (with attach_mode = \"generic\" if {interface} is a bridge)")
            } else {
                String::new()
            };
            format!(
                "add \"{interface}\" to interfaces in [agent] of the configuration file{mode}, then: elb \
                 check && systemctl reload elb; or route the members by an interface that is named \
                 there: ip route get {member}"
            )
        }
    }
}

/// What to do where this host has no route to a member, for a reason in the kernel's words.
pub fn route_fix(member: IpAddr, error: &str) -> String {
    let forbids = ["blackhole", "prohibit"].into_iter().find(|kind| error.contains(kind));
    match forbids {
        Some(kind) => format!(
            "ip route get {member}; ip route show table all type {kind}; ip rule    # delete the {kind} \
             route or rule that {member} falls under"
        ),
        None => format!(
            "ip route get {member}; if {member} is in a network that this host is in itself: ip route add \
             NETWORK dev DEVICE; if not, add the route that is missing: ip route add {member} via GATEWAY"
        ),
    }
}

/// Where IPv6 is switched off.
pub fn ipv6_off(interfaces: &[String]) -> String {
    format!("IPv6 is switched off on {}", interfaces.join(", "))
}

/// What to do about it.
pub fn ipv6_fix(interfaces: &[String]) -> String {
    let on = interfaces.iter().map(|name| format!("net.ipv6.conf.{name}.disable_ipv6=0"));
    let on: Vec<String> = on.collect();
    format!(
        "sysctl -w {}    # then set the IPv6 addresses and routes again that it had: the kernel has removed \
         them",
        on.join(" ")
    )
}

fn port(way: &UnservedWay) -> Option<&str> {
    way.ports.first().map(String::as_str)
}

fn members(way: &UnservedWay) -> String {
    let named: Vec<String> = way.members.iter().take(NAMED).map(IpAddr::to_string).collect();
    let others = way.members.len() - named.len();
    let others = if others == 0 { String::new() } else { format!(" and {others} more") };
    format!("{}{others}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(interface: &str, members: u8, ports: &[&str]) -> UnservedWay {
        UnservedWay {
            interface: interface.to_owned(),
            members: (1..=members).map(|n| IpAddr::from([10, 0, 0, n])).collect(),
            ports: ports.iter().map(|port| (*port).to_owned()).collect(),
            has_ports: !ports.is_empty(),
        }
    }

    #[test]
    fn the_interface_is_to_be_named_in_the_configuration() {
        let way = way("eth1", 6, &[]);
        assert_eq!(
            what(&way),
            "packets to 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 2 more are dropped (no_device): they \
             would leave by eth1, which is not in [agent] interfaces"
        );
        assert!(fix(&way).starts_with("add \"eth1\" to interfaces in [agent]"), "{}", fix(&way));
        assert!(fix(&way).ends_with("ip route get 10.0.0.1"), "{}", fix(&way));
    }

    #[test]
    fn a_route_that_forbids_is_to_be_deleted_and_one_that_is_missing_added() {
        let member = IpAddr::from([10, 0, 0, 1]);
        let fix = route_fix(member, "a blackhole route or rule (invalid argument)");
        assert!(fix.contains("delete the blackhole route or rule that 10.0.0.1"), "{fix}");
        assert!(!fix.contains("GATEWAY"), "{fix}");
        let fix = route_fix(member, "network is unreachable");
        assert!(fix.contains("ip route add NETWORK dev DEVICE; if not"), "{fix}");
        assert!(fix.ends_with("ip route add 10.0.0.1 via GATEWAY"), "{fix}");
    }

    #[test]
    fn ipv6_is_to_be_switched_on_where_it_is_off() {
        let interfaces = ["eth0".to_owned(), "eth1".to_owned()];
        assert_eq!(ipv6_off(&interfaces), "IPv6 is switched off on eth0, eth1");
        let fix = ipv6_fix(&interfaces);
        let both = "sysctl -w net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth1.disable_ipv6=0 ";
        assert!(fix.starts_with(both), "{fix}");
    }

    #[test]
    fn an_interface_is_to_be_taken_out_of_its_bridge() {
        let way = way("br1", 1, &["eth0"]);
        assert!(what(&way).ends_with("; eth0 is a port of br1"), "{}", what(&way));
        assert!(fix(&way).starts_with("ip link set eth0 nomaster"), "{}", fix(&way));
        let other = UnservedWay { ports: [].into(), ..way };
        let mode =
            "of the configuration file (with attach_mode = \"generic\" if br1 is a bridge), then";
        assert!(fix(&other).contains(mode), "{}", fix(&other));
    }
}
