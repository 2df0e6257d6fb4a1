//! Who else answers for the virtual addresses: the segment is asked for them by ARP probes (RFC 5227
//! §2.1.1) and neighbour solicitations (RFC 4862 §5.4.2), as a host asks before it takes an address.
//!
//! A backend server that answers gets clients' packets past the load balancer, and so does any other
//! host that has the address. Requests for them that clients send are answered by the program, and
//! by no other host.

#![allow(clippy::cast_possible_truncation, reason = "constants and sizes of C structures")]

use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use elb_common::addr::Mac;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::frames::{answer, arp_probe, solicitation};
use super::packet_socket::{link_address, send};

const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
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

/// A host that has an address.
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
            IpAddr::V4(vip) => (&sockets[0], arp_probe(question.mac, vip)),
            IpAddr::V6(vip) => (&sockets[1], solicitation(question.mac, vip)),
        };
        // On an interface that is down there is no host to ask.
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
