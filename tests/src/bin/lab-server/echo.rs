//! Echo: each line (TCP) or datagram (UDP) comes back with the server's name before it.

use std::{
    io::{IoSlice, IoSliceMut},
    net::UdpSocket,
    os::fd::AsRawFd as _,
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result};
use elb_tests::wire::echo;
use nix::{
    cmsg_space, libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
        setsockopt,
        sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo},
    },
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::accept::accept;

/// Longer than most lines: connections are held by the thousand.
const LINE: usize = 128;

const GREATEST_DATAGRAM: usize = 1 << 16;

/// Echoes lines of connections for ever.
pub(crate) async fn serve_tcp(listener: TcpListener, name: Arc<str>) -> Result<()> {
    loop {
        let stream = accept(&listener).await?;
        stream.set_nodelay(true)?;
        // A connection that breaks is the client's to notice.
        tokio::spawn(echo_lines(stream, name.clone()));
    }
}

async fn echo_lines(stream: TcpStream, name: Arc<str>) -> Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::with_capacity(LINE, reader).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = echo(&name, &line) + "\n";
        writer.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Echoes datagrams on a thread of its own, from the address that each was sent to.
pub(crate) fn start_udp(socket: UdpSocket, name: Arc<str>) -> Result<()> {
    let messages = if socket.local_addr()?.is_ipv4() {
        setsockopt(&socket, Ipv4PacketInfo, &true)
    } else {
        setsockopt(&socket, Ipv6RecvPacketInfo, &true)
    };
    messages.context("cannot learn where datagrams are sent to")?;
    thread::spawn(move || {
        loop {
            // What cannot be answered is lost, as datagrams are.
            let _ = echo_datagram(&socket, &name);
        }
    });
    Ok(())
}

fn echo_datagram(socket: &UdpSocket, name: &str) -> Result<()> {
    let mut buffer = vec![0; GREATEST_DATAGRAM];
    let mut control = cmsg_space!(libc::in6_pktinfo);
    let (length, sender, own) = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        (received.bytes, received.address, received.cmsgs()?.find_map(Own::from_message))
    };
    let own = own.context("a datagram without its destination")?;
    let answer = echo(name, &String::from_utf8_lossy(&buffer[..length]));
    let parts = [IoSlice::new(answer.as_bytes())];
    let from = [own.message()];
    sendmsg(socket.as_raw_fd(), &parts, &from, MsgFlags::empty(), sender.as_ref())?;
    Ok(())
}

/// The address of ours that a datagram was sent to.
enum Own {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Own {
    fn from_message(message: ControlMessageOwned) -> Option<Self> {
        if let ControlMessageOwned::Ipv4PacketInfo(info) = message {
            // Any device, as the route says: a reply need not leave where the datagram came in.
            return Some(Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: info.ipi_addr,
                ipi_addr: info.ipi_addr,
            }));
        }
        if let ControlMessageOwned::Ipv6PacketInfo(mut info) = message {
            info.ipi6_ifindex = 0;
            return Some(Self::V6(info));
        }
        None
    }

    fn message(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}
