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

use crate::diagnosis::evidence::MemberWay;

/// The kernel asks three times each way, a second apart, and is waited for until it gives up: without its
/// verdict silence would be blamed on a filter. A host that is busy gives up later.
const LIMIT: Duration = Duration::from_secs(12);
const POLL: Duration = Duration::from_millis(100);

/// Whether the next hop towards `member` answers, at the Ethernet address that is known or at another;
/// `None` if none is known, or the kernel does not say.
pub(super) async fn confirm(way: &MemberWay, member: IpAddr) -> Option<bool> {
    let hop = way.next_hop.as_ref().ok()?;
    let address = way.gateway.unwrap_or(member);
    let (connection, handle, _) = rtnetlink::new_connection().ok()?;
    let connection = tokio::spawn(connection);
    let confirmed = asked_again(&handle, hop.ifindex, address, hop.mac).await;
    connection.abort();
    confirmed
}

async fn asked_again(handle: &Handle, ifindex: u32, address: IpAddr, mac: Mac) -> Option<bool> {
    // An entry that an administrator made is not asked for, nor is it to be changed.
    if state(handle, ifindex, address).await == Some(NeighbourState::Permanent) {
        return None;
    }
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
