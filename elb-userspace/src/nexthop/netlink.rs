//! Keeps a [`Network`] in step with the kernel over rtnetlink: a dump at first, then what changes.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has hundreds of messages and attributes, of which a handful matter here"
)]

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use elb_common::addr::Mac;
use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::{Link, Network, Route, Wanted};

/// Netlink does not work.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    /// A request failed.
    #[error("netlink: {0}")]
    Request(#[from] rtnetlink::Error),
    /// The kernel closed the socket, or the task that reads it ended.
    #[error("the netlink socket was closed")]
    Closed,
}

/// After a change of routes or links, how long to wait for more before asking again: routing
/// daemons change many at once.
const CALM: Duration = Duration::from_millis(20);
/// How often a neighbour that does not answer is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Follows the network for as long as somebody listens: `wanted` are the addresses to find ways
/// to, `network` is what is known; with its first links, it has the routes.
///
/// # Errors
/// See [`NetlinkError`].
pub async fn follow(
    mut wanted: watch::Receiver<Wanted>,
    network: watch::Sender<Network>,
) -> Result<(), NetlinkError> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Neigh,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
    ];
    let (connection, handle, mut messages) = new_multicast_connection(&groups)?;
    let connection = tokio::spawn(connection);
    let mut follower = Follower { handle, known: Network::default() };
    follower.dump().await?;
    let addresses = wanted.borrow_and_update().clone();
    follower.routes(&addresses).await?;
    let mut refresh = None;
    loop {
        network.send_if_modified(|told| {
            let news = *told != follower.known;
            if news {
                told.clone_from(&follower.known);
            }
            news
        });
        let missing = follower.missing(&wanted.borrow().members);
        follower.ask_for(&missing).await;
        let ask_again = (!missing.is_empty()).then(|| Instant::now() + ASK_AGAIN);
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    connection.abort();
                    return Ok(());
                }
                refresh = Some(Instant::now());
            }
            message = messages.next() => {
                let (message, _) = message.ok_or(NetlinkError::Closed)?;
                if follower.learn(message) {
                    refresh.get_or_insert(Instant::now() + CALM);
                }
            }
            () = sleep_until(refresh) => {
                refresh = None;
                let addresses = wanted.borrow_and_update().clone();
                follower.routes(&addresses).await?;
            }
            () = sleep_until(ask_again) => {}
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

struct Follower {
    handle: Handle,
    known: Network,
}

impl Follower {
    async fn dump(&mut self) -> Result<(), NetlinkError> {
        let mut links = self.handle.link().get().execute();
        while let Some(link) = links.try_next().await? {
            self.link(&link);
        }
        let mut neighbors = self.handle.neighbours().get().execute();
        while let Some(neighbor) = neighbors.try_next().await? {
            self.neighbor(&neighbor);
        }
        Ok(())
    }

    /// Takes a notification in; true if routes may have changed.
    fn learn(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> bool {
        let NetlinkPayload::InnerMessage(message) = message.payload else { return false };
        match message {
            RouteNetlinkMessage::NewLink(link) => self.link(&link),
            RouteNetlinkMessage::DelLink(link) => self.forget_link(link.header.index),
            RouteNetlinkMessage::NewNeighbour(neighbor) => {
                self.neighbor(&neighbor);
                return false;
            }
            RouteNetlinkMessage::DelNeighbour(neighbor) => {
                self.forget_neighbor(&neighbor);
                return false;
            }
            _ => {}
        }
        true
    }

    fn link(&mut self, message: &LinkMessage) {
        let mut link = Link { name: String::new(), mac: None, mtu: 1500 };
        let (mut below, mut above, mut is_upper) = (None, None, false);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) => link.mac = mac(bytes),
                LinkAttribute::Link(lower) => below = Some(*lower),
                LinkAttribute::Controller(upper) => above = Some(*upper),
                LinkAttribute::LinkInfo(info) => is_upper = info.iter().any(is_of_lower),
                _ => {}
            }
        }
        // Interfaces report their wireless and bridge sides without a name.
        if !link.name.is_empty() {
            let index = message.header.index;
            self.known.links.insert(index, link);
            self.known.stack(index, below.filter(|_| is_upper), above);
        }
    }

    fn forget_link(&mut self, index: u32) {
        self.known.links.remove(&index);
        self.known.stack(index, None, None);
        self.known.neighbors.retain(|(ifindex, _), _| *ifindex != index);
    }

    /// A next hop that the kernel forgets for want of use is still there: XDP uses it without the
    /// kernel's noticing. All others are forgotten with it, so that strangers fill no memory.
    fn forget_neighbor(&mut self, message: &NeighbourMessage) {
        let (Some(address), _) = address_and_mac(message) else { return };
        let neighbor = (message.header.ifindex, address);
        if !self.known.uses(neighbor) {
            self.known.neighbors.remove(&neighbor);
        }
    }

    fn neighbor(&mut self, message: &NeighbourMessage) {
        let (address, ethernet) = address_and_mac(message);
        let usable = !matches!(
            message.header.state,
            NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::None
        );
        if let (Some(address), Some(ethernet), true) = (address, ethernet, usable) {
            self.known.neighbors.insert((message.header.ifindex, address), ethernet);
        }
    }

    /// Asks for the routes to all addresses anew.
    async fn routes(&mut self, wanted: &Wanted) -> Result<(), NetlinkError> {
        let mut routes = HashMap::new();
        for address in wanted.members.union(&wanted.vips) {
            routes.insert(*address, self.route(*address).await?);
        }
        self.known.routes = routes;
        Ok(())
    }

    async fn route(&self, address: IpAddr) -> Result<Route, NetlinkError> {
        let mut request = RouteMessage::default();
        request.header.address_family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        request.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
        request.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        let mut answers = std::pin::pin!(self.handle.route().get(request).execute());
        match answers.try_next().await {
            Ok(Some(route)) => Ok(read_route(&route)),
            Ok(None) => Ok(Route::None),
            // The kernel says that there is no route with an error: unreachable, prohibited.
            Err(rtnetlink::Error::NetlinkError(_)) => Ok(Route::None),
            Err(error) => Err(error.into()),
        }
    }

    fn missing(&self, wanted: &BTreeSet<IpAddr>) -> BTreeSet<(u32, IpAddr)> {
        wanted.iter().filter_map(|address| self.known.missing_neighbor(*address)).collect()
    }

    /// Lets the kernel resolve neighbours, as if it had a packet for them.
    async fn ask_for(&self, neighbors: &BTreeSet<(u32, IpAddr)>) {
        for (ifindex, address) in neighbors {
            let request = self
                .handle
                .neighbours()
                .add(*ifindex, *address)
                .state(NeighbourState::None)
                .flags(NeighbourFlags::Use)
                .replace();
            if let Err(error) = request.execute().await {
                tracing::debug!(%address, ifindex, %error, "cannot ask for a neighbour");
            }
        }
    }
}

fn address_and_mac(message: &NeighbourMessage) -> (Option<IpAddr>, Option<Mac>) {
    let (mut address, mut ethernet) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => ethernet = mac(bytes),
            _ => {}
        }
    }
    (address, ethernet)
}

/// Whether an interface of this kind takes frames that another one receives, under an address that may be its
/// own. The link of a pair or a tunnel is another end.
fn is_of_lower(info: &LinkInfo) -> bool {
    use InfoKind::{IpVlan, IpVtap, MacVlan, MacVtap, Vlan};
    matches!(info, LinkInfo::Kind(Vlan | MacVlan | MacVtap | IpVlan | IpVtap))
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    let bytes: [u8; 6] = bytes.try_into().ok()?;
    (bytes != [0; 6]).then(|| Mac::new(bytes))
}

fn read_route(message: &RouteMessage) -> Route {
    match message.header.kind {
        RouteType::Unicast => {}
        RouteType::Local => return Route::Local,
        _ => return Route::None,
    }
    let (mut found, mut gateway, mut source, mut mtu) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => found = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some(IpAddr::V6(*address)),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some(IpAddr::V4(*address)),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    found.map_or(Route::None, |ifindex| Route::Via { ifindex, gateway, source, mtu })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
