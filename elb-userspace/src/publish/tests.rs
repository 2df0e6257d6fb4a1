use proptest::prelude::*;

use super::*;

/// Maps in memory that complain when something is named before it exists or vanishes while named.
#[derive(Default)]
struct Fake {
    image: Image,
    rings: BTreeMap<u32, Vec<u16>>,
}

impl Store for Fake {
    type Error = String;

    fn execute(&mut self, command: &Command) -> Result<(), String> {
        let image = &mut self.image;
        match command.clone() {
            Command::PutDevice(i) => drop(image.devices.insert(i)),
            Command::RemoveDevice(i) => drop(image.devices.remove(&i)),
            Command::PutInterface(i, v) => drop(image.interfaces.insert(i, v)),
            Command::RemoveInterface(i) => drop(image.interfaces.remove(&i)),
            Command::PutBackend(id, v) if v == Backend::default() => {
                image.backends.remove(&id);
            }
            Command::PutBackend(id, v) => drop(image.backends.insert(id, v)),
            Command::PutPool(id, v) if v == Pool::default() => drop(image.pools.remove(&id)),
            Command::PutPool(id, v) => drop(image.pools.insert(id, v)),
            Command::WriteRing(ring) => drop(self.rings.insert(ring.base, ring.owners)),
            Command::ClearRing(region) => drop(self.rings.remove(&region.base)),
            Command::PutListener(k, v) => drop(image.listeners.insert(k, v)),
            Command::RemoveListener(k) => drop(image.listeners.remove(&k)),
            Command::PutVip(k, v) => drop(image.vips.insert(k, v)),
            Command::RemoveVip(k) => drop(image.vips.remove(&k)),
            Command::ResetBackendCounter(_) | Command::ResetListenerCounter(_) => {}
        }
        self.consistent()
    }
}

impl Fake {
    fn consistent(&self) -> Result<(), String> {
        for (key, listener) in &self.image.listeners {
            let Some(owners) = self.rings.get(&listener.ring_base) else {
                return Err(format!("{key:?} names a ring that is not there"));
            };
            for owner in owners {
                let Some(backend) = self.image.backends.get(owner) else {
                    return Err(format!("{key:?} names backend {owner} that is not there"));
                };
                if !self.image.devices.contains(&backend.ifindex) {
                    return Err(format!("backend {owner} leaves by an unknown device"));
                }
            }
        }
        Ok(())
    }
}

/// A consistent picture: listeners on pools, pools with rings of backends, backends on devices.
fn picture() -> impl Strategy<Value = (Image, Vec<RingWrite>)> {
    let pools = prop::collection::btree_map(0u16..4, prop::collection::vec(1u16..9, 1..5), 0..4);
    let listeners = prop::collection::btree_map(1u16..9, 0u16..4, 0..6);
    (pools, listeners, 1u32..4).prop_map(|(pools, listeners, device)| {
        let mut image = Image::default();
        let mut rings = Vec::new();
        for (pool, owners) in &pools {
            for owner in owners {
                let ifindex = device + u32::from(owner % 2);
                image.devices.insert(ifindex);
                let backend = Backend { flags: 3, ifindex, ..Backend::default() };
                image.backends.insert(*owner, backend);
            }
            image.pools.insert(*pool, Pool { udp_hold_until: 7, ..Pool::default() });
            let base = u32::from(*pool) * 16;
            rings.push(RingWrite { base, owners: owners.clone(), gone: BTreeSet::new() });
        }
        for (port, pool) in listeners.into_iter().filter(|(_, pool)| pools.contains_key(pool)) {
            let address = IpAddr::from([192, 0, 2, 1]);
            let key = ListenerKey { address, port, protocol: 6 };
            let ring_base = u32::from(pool) * 16;
            let listener =
                Listener { ring_base, ring_size: 5, id: port, pool, ..Listener::default() };
            image.listeners.insert(key, listener);
            image.vips.insert(address, Vip { flags: 3, number: 0 });
        }
        (image, rings)
    })
}

proptest! {
    /// From any picture to any other: the end is right, and no step on the way names what is not
    /// there. A ring that vanishes is freed.
    #[test]
    fn every_step_is_consistent(first in picture(), second in picture()) {
        let mut store = Fake::default();
        for command in plan(&Image::default(), &first.0, first.1.clone(), vec![]) {
            store.execute(&command).unwrap();
        }
        prop_assert_eq!(&store.image, &first.0);
        let kept: BTreeSet<u32> = second.1.iter().map(|ring| ring.base).collect();
        let freed = first.1.iter().filter(|ring| !kept.contains(&ring.base));
        let freed = freed.map(|ring| Region { base: ring.base, size: 16 }).collect();
        for command in plan(&first.0, &second.0, second.1.clone(), freed) {
            store.execute(&command).unwrap();
        }
        prop_assert_eq!(&store.image, &second.0);
        prop_assert_eq!(store.rings.keys().copied().collect::<BTreeSet<_>>(), kept);
    }

    #[test]
    fn nothing_changed_is_nothing_to_do((image, _) in picture()) {
        prop_assert!(plan(&image, &image, vec![], vec![]).is_empty());
    }
}
