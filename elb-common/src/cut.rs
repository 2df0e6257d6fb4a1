//! Cutting a recorded connection: the agent asks `elb_cut` for one at a time, inside the kernel, where the
//! record is changed in its place. The packet path then resets the client, with its next packet.

use bytemuck::{Pod, Zeroable};

use crate::flow::{Flow, FlowKeyV4, FlowKeyV6, Visit, visit};

/// Arguments of `elb_cut`: words, since a raw tracepoint has no others.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Cut {
    /// The flow table, as [`crate::path::Family::TABLE`] has it.
    pub table: u32,
    /// Id of the listener that the record must name.
    pub listener: u32,
    /// When the record was made: a client may use its ports again meanwhile.
    pub since: u32,
    /// The present second.
    pub now: u32,
    /// The record's key; zeroes follow a short one.
    pub key: [u64; 5],
}

/// How many arguments there are.
pub const WORDS: usize = size_of::<Cut>() / 8;

/// What `elb_cut` answers where it cut the connection.
pub const DONE: u32 = 1;
/// What it answers where there is no such record any more, or it was cut before.
pub const GONE: u32 = 0;

impl Cut {
    /// The arguments for a record of `FLOWS_V4`.
    pub const fn v4(key: &FlowKeyV4, flow: &Flow, now: u32) -> Self {
        let [addresses, rest] = key.words();
        Self::new(0, [addresses, rest, 0, 0, 0], flow, now)
    }

    /// The arguments for a record of `FLOWS_V6`.
    pub const fn v6(key: &FlowKeyV6, flow: &Flow, now: u32) -> Self {
        Self::new(1, key.words(), flow, now)
    }

    const fn new(table: u32, key: [u64; 5], flow: &Flow, now: u32) -> Self {
        Self { table, listener: flow.listener as u32, since: flow.since, now, key }
    }

    /// Whether a record is the one that is meant, and was not cut before.
    #[inline(always)]
    pub const fn means(&self, flow: &Flow) -> bool {
        flow.listener as u32 == self.listener && flow.since == self.since && !flow.is_cut()
    }

    /// What happens to the record.
    #[inline(always)]
    pub const fn visit(&self) -> Visit {
        let listener = self.listener as u16;
        Visit { listener, pool: 0, any_pool: true, effect: visit::CUTS, oldest: 0, now: self.now }
    }
}

#[cfg(test)]
mod tests {
    use core::mem::{align_of, offset_of, size_of};

    use super::*;
    use crate::flow::flow_flags;

    #[test]
    fn only_the_record_that_was_seen_is_cut_and_only_once() {
        let flow = Flow { backend: 1, pool: 2, listener: 3, since: 50, seen: 60, flags: 0 };
        let cut = Cut::v4(&FlowKeyV4::connection(7, 3), &flow, 70);
        assert!(cut.means(&flow) && cut.visit().finds(&flow));
        assert!(cut.means(&Flow { seen: 65, backend: 9, ..flow }));
        assert!(!cut.means(&Flow { since: 51, ..flow }), "the ports were used again");
        assert!(!cut.means(&Flow { listener: 4, ..flow }));
        let after = cut.visit().after(flow);
        assert_eq!(after.flags, flow_flags::CLOSED | flow_flags::CUT);
        assert!(!cut.means(&after));
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<Cut>(), align_of::<Cut>(), WORDS), (56, 8, 7));
        assert_eq!(offset_of!(Cut, listener), 4);
        assert_eq!(offset_of!(Cut, since), 8);
        assert_eq!(offset_of!(Cut, now), 12);
        assert_eq!(offset_of!(Cut, key), 16);
    }
}
