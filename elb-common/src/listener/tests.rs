//! Tests of `listener`.

use super::*;
use core::mem::{align_of, offset_of, size_of};

#[test]
fn keys_are_address_port_protocol_in_network_order() {
    let v4 = ListenerKeyV4::new(bytemuck::cast([192u8, 0, 2, 10]), Be16::new(443), 6);
    assert_eq!(bytemuck::bytes_of(&v4), [192, 0, 2, 10, 1, 187, 6, 0]);
    let address: [u8; 16] = core::array::from_fn(|i| 0xa0 + i as u8);
    let v6 = ListenerKeyV6::new(bytemuck::cast(address), Be16::new(443), 17);
    assert_eq!(&bytemuck::bytes_of(&v6)[..16], address);
    assert_eq!(bytemuck::bytes_of(&v6)[16..], [1, 187, 17, 0, 0, 0, 0, 0]);
}

#[test]
fn a_range_key_ends_with_the_port() {
    let key = RangeKey::new(7, Be16::new(1007), 17);
    assert_eq!(bytemuck::bytes_of(&key)[..4], 7u32.to_ne_bytes());
    assert_eq!(bytemuck::bytes_of(&key)[4..], [17, 0, 3, 239]);
}

#[test]
fn layout() {
    assert_eq!((size_of::<ListenerKeyV4>(), align_of::<ListenerKeyV4>()), (8, 8));
    assert_eq!((size_of::<ListenerKeyV6>(), align_of::<ListenerKeyV6>()), (24, 8));
    assert_eq!((size_of::<Listener>(), align_of::<Listener>()), (40, 4));
    assert_eq!(offset_of!(Listener, ring_base), 0);
    assert_eq!(offset_of!(Listener, ring_size), 4);
    assert_eq!(offset_of!(Listener, id), 8);
    assert_eq!(offset_of!(Listener, pool), 10);
    assert_eq!(offset_of!(Listener, flags), 12);
    assert_eq!(offset_of!(Listener, algorithm), 14);
    assert_eq!(offset_of!(Listener, group), 16);
    assert_eq!(offset_of!(Listener, cid), 18);
    assert_eq!(offset_of!(Listener, cps), 20);
    assert_eq!(offset_of!(Listener, max_connections), 24);
    assert_eq!(offset_of!(Listener, former_pool), 28);
    assert_eq!(offset_of!(Listener, former_hold_until), 32);
    assert_eq!((size_of::<ListenerPool>(), align_of::<ListenerPool>()), (4, 2));
    assert_eq!((size_of::<CidPart>(), align_of::<CidPart>()), (2, 1));
    assert_eq!((size_of::<RangeKey>(), align_of::<RangeKey>()), (8, 8));
    assert_eq!((size_of::<Vip>(), align_of::<Vip>()), (8, 4));
    assert_eq!(offset_of!(Vip, number), 4);
}
