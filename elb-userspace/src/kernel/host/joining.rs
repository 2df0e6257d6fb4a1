//! Generic XDP gets packets that were joined: which offloads must be off, as `elb status`, `elb doctor` and the
//! log at start say it.

use crate::source::file::AttachMode;

/// What is wrong on these interfaces.
pub fn what(interfaces: &[String]) -> String {
    format!(
        "generic mode on {}: packets that their sender (TSO, GSO on the other end of a veth or virtio link) or \
         this host (GRO, LRO) joined are larger than what can be forwarded, and are dropped with the reason \
         \"joined\"",
        interfaces.join(", ")
    )
}

/// What to do about it.
pub fn fix(interfaces: &[String]) -> String {
    let here = interfaces.iter().map(|name| format!("ethtool -K {name} gro off lro off"));
    let here = here.collect::<Vec<_>>().join("; ");
    format!("{here}    # and on senders that share this machine: ethtool -K DEV tso off gso off")
}

/// The problem while the program is attached like this, if it is one.
pub fn problem(mode: AttachMode, interfaces: &[String]) -> Option<String> {
    let is_one = mode == AttachMode::Generic && !interfaces.is_empty();
    is_one.then(|| format!("{}; {}", what(interfaces), fix(interfaces)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_mode_names_offloads_and_interfaces() {
        let interfaces = ["eth0".to_owned(), "eth1".to_owned()];
        let said = problem(AttachMode::Generic, &interfaces).unwrap();
        for word in ["eth0, eth1", "ethtool -K eth1 gro off lro off", "tso off gso off", "joined"] {
            assert!(said.contains(word), "{said}");
        }
        assert_eq!(problem(AttachMode::Native, &interfaces), None);
        assert_eq!(problem(AttachMode::Generic, &[]), None);
    }
}
