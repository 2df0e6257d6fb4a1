//! Tests of `probe_route`.

use super::*;

#[test]
fn agents_with_other_pins_have_other_names() {
    let one = RouteNames::of(Path::new("/sys/fs/bpf/elb"), None);
    let other = RouteNames::of(Path::new("/sys/fs/bpf/elb2"), None);
    assert_ne!((&one.device, one.table), (&other.device, other.table));
    for name in [&one.device, &one.peer] {
        assert!(name.len() < libc::IFNAMSIZ, "{name}");
    }
}

/// Another version of the agent must find them again.
#[test]
fn names_are_the_same_for_ever() {
    let names = RouteNames::of(Path::new("/sys/fs/bpf/elb"), None);
    assert_eq!((names.device.as_str(), names.table), ("elb-probe-565f", NUMBERS | 0x565f));
}
