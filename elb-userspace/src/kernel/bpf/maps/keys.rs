//! Keys of listeners and of members' endpoints, as the maps have them.

use std::net::IpAddr;

use elb_common::addr::{Be16, Be32, Be128};
use elb_common::listener::{ListenerKeyV4, ListenerKeyV6};

use crate::control::plan::ListenerKey;

/// A key of the map of its IP version.
pub(super) enum Key {
    V4(ListenerKeyV4),
    V6(ListenerKeyV6),
}

pub(super) fn record_key(key: &ListenerKey) -> Key {
    let port = Be16::new(key.port);
    match key.address {
        IpAddr::V4(address) => {
            let address: Be32 = bytemuck::cast(address.octets());
            Key::V4(ListenerKeyV4::new(address, port, key.protocol))
        }
        IpAddr::V6(address) => {
            let address: Be128 = bytemuck::cast(address.octets());
            Key::V6(ListenerKeyV6::new(address, port, key.protocol))
        }
    }
}

pub(super) fn key_of_v4(key: ListenerKeyV4) -> ListenerKey {
    let [a, b, c, d, high, low, protocol, _]: [u8; 8] = bytemuck::cast(key);
    let port = u16::from_be_bytes([high, low]);
    ListenerKey { address: IpAddr::from([a, b, c, d]), port, protocol }
}

pub(super) fn key_of_v6(key: ListenerKeyV6) -> ListenerKey {
    let bytes: [u8; 24] = bytemuck::cast(key);
    let mut address = [0; 16];
    address.copy_from_slice(&bytes[..16]);
    let port = u16::from_be_bytes([bytes[16], bytes[17]]);
    ListenerKey { address: address.into(), port, protocol: bytes[18] }
}
