//! Interfaces, their addresses and the default route, over rtnetlink.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::io;
use std::net::IpAddr;
use std::pin::pin;

use futures_util::{Stream, TryStreamExt as _};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp};
use rtnetlink::packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteType};
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::{Handle, IpVersion, new_connection};
use tokio::runtime::{Builder, Runtime};

use thiserror::Error;

/// The routing table for answers through a load balancer (`elb backend up --mode nat`): a number that no
/// person chooses.
pub(crate) const ANSWERS_TABLE: u32 = 0xe1b1_0000;

/// Netlink does not work.
#[derive(Debug, Error)]
#[error("netlink: {0}")]
pub struct NetlinkError(pub(crate) io::Error);

/// A netlink socket of this thread's network namespace.
pub(crate) struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) loopback: bool,
    /// Whether it speaks ARP, and so could answer for an address.
    pub(crate) arp: bool,
    /// What it is, if it is virtual: `veth`, `ipip` …
    pub(crate) kind: Option<String>,
    /// The number of the XDP program that it carries.
    pub(crate) xdp: Option<u32>,
    /// The largest packet that it takes, in bytes.
    pub(crate) mtu: u32,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    pub(crate) prefix: u8,
    pub(crate) index: u32,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let runtime = Builder::new_current_thread().enable_io().build().map_err(NetlinkError)?;
        let handle = {
            let _entered = runtime.enter();
            let (connection, handle, _) = new_connection().map_err(NetlinkError)?;
            runtime.spawn(connection);
            handle
        };
        Ok(Self { runtime, handle })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let messages = self.all(self.handle.link().get().execute())?;
        Ok(messages.iter().filter_map(read_link).collect())
    }

    pub(crate) fn addresses(&self) -> Result<Vec<Address>, NetlinkError> {
        let messages = self.all(self.handle.address().get().execute())?;
        Ok(messages.iter().filter_map(read_address).collect())
    }

    /// Puts an address on an interface so that nothing chooses it as a source; see the module
    /// `backend` for why this way.
    pub(crate) fn add(&self, index: u32, vip: IpAddr) -> io::Result<()> {
        let mut request = self.handle.address().add(index, vip, prefix(vip));
        let message = request.message_mut();
        match vip {
            IpAddr::V4(_) => message.header.scope = AddressScope::Host,
            IpAddr::V6(_) => {
                const FOREVER: u32 = u32::MAX;
                let mut lifetimes = CacheInfo::default();
                lifetimes.ifa_preferred = 0;
                lifetimes.ifa_valid = FOREVER;
                message.header.flags |= AddressHeaderFlags::Nodad;
                message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
                message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
            }
        }
        let answer = self.runtime.block_on(request.execute());
        answer.map_err(into_io)
    }

    /// Takes an address that [`Netlink::add`] added away.
    pub(crate) fn remove(&self, index: u32, vip: IpAddr) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = prefix(vip);
        message.header.family = match vip {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.attributes.push(AddressAttribute::Local(vip));
        let answer = self.runtime.block_on(self.handle.address().del(message).execute());
        answer.map_err(into_io)
    }

    /// The name of the interface of the default route.
    pub(crate) fn default_interface(&self) -> Result<Option<String>, NetlinkError> {
        let mut found = None;
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            let routes = self.all(self.handle.route().get(request).execute())?;
            found = found.or(routes.iter().filter_map(default_route).min());
        }
        let Some((_, index)) = found else { return Ok(None) };
        let links = self.links()?;
        Ok(links.into_iter().find(|link| link.index == index).map(|link| link.name))
    }

    /// All routes of a version of IP, those of every table.
    pub(crate) fn routes(&self, v6: bool) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut request = RouteMessage::default();
        request.header.address_family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        self.all(self.handle.route().get(request).execute())
    }

    /// Puts a route in the place of the one with the same network and metric.
    pub(crate) fn replace_route(&self, route: RouteMessage) -> io::Result<()> {
        let request = self.handle.route().add(route).replace();
        self.runtime.block_on(request.execute()).map_err(into_io)
    }

    /// Takes a route away.
    pub(crate) fn remove_route(&self, route: RouteMessage) -> io::Result<()> {
        self.runtime.block_on(self.handle.route().del(route).execute()).map_err(into_io)
    }

    /// All routing rules of a version of IP; none where the kernel has not that version.
    pub(crate) fn rules(&self, v6: bool) -> Result<Vec<RuleMessage>, NetlinkError> {
        let version = if v6 { IpVersion::V6 } else { IpVersion::V4 };
        match self.all(self.handle.rule().get(version).execute()) {
            Err(NetlinkError(error)) if v6 && is_unknown(&error) => Ok(Vec::new()),
            rules => rules,
        }
    }

    /// Adds a routing rule, if there is none like it.
    pub(crate) fn add_rule(&self, rule: RuleMessage) -> io::Result<()> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule;
        self.runtime.block_on(request.execute()).map_err(into_io)
    }

    /// Takes a routing rule away.
    pub(crate) fn remove_rule(&self, rule: RuleMessage) -> io::Result<()> {
        self.runtime.block_on(self.handle.rule().del(rule).execute()).map_err(into_io)
    }

    /// The name of the interface of the default route of a version of IP, in any table but that for answers.
    pub(crate) fn default_interface_of(&self, v6: bool) -> Result<Option<String>, NetlinkError> {
        let mut request = RouteMessage::default();
        request.header.address_family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let routes = self.all(self.handle.route().get(request).execute())?;
        let of_answers = RouteAttribute::Table(ANSWERS_TABLE);
        let routes = routes.iter().filter(|route| !route.attributes.contains(&of_answers));
        let Some((_, index)) = routes.filter_map(to_anywhere).min() else { return Ok(None) };
        let links = self.links()?;
        Ok(links.into_iter().find(|link| link.index == index).map(|link| link.name))
    }

    /// All answers to a request.
    pub(crate) fn all<T>(
        &self,
        answers: impl Stream<Item = Result<T, rtnetlink::Error>>,
    ) -> Result<Vec<T>, NetlinkError> {
        let all = async { pin!(answers).try_collect().await };
        self.runtime.block_on(all).map_err(|error| NetlinkError(into_io(error)))
    }
}

/// As [`to_anywhere`], of the main table.
fn default_route(route: &RouteMessage) -> Option<(u32, u32)> {
    let is_main = route.header.table == RouteHeader::RT_TABLE_MAIN;
    is_main.then(|| to_anywhere(route)).flatten()
}

/// Metric and interface of a route, if it is a default route; the metric comes first in the order.
fn to_anywhere(route: &RouteMessage) -> Option<(u32, u32)> {
    let header = &route.header;
    if header.destination_prefix_length != 0 || header.kind != RouteType::Unicast {
        return None;
    }
    let (mut metric, mut index) = (0, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::MultiPath(hops) => {
                index = hops.first().map(|hop| hop.interface_index);
            }
            _ => {}
        }
    }
    Some((metric, index?))
}

fn read_link(message: &LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        loopback: flags.contains(LinkFlags::Loopback),
        arp: !flags.intersects(LinkFlags::Noarp | LinkFlags::Loopback),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            LinkAttribute::Xdp(parts) => {
                link.xdp = parts.iter().find_map(|part| match part {
                    LinkXdp::ProgId(id) => Some(*id),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn read_address(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            _ => {}
        }
    }
    // On a point-to-point interface `address` is the other end's.
    let ip = local.or(address)?;
    Some(Address { ip, prefix: message.header.prefix_len, index: message.header.index })
}

/// Whether the kernel does not have what it is asked about.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP))
}

fn prefix(vip: IpAddr) -> u8 {
    if vip.is_ipv4() { 32 } else { 128 }
}

fn into_io(error: rtnetlink::Error) -> io::Error {
    if let rtnetlink::Error::NetlinkError(message) = &error {
        return message.to_io();
    }
    io::Error::other(error)
}
