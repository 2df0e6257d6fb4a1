//! Tests of `ipgroup`.

use super::*;
use proptest::prelude::*;

fn network(text: &str) -> Cidr {
    text.parse().unwrap()
}

#[test]
fn an_address_is_a_network_of_one_and_other_bits_do_not_count() {
    for (text, canonical) in [
        ("0.0.0.0", "0.0.0.0/32"),
        ("::1", "::1/128"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3/32", "10.1.2.3/32"),
        ("10.1.2.3/0", "0.0.0.0/0"),
        ("2001:db8:ffff::1/33", "2001:db8:8000::/33"),
        ("2001:db8::1/0", "::/0"),
    ] {
        assert_eq!(network(text).to_string(), canonical);
    }
}

#[test]
fn other_texts_are_refused_with_a_reason() {
    for (text, what) in [
        ("", "is not an address or a network"),
        ("10.0.0.0/33", "is not an address or a network"),
        ("2001:db8::/129", "is not an address or a network"),
        ("10.0.0.0/-1", "is not an address or a network"),
        ("10.0.0.0/8/8", "is not an address or a network"),
        ("10.0.0.1-10.0.0.9", "is a range"),
        ("::ffff:10.0.0.0/104", "is an IPv4 network written as IPv6"),
    ] {
        let error = text.parse::<Cidr>().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    assert!("::/95".parse::<Cidr>().is_ok());
}

#[test]
fn a_group_holds_a_network_once_and_300_at_most() {
    let entry = |ip: String, description: &str| IpGroupEntry {
        ip: network(&ip),
        description: description.parse().unwrap(),
    };
    let (id, name): (_, Name) = (ResourceId::of_ip_group("office"), "office".parse().unwrap());
    let twice = vec![entry("10.0.0.0/8".into(), "first"), entry("10.9.9.9/8".into(), "second")];
    let group = IpGroup::new(id, name.clone(), twice.clone()).unwrap();
    assert_eq!(group.ip_list(), &twice[..1]);

    let many = |count: u16| {
        let [high, low] = count.to_be_bytes();
        entry(format!("10.0.{high}.{low}"), "")
    };
    let full: Vec<_> = (0..300).map(many).chain([many(0)]).collect();
    assert_eq!(IpGroup::new(id, name.clone(), full).unwrap().networks().len(), 300);
    let error = IpGroup::new(id, name, (0..301).map(many).collect()).unwrap_err();
    assert_eq!(error.what, "has 301 networks, of at most 300");
}

#[test]
fn descriptions_have_a_length_and_no_brackets() {
    assert!("é".repeat(255).parse::<Description>().is_ok());
    assert!("é".repeat(256).parse::<Description>().is_err());
    assert!("<b>".parse::<Description>().is_err());
}

proptest! {
    #[test]
    fn a_network_is_read_as_it_is_written(address: IpAddr, bits in 0u8..=128) {
        let bits = if address.is_ipv4() { bits.min(32) } else { bits };
        let network = Cidr::of(address, bits).unwrap();
        prop_assert_eq!(Cidr::of(network.address(), bits), Some(network));
        let mapped = matches!(network.address(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        if !mapped || bits < 96 {
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }
    }
}
