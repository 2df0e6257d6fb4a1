//! Tests of `probe_way`.

use super::*;

#[test]
fn agents_with_other_pins_have_other_names() {
    let one = Steering::of(Path::new("/sys/fs/bpf/elb"), None);
    let other = Steering::of(Path::new("/sys/fs/bpf/elb2"), None);
    assert_ne!((&one.device, one.table), (&other.device, other.table));
    for name in [&one.device, &one.peer] {
        assert!(name.len() < libc::IFNAMSIZ, "{name}");
    }
}

/// Another version of the agent must find them again.
#[test]
fn names_are_the_same_for_ever() {
    let steering = Steering::of(Path::new("/sys/fs/bpf/elb"), None);
    assert_eq!((steering.device.as_str(), steering.table), ("elb-probe-565f", NUMBERS | 0x565f));
}
