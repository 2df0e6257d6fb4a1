//! Looks whether probes would still go the way they are to go, and makes what is missing again.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel tells more than is asked; the attributes of interest are picked out"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;

use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use super::{Steered, Steering, SteeringError, index, mark, rules};

/// Addresses that no host has (RFC 5737, RFC 3849): which way would a probe go that no other route knows?
const SOMEBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The loopback interface's index in every network namespace.
const LOOPBACK: u32 = 1;

/// The way as it was set up, to be kept.
#[derive(Clone, Debug)]
pub struct Way {
    /// Names and numbers, with the mark that sockets have.
    pub steering: Steering,
    /// Whether there is one for IPv6.
    pub v6: bool,
}

impl Steering {
    /// What is missing of the way, as far as it can be seen from outside of the agent.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn missing(&self, vips: &[IpAddr]) -> Result<Option<String>, SteeringError> {
        let handle = super::open()?;
        let unknown = |error| self.no_route("IPv4", error);
        let mark = self.choose_mark(&handle).await.map_err(unknown)?;
        let steering = Self { mark: Some(mark), ..self.clone() };
        let v6 = steering.no_v6().is_none();
        let is_there = |name: &str| index(name).is_some();
        Way { steering, v6 }.missing(&handle, vips, is_there).await.map_err(unknown)
    }
}

impl Way {
    /// That of `steering` as it came out.
    pub fn new(steering: Steering, steered: &Steered) -> Self {
        // The sockets of probes have this mark, whatever else would be free by now.
        Self { steering: Steering { mark: Some(steered.mark), ..steering }, v6: steered.v6.is_ok() }
    }

    /// What is missing for probes of these virtual addresses; an interface counts as there while it is up
    /// at both ends, which `is_up` says.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn missing(
        &self,
        handle: &Handle,
        vips: &[IpAddr],
        is_up: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, rtnetlink::Error> {
        let Steering { device, peer, .. } = &self.steering;
        if let Some(name) = [device, peer].into_iter().find(|name| !is_up(name)) {
            return Ok(Some(format!("the interface {name} is gone or down")));
        }
        let mut asked = SOMEBODY.iter().chain(vips).filter(|address| self.v6 || address.is_ipv4());
        for address in asked.by_ref() {
            if let Some(what) = self.missing_for(handle, *address).await? {
                return Ok(Some(what));
            }
        }
        Ok(None)
    }

    async fn missing_for(
        &self,
        handle: &Handle,
        address: IpAddr,
    ) -> Result<Option<String>, rtnetlink::Error> {
        let Steering { device, table, .. } = &self.steering;
        match self.leaves_by(handle, address).await? {
            Some(by) if index(device) == Some(by) => return Ok(None),
            // An address of this host's own is not probed.
            Some(LOOPBACK) => return Ok(None),
            _ => {}
        }
        let (version, family) = match address {
            IpAddr::V4(_) => ("IPv4", AddressFamily::Inet),
            IpAddr::V6(_) => ("IPv6", AddressFamily::Inet6),
        };
        let found = rules(handle, family).await?;
        let ours = found.iter().find(|rule| mark::leads_to(rule, *table));
        Ok(Some(match ours {
            None => format!("the {version} rule to table {table:#x} is gone"),
            Some(_) => format!(
                "probes to {address} do not leave by {device}: the {version} route in table {table:#x} is gone, \
                 or another rule comes first"
            ),
        }))
    }

    /// The interface by which the kernel would send a packet with the mark of probes.
    async fn leaves_by(
        &self,
        handle: &Handle,
        address: IpAddr,
    ) -> Result<Option<u32>, rtnetlink::Error> {
        let mut request = RouteMessage::default();
        let (family, length) = match address {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        request.header.address_family = family;
        request.header.destination_prefix_length = length;
        request.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        request.attributes.extend(self.steering.mark.map(RouteAttribute::Mark));
        let answer = pin!(handle.route().get(request).execute()).try_next().await;
        let route = match answer {
            Ok(route) => route,
            // There is no route at all.
            Err(rtnetlink::Error::NetlinkError(_)) => None,
            Err(error) => return Err(error),
        };
        let device = |attribute: &RouteAttribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        };
        Ok(route.and_then(|route| route.attributes.iter().find_map(device)))
    }

    /// Makes what is missing.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn restore(&self) -> Result<(), SteeringError> {
        let steered = self.steering.set_up().await?;
        if self.v6 { steered.v6 } else { Ok(()) }
    }
}
