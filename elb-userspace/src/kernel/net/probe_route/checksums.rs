//! Lets the kernel complete checksums before an interface sends: it leaves them to the other side
//! of a veth pair otherwise, which an XDP program cannot do.

use std::io;
use std::os::fd::AsRawFd as _;

use socket2::{Domain, Socket, Type};

/// ETHTOOL_STXCSUM (linux/ethtool.h): whether the interface computes checksums.
const SET_TX_CHECKSUMS: u32 = 0x17;

/// struct ethtool_value (linux/ethtool.h).
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Turns transmit checksum offload off.
///
/// # Errors
/// There is no such interface, or CAP_NET_ADMIN is missing.
pub(super) fn complete(interface: &str) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mut value = Value { command: SET_TX_CHECKSUMS, data: 0 };
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // One less: the last byte stays zero.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the socket is open; the request is a valid ifreq whose data is an ethtool_value that
    // lives until the call returns.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
