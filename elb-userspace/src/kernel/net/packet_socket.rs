//! Sockets that send whole frames, and the addresses that they take.

#![allow(clippy::cast_possible_truncation, reason = "constants and sizes of C structures")]

use std::io;
use std::os::fd::AsRawFd as _;

use socket2::Socket;

/// An interface, 0 for all, and the frames that are received.
pub(super) fn link_address(ifindex: u32, ethertype: u16) -> libc::sockaddr_ll {
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = ifindex.cast_signed();
    address
}

/// Sends a frame by an interface, without waiting.
///
/// # Errors
/// The interface takes no frames: it is down, or gone.
pub(super) fn send(socket: &Socket, ifindex: u32, frame: &[u8]) -> io::Result<()> {
    let address = link_address(ifindex, 0);
    // SAFETY: the socket is open for as long as it is borrowed; frame and address are valid for the lengths
    // given, and the kernel only reads them.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
