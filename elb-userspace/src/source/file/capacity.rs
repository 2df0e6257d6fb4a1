//! What fits into maps whose size is not settable.

use elb_common::limits::{MAX_POOLS, MAX_PORT_RANGES, MAX_SERVER_IDS, MAX_VIPS};

use crate::model::rules::{At, Violation};
use crate::model::{LoadBalancer, Pool, SourceAddresses};

/// Half of the map: while ranges change, the new ones are there next to the old ones.
const MOST_PREFIXES: usize = MAX_PORT_RANGES as usize / 2;

/// Listeners whose ranges of ports find no room, taking them in the order of the file.
pub(super) fn port_ranges(load_balancers: &[LoadBalancer]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut prefixes = 0;
    for (i, lb) in load_balancers.iter().enumerate() {
        for (j, listener) in lb.listeners.iter().enumerate() {
            let own = listener.ports().prefixes().len() * lb.vips().count();
            prefixes += own;
            if prefixes > MOST_PREFIXES {
                let what = format!("its ports need {prefixes} prefixes in all, of {MOST_PREFIXES}");
                let fix = "use fewer ranges, or ranges that begin and end at multiples of 16";
                let (at, key, fix) = (At::Listener(i, j), "port_ranges", fix.to_owned());
                violations.push(Violation { at, key, what, fix });
                prefixes -= own;
            }
        }
    }
    violations
}

/// Load balancers whose addresses find no room, taking them in the order of the file. Each family has a map
/// of its own, in which source addresses are, too.
pub(super) fn addresses(
    load_balancers: &[LoadBalancer],
    snat: Option<SourceAddresses>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut used = [snat.map_or(0, SourceAddresses::count), 0];
    for (i, lb) in load_balancers.iter().enumerate() {
        let needs = lb.vips().fold(used, |mut used, address| {
            used[usize::from(address.is_ipv6())] += 1;
            used
        });
        let full = needs.iter().position(|count| *count > MAX_VIPS);
        let Some(family) = full else {
            used = needs;
            continue;
        };
        let (key, version) = [("vip_address", 4), ("ipv6_vip_address", 6)][family];
        let what = format!(
            "its address is number {} of IPv{version}, and there is room for {MAX_VIPS}",
            needs[family]
        );
        let fix = "remove a load balancer, or serve it from another host".to_owned();
        violations.push(Violation { at: At::LoadBalancer(i), key, what, fix });
    }
    violations
}

/// Pools that find no room, taking them in the order of the file.
pub(super) fn pools(pools: &[Pool]) -> Vec<Violation> {
    let over = pools.iter().enumerate().skip(MAX_POOLS as usize);
    let violation = |(i, _): (usize, &Pool)| {
        let what = format!("it is pool number {}, and there is room for {MAX_POOLS}", i + 1);
        let fix = "remove a pool, or serve it from another host".to_owned();
        Violation { at: At::Pool(i), key: "name", what, fix }
    };
    over.map(violation).collect()
}

/// Pools whose members' server ids find no room, taking them in the order of the file.
pub(super) fn server_ids(pools: &[Pool]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut used = 0;
    for (i, pool) in pools.iter().enumerate() {
        let own = pool.members.iter().filter(|member| member.server_id.is_some()).count();
        used += own;
        if used > MAX_SERVER_IDS as usize {
            let what = format!(
                "its members need {used} server ids in all, and there is room for {MAX_SERVER_IDS}"
            );
            let fix = "give fewer members a server_id, or serve the pool from another host";
            violations.push(Violation {
                at: At::Pool(i),
                key: "member",
                what,
                fix: fix.to_owned(),
            });
            used -= own;
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::{parse, parse_lenient};
    use super::*;

    const AGENT: &str = "[agent]\ninterfaces = [\"eth0\"]\nmax_backends = 65535\n";

    fn balancers(count: u32) -> String {
        let one = |n: u32| {
            let [_, a, b, c] = n.to_be_bytes();
            format!("[[load_balancer]]\nname = \"lb-{n}\"\nvip_address = \"10.{a}.{b}.{c}\"\n")
        };
        AGENT.to_owned() + &(1..=count).map(one).collect::<String>()
    }

    #[test]
    fn addresses_fit_or_it_is_said() {
        assert!(parse("right", &balancers(MAX_VIPS)).is_ok());
        let (config, errors) = parse_lenient("wrong", &balancers(MAX_VIPS + 1));
        let text = errors.to_string();
        assert!(
            text.contains("its address is number 4097 of IPv4, and there is room for 4096"),
            "{text}"
        );
        assert_eq!(config.unwrap().model.load_balancers().len(), MAX_VIPS as usize);
    }

    #[test]
    fn pools_fit_or_it_is_said() {
        let pool = |n: u32| {
            format!("[[pool]]\nname = \"p{n}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n")
        };
        let text = |count: u32| AGENT.to_owned() + &(0..count).map(pool).collect::<String>();
        assert!(parse("right", &text(MAX_POOLS)).is_ok());
        let errors = parse("wrong", &text(MAX_POOLS + 2)).unwrap_err().to_string();
        assert!(errors.contains("it is pool number 4097, and there is room for 4096"), "{errors}");
    }

    #[test]
    fn server_ids_fit_or_it_is_said() {
        let member = |n: u32| {
            let [_, a, b, c] = n.to_be_bytes();
            format!(
                "[[pool.member]]\naddress = \"10.{a}.{b}.{c}\"\nprotocol_port = 443\n\
                 server_id = \"{n:08x}\"\n"
            )
        };
        let text = |count: u32| {
            let pool = "[[pool]]\nname = \"quic\"\nprotocol = \"UDP\"\nforwarding = \"ipip\"\n\
                        lb_algorithm = \"QUIC_CID\"\n\
                        quic_cid_hash_strategy = { offset = 1, len = 4 }\n";
            AGENT.to_owned() + pool + &(1..=count).map(member).collect::<String>()
        };
        let right = parse("right", &text(MAX_SERVER_IDS));
        assert!(right.is_ok(), "{}", right.unwrap_err());
        let errors = parse("wrong", &text(MAX_SERVER_IDS + 1)).unwrap_err().to_string();
        assert!(
            errors.contains("need 4097 server ids in all, and there is room for 4096"),
            "{errors}"
        );
    }
}
