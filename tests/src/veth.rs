//! Pairs of virtual Ethernet devices, shaped so that native XDP on them is faithful.

use std::net::IpAddr;

use anyhow::Result;

use crate::{netns::NetNs, process, wait::STUCK};

/// One end of a pair.
#[derive(Clone, Debug)]
pub struct End {
    /// Where it lives.
    pub netns: NetNs,
    /// Its name there.
    pub name: String,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its greatest packet.
    pub mtu: u32,
    /// Its addresses with the length of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Makes a pair and brings both ends up.
///
/// Two queues, because XDP on veth processes a packet on the queue of the sender's CPU. Checksums
/// are computed before sending: a checksum that is promised to hardware (`CHECKSUM_PARTIAL`) is
/// lost when XDP sends the frame on.
pub fn join(one: &End, other: &End) -> Result<()> {
    one.netns.ip(&format!(
        "link add {} {} type veth peer name {} {} netns {}",
        one.name,
        shape(one),
        other.name,
        shape(other),
        other.netns.name()
    ))?;
    bring_up(one)?;
    bring_up(other)
}

fn shape(end: &End) -> String {
    let [a, b, c, d, e, f] = end.mac;
    format!(
        "address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} mtu {} numrxqueues 2 numtxqueues 2",
        end.mtu
    )
}

fn bring_up(end: &End) -> Result<()> {
    let name = &end.name;
    let mut ethtool = end.netns.command("ethtool");
    ethtool.args(["-K", name, "tx", "off"]);
    process::output(ethtool, STUCK)?;

    let mut lines = String::new();
    for (address, prefix) in &end.addresses {
        // Duplicate address detection would keep an IPv6 address from use for a second.
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        lines += &format!("addr add {address}/{prefix} dev {name}{nodad}\n");
    }
    lines += &format!("link set {name} up\n");
    end.netns.ip(&lines).map(drop)
}
