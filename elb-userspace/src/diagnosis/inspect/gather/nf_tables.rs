//! Whether the kernel has nftables rules at all: where there is no `nft` to read them, there may be
//! none to read.

use std::io;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `NFNL_SUBSYS_NFTABLES` and `NFT_MSG_GETTABLE` of `linux/netfilter`.
const GET_TABLE: u16 = 10 << 8 | 1;

/// Asks for the list of tables, and whether it has a first one.
pub(super) fn are_there() -> io::Result<bool> {
    let answer = ask().and_then(|datagram| first(&datagram));
    match answer {
        // The kernel has no nftables.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::EINVAL)) =>
        {
            Ok(false)
        }
        answer => answer,
    }
}

fn ask() -> io::Result<Vec<u8>> {
    let netlink = Socket::new(NETLINK_NETFILTER)?;
    netlink.connect(&SocketAddr::new(0, 0))?;
    // A header (RFC 3549 §2.3.2) and an empty `struct nfgenmsg`.
    let mut request = 20_u32.to_ne_bytes().to_vec();
    request.extend(GET_TABLE.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request.extend([0; 12]);
    netlink.send(&request, 0)?;
    Ok(netlink.recv_from_full()?.0)
}

/// Whether the first message is a table, and not the end of the list.
fn first(datagram: &[u8]) -> io::Result<bool> {
    let short = || io::Error::other("the kernel's answer is too short");
    let kind = datagram.get(4..6).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)?;
    match u16::from_ne_bytes(kind) {
        NLMSG_DONE => Ok(false),
        NLMSG_ERROR => {
            let code = datagram.get(16..20).and_then(|bytes| bytes.try_into().ok());
            let code = i32::from_ne_bytes(code.ok_or_else(short)?);
            Err(io::Error::from_raw_os_error(code.saturating_neg()))
        }
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_short_ones_refused() {
        let message = |kind: u16, code: i32| {
            let mut bytes = 20_u32.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(code.to_ne_bytes());
            bytes
        };
        assert!(!first(&message(NLMSG_DONE, 0)).unwrap());
        assert!(first(&message(10 << 8, 0)).unwrap());
        let error = first(&message(NLMSG_ERROR, -libc::EPERM)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        for length in 0..20 {
            assert!(first(&message(NLMSG_ERROR, -1)[..length]).is_err());
        }
    }
}
