//! Looks at the interfaces over rtnetlink.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::collections::BTreeMap;
use std::pin::pin;

use elb_common::addr::Mac;
use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkMessage, LinkXdp, Prop, XdpAttached,
};

use super::found::{Carried, HostInterface};
use crate::source::file::AttachMode;

/// All interfaces, by index.
///
/// # Errors
/// The kernel refuses, or the dump was interrupted.
pub async fn all(handle: &Handle) -> Result<BTreeMap<u32, HostInterface>, rtnetlink::Error> {
    let mut links = pin!(handle.link().get().execute());
    let mut found = BTreeMap::new();
    while let Some(link) = links.try_next().await? {
        found.insert(link.header.index, read(&link));
    }
    Ok(found)
}

/// Whether there is an interface of this name.
pub fn is_there(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

fn read(message: &LinkMessage) -> HostInterface {
    let flags = message.header.flags;
    let carrier = flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::LowerUp);
    let mut interface = HostInterface { carrier, ..HostInterface::default() };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Address(bytes) => interface.mac = mac(bytes),
            LinkAttribute::CarrierUpCount(count) => interface.carrier_ups = *count,
            LinkAttribute::PropList(props) => interface.other_names = names(props),
            LinkAttribute::Xdp(xdp) => interface.program = carried(xdp),
            _ => {}
        }
    }
    interface
}

fn names(props: &[Prop]) -> Vec<String> {
    let name = |prop: &Prop| match prop {
        Prop::AltIfName(name) => Some(name.clone()),
        _ => None,
    };
    props.iter().filter_map(name).collect()
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    let bytes: [u8; 6] = bytes.try_into().ok()?;
    (bytes != [0; 6]).then(|| Mac::new(bytes))
}

fn carried(xdp: &[LinkXdp]) -> Option<Carried> {
    let generic = xdp.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
    let mode = if generic { AttachMode::Generic } else { AttachMode::Native };
    let number = |one: &LinkXdp| match one {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) => Some(*id),
        _ => None,
    };
    Some(Carried { id: xdp.iter().find_map(number)?, mode })
}
