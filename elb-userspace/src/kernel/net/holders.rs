//! Who else answers for the virtual addresses: the segment is asked for them by ARP probes (RFC 5227
//! §2.1.1) and neighbour solicitations (RFC 4862 §5.4.2), as a host asks before it takes an address.
//!
//! A backend server that answers gets clients' packets past the load balancer, and so does any other
//! host that has the address. Requests for them that clients send are answered by the program; nobody
//! else may.

#![allow(clippy::cast_possible_truncation, reason = "constants and sizes of C structures")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use elb_common::addr::{Be16, Be32, Be128, Mac};
use elb_common::checksum;
use elb_common::path::wire::{Arp, Ethernet, Icmp, Ipv6, Neighbor};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

const BROADCAST: Mac = Mac::new([0xff; 6]);
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// How long answers may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// An address that is asked for on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderQuestion {
    /// The interface.
    pub ifindex: u32,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The virtual address.
    pub vip: IpAddr,
}

/// Somebody has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressHolder {
    /// The interface that the answer came in by.
    pub ifindex: u32,
    /// The virtual address.
    pub vip: IpAddr,
    /// Who says that it has it.
    pub mac: Mac,
}

/// Asks, and waits for answers. Takes `CAP_NET_RAW`.
///
/// # Errors
/// There is no socket for it. What cannot be sent on an interface is not asked there.
pub fn ask(questions: &[HolderQuestion]) -> io::Result<Vec<AddressHolder>> {
    let sockets = [listening(ARP, &REPLIES)?, listening(IPV6, &ADVERTISEMENTS)?];
    for question in questions {
        let (socket, frame) = match question.vip {
            IpAddr::V4(vip) => (&sockets[0], probe(question.mac, vip)),
            IpAddr::V6(vip) => (&sockets[1], solicitation(question.mac, vip)),
        };
        // An interface that is down has nobody to ask.
        let _ = send(socket, question.ifindex, &frame);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut holders = Vec::new();
    for socket in &sockets {
        collect(socket, questions, deadline, &mut holders)?;
    }
    Ok(holders)
}

/// Answers until the deadline; what came for another socket meanwhile waits there.
fn collect(
    socket: &Socket,
    questions: &[HolderQuestion],
    deadline: Instant,
    holders: &mut Vec<AddressHolder>,
) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // A timeout of 0 would be none.
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let mut buffer = [MaybeUninit::<u8>::uninit(); 256];
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        // SAFETY: the kernel has written that many bytes of the buffer.
        let frame = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
        // SAFETY: packet sockets receive from an address of this family alone, whose storage is large
        // enough for it.
        let ifindex = unsafe { (*from.as_ptr().cast::<libc::sockaddr_ll>()).sll_ifindex } as u32;
        let answered = answer(frame).map(|(vip, mac)| AddressHolder { ifindex, vip, mac });
        let Some(holder) = answered.filter(|holder| !holders.contains(holder)) else { continue };
        let own = questions.iter().any(|one| one.mac == holder.mac);
        let asked = questions.iter().any(|one| one.vip == holder.vip && one.ifindex == ifindex);
        if asked && !own {
            holders.push(holder);
        }
    }
}

/// Offsets of an Ethernet frame without tags that a filter looks at.
const OPERATION: u32 = 14 + 7;
const NEXT_HEADER: u32 = 14 + 6;
const ICMP_TYPE: u32 = 14 + 40;

/// Filters of the kernel (linux/filter.h): the byte at an offset is this one, else the frame is not
/// for us.
const REPLIES: [SockFilter; 4] =
    [byte_at(OPERATION), equals(2, 0, 1), SockFilter::new(0x06, 0, 0, 256), NOTHING];
const ADVERTISEMENTS: [SockFilter; 6] = [
    byte_at(NEXT_HEADER),
    equals(58, 0, 3),
    byte_at(ICMP_TYPE),
    equals(ADVERTISEMENT as u32, 0, 1),
    SockFilter::new(0x06, 0, 0, 256),
    NOTHING,
];
const NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);

const fn byte_at(offset: u32) -> SockFilter {
    SockFilter::new(0x30, 0, 0, offset)
}

const fn equals(value: u32, then: u8, otherwise: u8) -> SockFilter {
    SockFilter::new(0x15, then, otherwise, value)
}

fn listening(ethertype: u16, filter: &[SockFilter]) -> io::Result<Socket> {
    // Without a protocol nothing is received before the filter is there.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.attach_filter(filter)?;
    let address = link_address(0, ethertype);
    // SAFETY: the socket is open; the address is valid for its length, and the kernel only reads it.
    let bound = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32)
    };
    if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn link_address(ifindex: u32, ethertype: u16) -> libc::sockaddr_ll {
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = ifindex as i32;
    address
}

fn send(socket: &Socket, ifindex: u32, frame: &[u8]) -> io::Result<()> {
    let address = link_address(ifindex, 0);
    // SAFETY: the socket is open; frame and address are valid for the lengths given, and the kernel
    // only reads them.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            size_of_val(&address) as u32,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whose an ARP reply or a neighbour advertisement says an address is.
fn answer(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    let (ethernet, rest) = split::<Ethernet>(frame)?;
    match ethernet.ethertype.get() {
        ARP => {
            let (arp, _) = split::<Arp>(rest)?;
            let address: [u8; 4] = bytemuck::cast(arp.sender);
            (arp.operation.get() == 2).then(|| (Ipv4Addr::from(address).into(), arp.sender_mac))
        }
        IPV6 => {
            let (ip, rest) = split::<Ipv6>(rest)?;
            let (message, _) = split::<Neighbor>(rest)?;
            let address: [u8; 16] = bytemuck::cast(message.target);
            (ip.next_header == 58 && message.icmp.kind == ADVERTISEMENT)
                .then(|| (Ipv6Addr::from(address).into(), ethernet.source))
        }
        _ => None,
    }
}

fn split<T: bytemuck::AnyBitPattern>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (first, rest) = bytes.split_at_checked(size_of::<T>())?;
    Some((bytemuck::pod_read_unaligned(first), rest))
}

/// A request without a sender's address: nobody learns anything from it.
fn probe(mac: Mac, vip: Ipv4Addr) -> Vec<u8> {
    let ethernet = Ethernet { destination: BROADCAST, source: mac, ethertype: Be16::new(ARP) };
    let arp = Arp {
        hardware: Be16::new(1),
        protocol: Be16::new(0x0800),
        lengths: Be16::new(0x0604),
        operation: Be16::new(1),
        sender_mac: mac,
        sender: Be32::default(),
        target_mac: Mac::default(),
        target: bytemuck::cast(vip.octets()),
    };
    [bytemuck::bytes_of(&ethernet), bytemuck::bytes_of(&arp)].concat()
}

/// A solicitation without a sender's address, to those who may have the address.
fn solicitation(mac: Mac, vip: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = vip.octets();
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let destination: Be128 = bytemuck::cast(group.octets());
    let to = Mac::new([0x33, 0x33, 0xff, a, b, c]);
    let ethernet = Ethernet { destination: to, source: mac, ethertype: Be16::new(IPV6) };
    let mut message = Neighbor {
        icmp: Icmp { kind: SOLICITATION, code: 0, checksum: 0 },
        flags: Be32::default(),
        target: bytemuck::cast(vip.octets()),
    };
    let length = size_of::<Neighbor>();
    let pseudo: [u32; 2] = [(length as u32).to_be(), 58u32.to_be()];
    let covered = [
        bytemuck::bytes_of(&destination),
        bytemuck::bytes_of(&pseudo),
        bytemuck::bytes_of(&message),
    ]
    .concat();
    let sum = covered.chunks_exact(2).map(|w| u32::from(u16::from_ne_bytes([w[0], w[1]]))).sum();
    message.icmp.checksum = checksum::finish(sum);
    let ip = Ipv6 {
        version_class_label: Be32::from_raw((6u32 << 28).to_be()),
        payload_length: Be16::new(length as u16),
        next_header: 58,
        hop_limit: 255,
        source: Be128::default(),
        destination,
    };
    [bytemuck::bytes_of(&ethernet), bytemuck::bytes_of(&ip), bytemuck::bytes_of(&message)].concat()
}

#[cfg(test)]
mod tests;
