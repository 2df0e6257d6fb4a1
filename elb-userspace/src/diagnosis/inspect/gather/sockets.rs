//! The sockets that take connections or datagrams, over sock_diag(7).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; what is of interest is picked out"
)]

use std::io;

use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::sys::{Socket as Netlink, SocketAddr, protocols::NETLINK_SOCK_DIAG};

use crate::diagnosis::inspect::facts::{Known, Socket};
use crate::model::transport::TransportProtocol;

/// More sockets than this are not looked at.
const MOST: usize = 100_000;

pub(super) fn all() -> Known<Vec<Socket>> {
    let mut sockets = Vec::new();
    for protocol in [TransportProtocol::Tcp, TransportProtocol::Udp] {
        for family in [AF_INET, AF_INET6] {
            let dumped = dump(family, protocol, &mut sockets);
            dumped.map_err(|error| format!("sockets cannot be listed (sock_diag): {error}"))?;
        }
    }
    Ok(sockets)
}

fn dump(family: u8, protocol: TransportProtocol, sockets: &mut Vec<Socket>) -> io::Result<()> {
    let netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.connect(&SocketAddr::new(0, 0))?;
    netlink.send(&request(family, protocol), 0)?;
    loop {
        let (datagram, _) = netlink.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest);
            let message = message.map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response))
                    if sockets.len() < MOST =>
                {
                    sockets.push(socket(protocol, &response));
                }
                _ => {}
            }
            // Messages begin at multiples of four bytes.
            let length = usize::try_from(message.header.length).map_err(io::Error::other)?;
            let length = length.max(1).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn request(family: u8, protocol: TransportProtocol) -> Vec<u8> {
    let (protocol, states) = match protocol {
        TransportProtocol::Tcp => (IPPROTO_TCP, StateFlags::LISTEN),
        // A datagram socket that has no peer is "closed".
        TransportProtocol::Udp => (IPPROTO_UDP, StateFlags::CLOSE),
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn socket(protocol: TransportProtocol, response: &InetResponse) -> Socket {
    let header = &response.header;
    let v6_only = response.nlas.contains(&Nla::SkV6Only(true));
    Socket {
        protocol,
        address: header.socket_id.source_address,
        port: header.socket_id.source_port,
        v6_only,
        interface: header.socket_id.interface_id,
        inode: header.inode,
        waiting: header.recv_queue,
        backlog: header.send_queue,
    }
}
