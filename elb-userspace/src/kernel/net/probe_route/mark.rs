//! Which mark the sockets of probes have: one that no other program acts on.
//!
//! A mark is the only thing that chooses a route for a TCP socket without choosing what it receives
//! (`SO_BINDTODEVICE` refuses the answers, which come in by the real interface; `IP_UNICAST_IF` is not
//! for TCP). The packet keeps it through the host's filters, where other programs act on bits of it:
//! kube-proxy on 0x4000 and 0x8000, CNI's port map on 0x2000, Cilium on 0x0f00, AWS on 0x80, OpenShift
//! on 0x1, Calico, Tailscale and Weave on the upper 16. Those are not ours, and the rule does not look
//! at the upper 16 bits, so that what others add there changes nothing.

use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};

/// What the rule looks at.
pub(super) const MASK: u32 = 0xffff;

/// The marks of up to eight agents on one host, in the order of preference.
const MARKS: [u32; 8] = [0x1000, 0x1002, 0x1004, 0x1006, 0x1008, 0x100a, 0x100c, 0x100e];

/// The mark for an agent with this table: the configured one, that of the rule that an earlier agent
/// left, or the first that no rule of another table selects.
pub(super) fn choose(rules: &[RuleMessage], table: u32, configured: Option<u32>) -> u32 {
    let left = rules.iter().filter(|rule| is_for(rule, table)).find_map(marked);
    let left = left.filter(|(mark, mask)| *mask == MASK && MARKS.contains(mark));
    let others: Vec<_> =
        rules.iter().filter(|rule| !is_for(rule, table)).filter_map(marked).collect();
    let is_free = |mark: &u32| others.iter().all(|(value, mask)| mark & mask != value & mask);
    configured
        .or(left.map(|(mark, _)| mark))
        .or_else(|| MARKS.into_iter().find(is_free))
        .unwrap_or(MARKS[0])
}

/// Whether a rule is for a table.
pub(super) fn is_for(rule: &RuleMessage, table: u32) -> bool {
    rule.attributes.contains(&RuleAttribute::Table(table))
}

/// Mark and mask of a rule that selects by them.
pub(super) fn marked(rule: &RuleMessage) -> Option<(u32, u32)> {
    let [mut mark, mut mask] = [None; 2];
    for attribute in &rule.attributes {
        if let RuleAttribute::FwMark(value) = attribute {
            mark = Some(*value);
        } else if let RuleAttribute::FwMask(value) = attribute {
            mask = Some(*value);
        }
    }
    mark.map(|mark| (mark, mask.unwrap_or(u32::MAX))).filter(|(_, mask)| *mask != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: u32 = 7;

    fn rule(mark: u32, mask: u32, table: u32) -> RuleMessage {
        let mut rule = RuleMessage::default();
        rule.attributes = vec![
            RuleAttribute::FwMark(mark),
            RuleAttribute::FwMask(mask),
            RuleAttribute::Table(table),
        ];
        rule
    }

    #[test]
    fn a_mark_is_used_by_no_other_program() {
        let plain = RuleMessage::default();
        let chosen = |rules: &[RuleMessage]| choose(rules, TABLE, None);
        assert_eq!(chosen(&[]), 0x1000);
        assert_eq!(chosen(std::slice::from_ref(&plain)), 0x1000);
        assert_eq!(chosen(&[rule(0x1000, MASK, 8)]), 0x1002, "another agent's");
        assert_eq!(chosen(&[rule(0x1000, 0x1000, 8)]), 0x1000, "others have every mark: the first");
        assert_eq!(chosen(&[rule(0x200, 0xf00, 2004)]), 0x1000, "Cilium's");
        assert_eq!(chosen(&[rule(0x1000, MASK, 8), rule(0x1002, MASK, TABLE)]), 0x1002, "left");
        assert_eq!(chosen(&[rule(0xe1b0_565f, u32::MAX, TABLE)]), 0x1000, "of an earlier version");
        assert_eq!(choose(&[rule(0x1002, MASK, TABLE)], TABLE, Some(0x44)), 0x44);
    }

    /// What other programs act on, see above.
    #[test]
    fn marks_are_of_free_bits() {
        for mark in MARKS {
            assert_eq!(mark & 0xffff_0000, 0);
            for taken in [0x4000, 0x8000, 0x2000, 0x0f00, 0x80, 0x20, 0x1] {
                assert_eq!(mark & taken, 0, "{mark:#x}");
            }
        }
    }
}
