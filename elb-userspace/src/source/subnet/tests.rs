//! Subnets of the file are right, and give each address once.

use proptest::prelude::*;

use super::*;
use crate::source::file::parse;

const A: &str = "5e0b6a0e-0000-4000-8000-000000000001";
const B: &str = "5e0b6a0e-0000-4000-8000-000000000002";

fn of(lines: &str) -> Result<Vec<Subnet>, String> {
    let head = "[agent]\ninterfaces = [\"eth0\"]\n[api]\nforwarding = \"ipip\"\n";
    let read = parse("file", &format!("{head}{lines}\n")).map_err(|errors| errors.to_string());
    read.map(|config| config.api.unwrap().subnets)
}

fn one(more: &str) -> Result<Subnet, String> {
    of(&format!("[[api.subnet]]\nid = \"{A}\"\n{more}")).map(|mut all| all.remove(0))
}

/// All that it gives, one after the other.
fn given(subnet: &Subnet) -> Vec<String> {
    let mut used = BTreeSet::new();
    while let Some(address) = subnet.free(&used) {
        assert!(used.insert(address) && subnet.allows(address), "{address}");
    }
    used.iter().map(ToString::to_string).collect()
}

#[test]
fn a_subnet_gives_its_addresses_in_order() {
    let all = |more: &str| given(&one(more).unwrap()).join(" ");
    assert_eq!(
        all("cidr = \"192.0.2.8/29\""),
        "192.0.2.9 192.0.2.10 192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14"
    );
    let some = "cidr = \"192.0.2.0/24\"\nfirst = \"192.0.2.10\"\nlast = \"192.0.2.17\"";
    let without = format!("{some}\nexclude = [\"192.0.2.10\", \"192.0.2.12/30\"]");
    assert_eq!(all(&without), "192.0.2.11 192.0.2.16 192.0.2.17");
    assert_eq!(all("cidr = \"192.0.2.254/31\""), "192.0.2.254 192.0.2.255");
    assert_eq!(all("cidr = \"192.0.2.7\""), "192.0.2.7");
    assert_eq!(all("cidr = \"2001:db8::/126\""), "2001:db8::1 2001:db8::2 2001:db8::3");
    let end = "cidr = \"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127\"";
    assert_eq!(given(&one(end).unwrap()).len(), 2, "the last addresses that there are");
    let large = one("cidr = \"::/0\"\nexclude = [\"::/1\"]").unwrap();
    assert_eq!(large.free(&BTreeSet::new()), Some("8000::".parse().unwrap()));
}

#[test]
fn what_is_allowed_may_be_outside_of_what_is_given() {
    let subnet = one(
        "name = \"front\"\ncidr = \"192.0.2.0/24\"\nfirst = \"192.0.2.10\"\nexclude = [\"192.0.2.1\"]",
    );
    let subnet = subnet.unwrap();
    let allows = |text: &str| subnet.allows(text.parse().unwrap());
    assert!(allows("192.0.2.2") && allows("192.0.2.10"));
    for not in ["192.0.2.0", "192.0.2.255", "192.0.2.1", "192.0.3.1", "::ffff:192.0.2.2"] {
        assert!(!allows(not), "{not}");
    }
    assert!(
        subnet.is_called("front") && subnet.is_called(&A.to_uppercase()) && !subnet.is_called("x")
    );
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    for (lines, said) in [
        ("", "cidr is missing; set it to a network, as in \"192.0.2.0/24\""),
        ("cidr = \"192.0.2.0/33\"", "is not an address or a network"),
        (
            "cidr = \"192.0.2.0/24\"\nfirst = \"192.0.3.1\"",
            "first 192.0.3.1 is not within 192.0.2.0/24; use an address of",
        ),
        ("cidr = \"192.0.2.0/24\"\nlast = \"::1\"", "last ::1 is not within"),
        (
            "cidr = \"192.0.2.0/24\"\nfirst = \"192.0.2.9\"\nlast = \"192.0.2.8\"",
            "first 192.0.2.9 is after last 192.0.2.8; swap them",
        ),
        (
            "cidr = \"192.0.2.0/24\"\nexclude = [\"192.0.3.0/24\"]",
            "exclude has 192.0.3.0/24, which is not within",
        ),
        ("cidr = \"192.0.2.0/24\"\nexclude = [\"192.0.0.0/16\"]", "is not within"),
        (
            "cidr = \"192.0.2.0/24\"\nexclude = [\"192.0.2.0/24\"]",
            "no address of 192.0.2.0/24 is left",
        ),
        ("cidr = \"192.0.2.0/24\"\nname = \"\"", "name"),
        ("cidr = \"192.0.2.0/24\"\ngateway = \"192.0.2.1\"", "\"gateway\" is not a key here"),
    ] {
        let errors = one(lines).unwrap_err();
        assert!(errors.contains(said), "{lines}: {errors}");
    }
    let front =
        format!("[[api.subnet]]\nid = \"{A}\"\nname = \"front\"\ncidr = \"192.0.2.0/24\"\n");
    for (id, name, cidr, said) in [
        (A, "b", "198.51.100.0/24", "is that of subnet \"front\""),
        (B, "front", "198.51.100.0/24", "name \"front\" is there twice"),
        (B, "b", "192.0.2.128/25", "has addresses of subnet \"front\" (192.0.2.0/24)"),
        (B, "b", "192.0.0.0/16", "has addresses of subnet"),
    ] {
        let second =
            format!("[[api.subnet]]\nid = \"{id}\"\nname = \"{name}\"\ncidr = \"{cidr}\"\n");
        let errors = of(&format!("{front}{second}")).unwrap_err();
        assert!(errors.contains(said), "{second}: {errors}");
    }
    assert!(
        of("[[api.subnet]]\ncidr = \"192.0.2.0/24\"")
            .unwrap_err()
            .contains("id is missing; give it a UUID")
    );
}

proptest! {
    /// Whatever is in use, an address that is given is free, allowed and the lowest one.
    #[test]
    fn no_address_is_given_twice(
        bits in 24u8..=30,
        excluded in proptest::collection::vec((0u8..=255, 26u8..=32), 0..4),
        used in proptest::collection::btree_set(0u8..=255, 0..200),
    ) {
        let at = |n: u8| IpAddr::from([192, 0, 2, n]);
        let cidr = Cidr::of(at(0), bits).unwrap();
        let (_, last) = bounds(cidr);
        let exclude: Vec<Cidr> =
            excluded.into_iter().filter_map(|(n, bits)| Cidr::of(at(n), bits)).collect();
        let id = A.parse().unwrap();
        let mut subnet = Subnet { id, name: None, cidr, first: at(0), last: at(0), exclude };
        subnet.last = subnet.address(last);
        let used: BTreeSet<IpAddr> = used.into_iter().map(at).collect();
        let is_free = |address: &IpAddr| subnet.allows(*address) && !used.contains(address);
        let lowest = (0..=u8::MAX).map(at).find(is_free);
        prop_assert_eq!(subnet.free(&used), lowest);
    }
}
