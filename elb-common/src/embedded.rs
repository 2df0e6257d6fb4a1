//! IPv4 clients as members with IPv6 know them (`nat46`): an address of ours that holds the client's address and the
//! number of its listener, so that no flow is recorded in either direction.
//!
//! Bits 0 to 63 are a prefix of ours, 80 to 95 the listener's number, 96 to 127 the client's address; the others are
//! zero. So each listener has a prefix of 96 bits as RFC 6052 §2.2 has them.

use crate::addr::{Be32, Be128};

/// The first 64 bits of such addresses, as they lie in memory.
pub type Prefix = [u32; 2];

/// The address of a client of the listener with this number.
#[inline(always)]
pub const fn embed([first, second]: Prefix, listener: u16, client: Be32) -> Be128 {
    Be128::from_raw([first, second, (listener as u32).to_be(), client.raw()])
}

/// Number of the listener and address of the client, if the address may be such a one: its prefix is still to be
/// compared with that of the listener.
#[inline(always)]
pub const fn embedded(address: Be128) -> Option<(u16, Be32)> {
    let [_, _, listener, client] = address.raw();
    let listener = u32::from_be(listener);
    if listener > u16::MAX as u32 {
        return None;
    }
    Some((listener as u16, Be32::from_raw(client)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv6Addr;
    use proptest::prelude::*;

    fn address(text: &str) -> Be128 {
        bytemuck::cast(text.parse::<Ipv6Addr>().unwrap().octets())
    }

    fn prefix(text: &str) -> Prefix {
        let [first, second, ..] = address(text).raw();
        [first, second]
    }

    #[test]
    fn a_client_can_be_read_in_its_address() {
        let client: Be32 = bytemuck::cast([203u8, 0, 113, 9]);
        let embedded = embed(prefix("2001:db8:1:64::"), 7, client);
        assert_eq!(embedded, address("2001:db8:1:64:0:7:203.0.113.9"));
    }

    #[test]
    fn others_hold_none() {
        for text in ["2001:db8:1:64:1:7:203.0.113.9", "fe80::200:ff:fe00:1"] {
            assert_eq!(embedded(address(text)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_embedded_is_found(first: u32, second: u32, listener: u16, client: u32) {
            let client = Be32::from_raw(client);
            let address = embed([first, second], listener, client);
            prop_assert_eq!(embedded(address), Some((listener, client)));
        }
    }
}
