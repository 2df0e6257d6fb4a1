//! Receive-side scaling, by the ioctl that every kernel has (linux/ethtool.h); over netlink, Linux
//! reports it from 6.3 on only.

use std::os::fd::AsRawFd as _;

use socket2::{Domain, Socket, Type};

/// C libraries differ in the type of an ioctl's number.
const REQUEST: libc::Ioctl = libc::SIOCETHTOOL as libc::Ioctl;
/// `ETHTOOL_GRXFHINDIR`.
const COMMAND: u32 = 0x38;
/// Words before the entries: the command, and the number of entries.
const HEAD: usize = 2;
/// More entries than a card has.
const MOST: usize = 1 << 16;

/// The receive queue in each entry of the indirection table; `None` where the driver has none.
pub(super) fn table(name: &str) -> Option<Vec<u32>> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None).ok()?;
    // Without room for entries, the kernel says how many there are.
    let size = ask(&socket, name, 0)?;
    let entries = (1..=MOST).contains(&size.len).then(|| ask(&socket, name, size.len))??;
    entries.words.get(HEAD..HEAD + entries.len).map(<[u32]>::to_vec)
}

/// What the kernel wrote.
struct Answer {
    words: Vec<u32>,
    /// Entries that the table has.
    len: usize,
}

fn ask(socket: &Socket, name: &str, room: usize) -> Option<Answer> {
    let mut words = vec![0; HEAD + room];
    (words[0], words[1]) = (COMMAND, u32::try_from(room).ok()?);
    let mut ifr_name = [0; libc::IFNAMSIZ];
    // The last byte stays 0, which ends the name.
    if name.len() >= ifr_name.len() {
        return None;
    }
    for (to, from) in ifr_name.iter_mut().zip(name.bytes()) {
        // A C character is signed on x86, and not on Arm.
        *to = from as libc::c_char;
    }
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: words.as_mut_ptr().cast() };
    let mut request = libc::ifreq { ifr_name, ifr_ifru };
    // SAFETY: the request and the words that it points to live longer than the call; the kernel
    // writes to the words, and no more entries than there is room for (`ethtool_get_rxfh_indir`).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), REQUEST, &raw mut request) };
    let len = usize::try_from(words[1]).ok()?;
    (result == 0).then_some(Answer { words, len })
}
