//! Ethernet groups by which interfaces hear who looks for virtual IPv6 addresses: which to join and to leave.

use std::collections::BTreeSet;
use std::{fs, io};

/// Index of an interface, and a group's Ethernet address.
pub type MulticastGroup = (u32, [u8; 6]);

/// What to join, and what to leave: groups that are not wanted any more and that the agent joined. Those of
/// interfaces that are gone went with them.
pub fn compare(
    wanted: &BTreeSet<MulticastGroup>,
    joined: &BTreeSet<MulticastGroup>,
    found: &BTreeSet<MulticastGroup>,
) -> (Vec<MulticastGroup>, Vec<MulticastGroup>) {
    let join = wanted.difference(found).copied().collect();
    let leave = joined.difference(wanted).filter(|group| found.contains(group));
    (join, leave.copied().collect())
}

/// Groups that a program joined, not the kernel itself.
///
/// # Errors
/// The kernel does not say.
pub fn found() -> io::Result<BTreeSet<MulticastGroup>> {
    Ok(fs::read_to_string("/proc/self/net/dev_mcast")?.lines().filter_map(read).collect())
}

/// Index, name, users, whether by wish, address.
fn read(line: &str) -> Option<MulticastGroup> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [index, _, _, by_wish, address] = words[..] else { return None };
    let mut bytes = [0; 6];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(address.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    (by_wish != "0" && address.len() == 12).then_some((index.parse().ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(index: u32, last: u8) -> MulticastGroup {
        (index, [0x33, 0x33, 0xff, 0, 0, last])
    }

    #[test]
    fn lines_of_the_kernel_are_read() {
        assert_eq!(read("2    eth0            1     1     3333ff000010"), Some(group(2, 0x10)));
        assert_eq!(read("2    eth0            1     0     3333ff000010"), None, "the kernel's own");
        for line in ["", "2 eth0 1 1", "2 eth0 1 1 3333ff0000", "2 eth0 1 1 3333ff0000zz"] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_missing_is_joined_and_what_is_not_wanted_any_more_is_left() {
        let set = |groups: &[MulticastGroup]| groups.iter().copied().collect();
        let (wanted, joined) = (set(&[group(2, 1), group(2, 2)]), set(&[group(2, 2), group(2, 3)]));
        let found = set(&[group(2, 2), group(2, 3), group(2, 9)]);
        let (join, leave) = compare(&wanted, &joined, &found);
        assert_eq!(join, [group(2, 1)]);
        assert_eq!(leave, [group(2, 3)], "not one that another program wants");
    }
}
