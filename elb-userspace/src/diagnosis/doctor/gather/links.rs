//! Interfaces, what they carry, and the other ends of veth, over rtnetlink.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; the attributes of interest are picked out"
)]

use std::path::Path;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp, XdpAttached,
};
use rtnetlink::{Handle, new_connection};

use super::{GatherError, Interfaces, other_end};
use crate::diagnosis::doctor::Duty;
use crate::diagnosis::doctor::facts::{AttachedProgram, InterfaceFacts, Peer};
use crate::kernel::bpf;

/// The interfaces of the duty that are there.
pub(super) async fn links(duty: &Duty) -> Result<Interfaces, GatherError> {
    let (connection, handle, _) = new_connection()?;
    let connection = tokio::spawn(connection);
    let all: Vec<LinkMessage> = pin!(handle.link().get().execute()).try_collect().await?;
    let mut found = Interfaces::new();
    for message in &all {
        let Some(name) = name(message).filter(|name| duty.interfaces.contains(name)) else {
            continue;
        };
        let mut interface = read(message, &duty.pin_dir);
        if interface.driver.as_deref() == Some("veth") {
            interface.peer = peer(&handle, message).await;
        }
        interface.vlans = all.iter().any(|other| is_vlan_on(other, interface.index));
        found.insert(name, interface);
    }
    connection.abort();
    Ok(found)
}

fn name(message: &LinkMessage) -> Option<String> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

fn read(message: &LinkMessage, pin_dir: &Path) -> InterfaceFacts {
    let flags = message.header.flags;
    let mut interface = InterfaceFacts {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        driver: kind(message).map(ToString::to_string),
        ..InterfaceFacts::default()
    };
    if let Some((program, native)) = carried(message) {
        interface.attached = Some(AttachedProgram {
            program,
            name: bpf::program_name(program),
            ours: bpf::own_program(pin_dir, interface.index) == Some(program),
            native,
            link: bpf::link_of(program),
        });
    }
    interface
}

fn kind(message: &LinkMessage) -> Option<&InfoKind> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
            LinkInfo::Kind(kind) => Some(kind),
            _ => None,
        }),
        _ => None,
    })
}

/// The number of the program that the interface carries, and whether its driver runs it.
fn carried(message: &LinkMessage) -> Option<(u32, bool)> {
    let xdp = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    })?;
    let native = !xdp.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
    let number = |one: &LinkXdp| match one {
        LinkXdp::ProgId(number) | LinkXdp::DrvProgId(number) | LinkXdp::SkbProgId(number) => {
            Some(*number)
        }
        _ => None,
    };
    Some((xdp.iter().find_map(number)?, native))
}

/// The other end, be it in another namespace; `None` where this process may not look.
async fn peer(handle: &Handle, message: &LinkMessage) -> Option<Peer> {
    let (mut index, mut namespace) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(other) => index = Some(*other),
            LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
            _ => {}
        }
    }
    let mut request = handle.link().get().match_index(index?);
    if let Some(id) = namespace {
        request.message_mut().attributes.push(LinkAttribute::IfNetnsId(id));
    }
    let answer = pin!(request.execute()).try_next().await.ok()??;
    let xdp = carried(&answer).is_some_and(|(_, native)| native);
    let name = name(&answer)?;
    let offloads = other_end::offloads(handle, &name, namespace).await;
    Some(Peer { name, xdp, offloads })
}

fn is_vlan_on(message: &LinkMessage, index: u32) -> bool {
    kind(message) == Some(&InfoKind::Vlan)
        && message.attributes.contains(&LinkAttribute::Link(index))
}
