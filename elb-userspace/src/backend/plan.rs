//! What is asked for, checked against what the host has. Nothing is changed here.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::answer_rule;
use super::state::State;
use super::{BackendError, StateError};
use crate::kernel::net::links::{Address, Link, Netlink};

/// The host as it is.
pub(super) struct Host {
    pub(super) netlink: Netlink,
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
}

impl Host {
    pub(super) fn look() -> Result<Self, BackendError> {
        let netlink = Netlink::open()?;
        let (links, addresses) = (netlink.links()?, netlink.addresses()?);
        Ok(Self { netlink, links, addresses })
    }

    /// The interface that packets come in by.
    pub(super) fn interface(&self, name: &str) -> Result<&Link, BackendError> {
        let link = self.links.iter().find(|link| link.name == name);
        match link {
            None => Err(BackendError::NoInterface(name.to_owned())),
            Some(link) if link.loopback => Err(BackendError::Loopback),
            Some(link) => Ok(link),
        }
    }

    pub(super) fn loopback(&self) -> Result<&Link, BackendError> {
        let link = self.links.iter().find(|link| link.loopback);
        link.ok_or_else(|| BackendError::NoInterface("lo".to_owned()))
    }

    /// The name of the interface that has `vip`, if one has. An interface that speaks ARP must not:
    /// it would answer.
    pub(super) fn holder(&self, vip: IpAddr) -> Result<Option<&str>, BackendError> {
        let mut holder = None;
        for address in self.addresses.iter().filter(|address| address.ip == vip) {
            let link = self.links.iter().find(|link| link.index == address.index);
            let Some(link) = link else { continue };
            if link.arp {
                let interface = link.name.clone();
                return Err(BackendError::Answers { vip, prefix: address.prefix, interface });
            }
            holder = Some(link.name.as_str());
        }
        Ok(holder)
    }

    /// Two set-ups would share the kernel settings, and the first to go would take them away from
    /// the other. A state file may have outlived its network namespace, and another may have the
    /// number of that one: a set-up is alive if an address of it is there.
    pub(super) fn refuse_next_to(&self, others: &[State]) -> Result<(), BackendError> {
        let alive = |other: &&State| {
            other.vips.iter().any(|vip| vip.added && self.has_on_loopback(vip.address))
                || other.answers.is_some() && answer_rule::have_rules(&self.netlink)
        };
        match others.iter().find(alive) {
            Some(other) => Err(BackendError::Other(other.pin_dir.clone())),
            None => Ok(()),
        }
    }

    /// Whether `vip` is on `lo` as a set-up puts it there.
    pub(super) fn has_on_loopback(&self, vip: IpAddr) -> bool {
        let index = self.links.iter().find(|link| link.loopback).map(|link| link.index);
        let prefix = if vip.is_ipv4() { 32 } else { 128 };
        self.addresses.iter().any(|address| {
            (address.ip, address.prefix, Some(address.index)) == (vip, prefix, index)
        })
    }

    /// The name of an interface; its number where it is gone.
    pub(super) fn name(&self, index: u32) -> String {
        let link = self.links.iter().find(|link| link.index == index);
        link.map_or_else(|| format!("interface {index}"), |link| link.name.clone())
    }
}

/// The addresses, each once, if all of them can be virtual addresses.
pub(super) fn vips(given: &[IpAddr]) -> Result<Vec<IpAddr>, BackendError> {
    let mut vips: Vec<IpAddr> = Vec::new();
    for vip in given {
        if let Some(what) = not_a_vip(*vip) {
            return Err(BackendError::NotVip { vip: *vip, what });
        }
        if !vips.contains(vip) {
            vips.push(*vip);
        }
    }
    if vips.is_empty() { Err(BackendError::NoVip) } else { Ok(vips) }
}

fn not_a_vip(vip: IpAddr) -> Option<&'static str> {
    let v4_broadcast = matches!(vip, IpAddr::V4(v4) if v4.is_broadcast());
    let link_local = match vip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let mapped = matches!(vip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    [
        (vip.is_unspecified(), "the unspecified address"),
        (vip.is_loopback(), "a loopback address"),
        (vip.is_multicast(), "a multicast address"),
        (v4_broadcast, "the broadcast address"),
        (link_local, "a link-local address"),
        (mapped, "an IPv4-mapped address, write it as IPv4"),
    ]
    .into_iter()
    .find_map(|(is, what)| is.then_some(what))
}

/// The one way to write a pin directory, so that it has one state file.
pub(super) fn absolute(pin_dir: &Path) -> Result<PathBuf, BackendError> {
    let path = std::path::absolute(pin_dir)
        .map_err(|error| StateError::Io { path: pin_dir.to_owned(), error })?;
    Ok(path.components().collect())
}
