//! What the network reported to the kernel about packets that a socket sent: the ICMP error in the socket's
//! error queue, with who sent it.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

use super::Cause;

/// An ICMP or ICMPv6 error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IcmpError {
    /// Who sent it, which says whether it is of ICMP or of ICMPv6.
    pub by: IpAddr,
    pub icmp_type: u8,
    pub code: u8,
}

/// Takes the oldest error off the queue of a socket.
pub(super) fn take(socket: &impl AsFd) -> Option<IcmpError> {
    let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    // The packet that the error is about is not needed.
    let mut packet = [0; 64];
    let mut parts = [IoSliceMut::new(&mut packet)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let socket = socket.as_fd().as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(socket, &mut parts, Some(&mut control), flags).ok()?;
    message.cmsgs().ok()?.find_map(of_message)
}

fn of_message(message: ControlMessageOwned) -> Option<IcmpError> {
    if let ControlMessageOwned::Ipv4RecvErr(error, by) = message {
        let by = IpAddr::from(u32::from_be(by?.sin_addr.s_addr).to_be_bytes());
        return of_icmp(&error, libc::SO_EE_ORIGIN_ICMP, by);
    }
    if let ControlMessageOwned::Ipv6RecvErr(error, by) = message {
        let by = IpAddr::from(by?.sin6_addr.s6_addr);
        return of_icmp(&error, libc::SO_EE_ORIGIN_ICMP6, by);
    }
    None
}

fn of_icmp(error: &libc::sock_extended_err, origin: u8, by: IpAddr) -> Option<IcmpError> {
    let is_icmp = error.ee_origin == origin;
    is_icmp.then_some(IcmpError { by, icmp_type: error.ee_type, code: error.ee_code })
}

impl IcmpError {
    /// What it means for a probe that `own` sent: this host reports it itself, if no host answers to ARP
    /// or neighbour discovery.
    pub(super) fn cause(self, own: Option<IpAddr>) -> Cause {
        let Self { by, icmp_type, code } = self;
        match (by.is_ipv4(), icmp_type, code) {
            (true, 3, 1) | (false, 1, 3) if own == Some(by) => Cause::NoNeighbor,
            _ if own == Some(by) => {
                let error =
                    format!("rejected by a packet filter of this host (ICMP {icmp_type}/{code})");
                Cause::NoLocalResource { error }
            }
            (true, 3, 0 | 6) | (false, 1, 0) => Cause::NetUnreachable { by },
            (true, 3, 1 | 7) | (false, 1, 3) => Cause::HostUnreachable { by },
            (true, 3, 3) | (false, 1, 4) => Cause::PortUnreachable { by },
            (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6) => Cause::AdminProhibited { by },
            _ => Cause::OtherIcmp { by, icmp_type, code },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_cause() {
        let v4 = IpAddr::from([10, 0, 0, 1]);
        let v6: IpAddr = "fd00::1".parse().unwrap();
        let cause = |by, icmp_type, code| IcmpError { by, icmp_type, code }.cause(None);
        for by in [v4, v6] {
            let of = |v4_codes: &[u8], v6_codes: &[u8], wanted: &Cause| {
                let (icmp_type, codes) = if by == v4 { (3, v4_codes) } else { (1, v6_codes) };
                for code in codes {
                    assert_eq!(cause(by, icmp_type, *code), *wanted);
                }
            };
            of(&[0, 6], &[0], &Cause::NetUnreachable { by });
            of(&[1, 7], &[3], &Cause::HostUnreachable { by });
            of(&[3], &[4], &Cause::PortUnreachable { by });
            of(&[9, 10, 13], &[1, 5, 6], &Cause::AdminProhibited { by });
            assert_eq!(cause(by, 12, 0), Cause::OtherIcmp { by, icmp_type: 12, code: 0 });
        }
        let own = IcmpError { by: v4, icmp_type: 3, code: 1 };
        assert_eq!(own.cause(Some(v4)), Cause::NoNeighbor);
        assert_eq!(own.cause(Some(v6)), Cause::HostUnreachable { by: v4 });
    }
}
