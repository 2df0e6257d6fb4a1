//! The pair of interfaces that probes go through.

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkInfo, LinkMessage,
};
use rtnetlink::{Handle, LinkUnspec};

pub(super) fn index(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

/// Whether an interface is one of a veth pair, and the other its other end.
pub(super) async fn is_end_of(handle: &Handle, one: u32, other: u32) -> bool {
    let mut links = handle.link().get().match_index(one).execute();
    let Ok(Some(link)) = links.try_next().await else { return false };
    let is_veth = |info: &LinkInfo| *info == LinkInfo::Kind(InfoKind::Veth);
    let (mut veth, mut end) = (false, false);
    for attribute in &link.attributes {
        if let LinkAttribute::LinkInfo(infos) = attribute {
            veth = infos.iter().any(is_veth);
        } else if let LinkAttribute::Link(index) = attribute {
            end = *index == other;
        }
    }
    veth && end
}

/// An interface that has no IPv6 address and so sends nothing by itself.
pub(super) fn quiet(index: u32) -> LinkMessage {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let quiet = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
    LinkUnspec::new_with_index(index).append_extra_attribute(quiet).build()
}
