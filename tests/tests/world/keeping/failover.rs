//! The kernel's word that a bond uses another port (`IFLA_EVENT` of RTM_NEWLINK, in `bond_change_active_slave()`),
//! for kernels without bonds: to listeners its sender makes no difference.

use std::os::fd::{AsRawFd as _, RawFd};

use anyhow::{Result, ensure};
use elb_tests::netns::NetNs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket,
};

/// Of linux/rtnetlink.h and linux/if_link.h.
const RTM_NEWLINK: u16 = 16;
const RTMGRP_LINK: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_EVENT: u16 = 44;
const IFLA_EVENT_BONDING_FAILOVER: u32 = 3;
/// IFF_UP, IFF_BROADCAST, IFF_RUNNING, IFF_MULTICAST, IFF_LOWER_UP.
const FLAGS: u32 = 0x1_1043;
const ETHERNET: u16 = 1;

/// Says it of an interface.
pub(super) fn say(netns: &NetNs, name: &str, mac: [u8; 6], mtu: u32) -> Result<()> {
    let index = netns.index_of(name)?;
    let message = message(index, name, mac, mtu);
    netns.run(|| -> Result<()> {
        let family = AddressFamily::Netlink;
        let route = SockProtocol::NetlinkRoute;
        let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, route)?;
        let group = NetlinkAddr::new(0, RTMGRP_LINK);
        let descriptor: RawFd = socket.as_raw_fd();
        let sent = sendto(descriptor, &message, &group, MsgFlags::empty())?;
        ensure!(sent == message.len(), "only {sent} bytes were sent");
        Ok(())
    })?
}

fn message(index: u32, name: &str, mac: [u8; 6], mtu: u32) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend([0, 0]);
    body.extend(ETHERNET.to_ne_bytes());
    body.extend(index.to_ne_bytes());
    body.extend(FLAGS.to_ne_bytes());
    body.extend(0_u32.to_ne_bytes());
    attribute(&mut body, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
    attribute(&mut body, IFLA_ADDRESS, &mac);
    attribute(&mut body, IFLA_MTU, &mtu.to_ne_bytes());
    attribute(&mut body, IFLA_EVENT, &IFLA_EVENT_BONDING_FAILOVER.to_ne_bytes());
    let length = u32::try_from(16 + body.len()).unwrap_or_default();
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(body);
    message
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}
