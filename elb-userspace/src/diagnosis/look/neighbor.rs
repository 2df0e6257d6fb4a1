//! Whether the next hop still answers for its address: the kernel is made to ask it again, first at the
//! Ethernet address that is known, then all hosts of the segment, since it may have another one by now.

use std::net::IpAddr;
use std::time::Duration;

use elb_common::addr::Mac;
use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourState,
};
use tokio::time::{Instant, sleep};

use crate::diagnosis::evidence::{MemberWay, PinnedNeighbor};
use crate::kernel::net::holders::{self, HolderQuestion};

/// The kernel asks three times each way, a second apart, and is waited for until it gives up: without its
/// verdict silence would be blamed on a filter. A host that is busy gives up later.
const LIMIT: Duration = Duration::from_secs(12);
const POLL: Duration = Duration::from_millis(100);

/// What came of asking the next hop again.
#[derive(Debug, Default)]
pub(super) struct Confirmation {
    /// Whether it answers, at the Ethernet address that is known or at another; `None` if none is known,
    /// or the kernel does not say.
    pub(super) answers: Option<bool>,
    /// The entry for it, if an administrator made it and it does not hold.
    pub(super) pinned: Option<PinnedNeighbor>,
}

/// Asks the next hop towards `member` again.
pub(super) async fn confirm(way: &MemberWay, member: IpAddr) -> Confirmation {
    let Ok(hop) = &way.next_hop else { return Confirmation::default() };
    let address = way.gateway.unwrap_or(member);
    let Ok((connection, handle, _)) = rtnetlink::new_connection() else {
        return Confirmation::default();
    };
    let connection = tokio::spawn(connection);
    // An entry that an administrator made is not asked for by the kernel, nor is it to be changed.
    let confirmed = if state(&handle, hop.ifindex, address).await == Some(NeighbourState::Permanent)
    {
        let question = HolderQuestion { ifindex: hop.ifindex, mac: hop.source_mac, vip: address };
        Confirmation { answers: None, pinned: asked_ourselves(question, hop.mac).await }
    } else {
        let answers = asked_again(&handle, hop.ifindex, address, hop.mac).await;
        Confirmation { answers, pinned: None }
    };
    connection.abort();
    confirmed
}

/// Asks the segment who has the address; none: the host at the Ethernet address of the entry has it, or
/// it cannot be asked. A request that is lost may be lost by chance, so that another one is sent.
async fn asked_ourselves(question: HolderQuestion, has: Mac) -> Option<PinnedNeighbor> {
    for _ in 0..2 {
        let asked = tokio::task::spawn_blocking(move || holders::ask(&[question])).await;
        let found: Vec<Mac> = asked.ok()?.ok()?.iter().map(|one| one.mac).collect();
        if !found.is_empty() {
            return contradiction(has, &found);
        }
    }
    contradiction(has, &[])
}

/// The entry, unless one of those who answered is in it.
fn contradiction(has: Mac, found: &[Mac]) -> Option<PinnedNeighbor> {
    let answers = found.first().copied();
    (!found.contains(&has)).then_some(PinnedNeighbor { has, answers })
}

async fn asked_again(handle: &Handle, ifindex: u32, address: IpAddr, mac: Mac) -> Option<bool> {
    let neighbors = handle.neighbours();
    let probe = neighbors.add(ifindex, address).link_layer_address(&mac.bytes());
    probe.state(NeighbourState::Probe).replace().execute().await.ok()?;
    let deadline = Instant::now() + LIMIT;
    if let answers @ (Some(true) | None) = verdict(handle, ifindex, address, deadline).await {
        return answers;
    }
    // An entry that failed is resolved as if there were a packet for it: every host is asked.
    let resolve = handle.neighbours().add(ifindex, address).flags(NeighbourFlags::Use);
    resolve.replace().execute().await.ok()?;
    verdict(handle, ifindex, address, deadline).await
}

/// What the kernel finds; `None`: nothing yet at the deadline.
async fn verdict(
    handle: &Handle,
    ifindex: u32,
    address: IpAddr,
    deadline: Instant,
) -> Option<bool> {
    loop {
        match state(handle, ifindex, address).await {
            Some(NeighbourState::Reachable) => return Some(true),
            Some(NeighbourState::Failed) | None => return Some(false),
            Some(_) if Instant::now() >= deadline => return None,
            Some(_) => sleep(POLL).await,
        }
    }
}

async fn state(handle: &Handle, ifindex: u32, address: IpAddr) -> Option<NeighbourState> {
    let wanted = match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    };
    let mut all = handle.neighbours().get().execute();
    while let Some(neighbor) = all.try_next().await.ok()? {
        let is_it = |attribute: &NeighbourAttribute| {
            let NeighbourAttribute::Destination(destination) = attribute else { return false };
            *destination == wanted
        };
        if neighbor.header.ifindex == ifindex && neighbor.attributes.iter().any(is_it) {
            return Some(neighbor.header.state);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_holds_if_its_host_is_among_those_that_answer() {
        let [a, b] = [1, 2].map(|last| Mac::new([2, 0, 0, 0, 0, last]));
        assert_eq!(contradiction(a, &[b, a]), None);
        assert_eq!(contradiction(a, &[b]), Some(PinnedNeighbor { has: a, answers: Some(b) }));
        assert_eq!(contradiction(a, &[]), Some(PinnedNeighbor { has: a, answers: None }));
    }
}
