//! Whether hosts on the segment have to learn anew where virtual addresses are.

use super::found::HostState;

/// Whether something happened between two looks to an interface that addresses are announced on, after
/// which a switch or a neighbour may know an older place: its other end came, it has another Ethernet
/// address, or the kernel says so.
pub fn moved(before: &HostState, now: &HostState, index: u32) -> bool {
    let Some(is) = now.interfaces.get(&index).filter(|is| is.carrier) else { return false };
    let Some(was) = before.interfaces.get(&index) else { return true };
    !was.carrier || was.mac != is.mac || (was.carrier_ups, was.moves) != (is.carrier_ups, is.moves)
}

#[cfg(test)]
mod tests {
    use elb_common::addr::Mac;

    use super::*;
    use crate::kernel::host::found::HostInterface;

    fn found(last: u8, carrier: bool, carrier_ups: u32) -> HostState {
        let mac = Some(Mac::new([2, 0, 0, 0, 0, last]));
        let one = HostInterface { mac, carrier, carrier_ups, ..HostInterface::default() };
        HostState { interfaces: [(2, one)].into(), ..HostState::default() }
    }

    #[test]
    fn what_neighbours_may_have_missed_is_announced_again() {
        let was = found(1, true, 1);
        assert!(!moved(&was, &was, 2), "nothing happened");
        assert!(!moved(&was, &found(1, false, 1), 2), "no other interface hears it");
        assert!(moved(&found(1, false, 1), &was, 2), "it came up");
        assert!(moved(&was, &found(1, true, 2), 2), "it flapped between two looks");
        assert!(moved(&was, &found(7, true, 1), 2), "another Ethernet address");
        assert!(moved(&HostState::default(), &was, 2), "it is new");
        assert!(!moved(&was, &HostState::default(), 2), "it is gone");
        let mut reported = was.clone();
        reported.interfaces.get_mut(&2).unwrap().moves = 1;
        assert!(moved(&was, &reported, 2), "the kernel said so");
    }
}
