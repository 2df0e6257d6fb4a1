//! Flows of pools with `fullnat`: each has a port of a source address, whose binding says what is known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use elb_common::addr::Be32;
use elb_common::binding::{Binding, stage};
use elb_common::flow::Flow;
use elb_common::snat::{self, Snat};

use super::FlowState;
use crate::control::flow_key::Key;
use crate::control::plan::{Image, ListenerKey};

/// A flow with a port of a source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundFlow {
    /// What it is known by to its client.
    pub key: Key,
    /// As if it had a record.
    pub flow: Flow,
    /// Whether it lives.
    pub state: FlowState,
    /// What its member knows it by.
    pub source: SocketAddr,
}

/// What says what bindings are about, as the maps have it.
#[derive(Clone, Debug, Default)]
pub struct BoundTerms {
    snat: Snat,
    /// Those at addresses of IPv4, by their ids.
    listeners: BTreeMap<u16, ListenerKey>,
    /// Backends that serve flows that they have.
    serving: BTreeSet<u16>,
}

impl BoundTerms {
    /// Those of the maps.
    pub fn new(image: &Image) -> Self {
        let listeners = image.listeners.iter().filter(|(key, _)| key.address.is_ipv4());
        let serving = image.backends.iter().filter(|(_, backend)| backend.serves_established());
        Self {
            snat: image.snat,
            listeners: listeners.map(|(key, listener)| (listener.id, *key)).collect(),
            serving: serving.map(|(id, _)| *id).collect(),
        }
    }

    /// The flow of a binding with this number, while its port is its own.
    pub fn flow(&self, number: u32, binding: Binding, now: u32) -> Option<BoundFlow> {
        let Binding { owner, course } = binding;
        let listener = self.listeners.get(&owner.listener())?;
        let source = address(self.snat.address(number));
        if !self.snat.holds(self.snat.address(number)) || course.is_over(now) {
            return None;
        }
        let client = SocketAddr::new(address(owner.client()), owner.port().get());
        let vip = SocketAddr::new(listener.address, listener.port);
        let state = match course.stage() {
            _ if !self.serving.contains(&course.backend()) => FlowState::MemberGone,
            stage::CLIENT_CLOSED | stage::CLOSED | stage::RESET => FlowState::Closed,
            _ => FlowState::Open,
        };
        let seen = now.wrapping_sub(course.age(now));
        let flow = Flow {
            backend: course.backend(),
            listener: owner.listener(),
            seen,
            since: seen,
            ..bytemuck::Zeroable::zeroed()
        };
        let key = Key::new(client, vip, listener.protocol);
        let source = SocketAddr::new(source, snat::port(number).get());
        Some(BoundFlow { key, flow, state, source })
    }
}

fn address(address: Be32) -> IpAddr {
    Ipv4Addr::from(address.raw().to_ne_bytes()).into()
}

#[cfg(test)]
mod tests {
    use elb_common::addr::Be16;
    use elb_common::backend::{Backend, backend_flags};
    use elb_common::binding::{Course, Owner, says};
    use elb_common::listener::Listener;

    use super::*;

    #[test]
    fn a_binding_says_whose_it_is_and_how_far() {
        let listener =
            ListenerKey { address: IpAddr::from([192, 0, 2, 10]), port: 80, protocol: 6 };
        let mut image = Image {
            snat: Snat { network: bytemuck::cast([10u8, 0, 0, 16]), addresses: 2, secret: 1 },
            ..Image::default()
        };
        image.listeners.insert(listener, Listener { id: 7, ..Listener::default() });
        let flags = backend_flags::ESTABLISHED | backend_flags::REACHABLE;
        image.backends.insert(3, Backend { flags, ..Backend::default() });
        let terms = BoundTerms::new(&image);
        let client = bytemuck::cast([198u8, 51, 100, 7]);
        let owner = Owner::new(client, Be16::new(4000), 7);
        let course = Course::opening(3, says::OPENS, 300, 1000);
        let number = 1 << 16 | 2048;
        let at = |course, now| terms.flow(number, Binding { owner, course }, now);
        let found = at(course, 1002).unwrap();
        assert_eq!(found.source, "10.0.0.17:2048".parse().unwrap());
        let (from, to, protocol) = found.key.five_tuple();
        assert_eq!(
            (from.to_string(), to.to_string()),
            ("198.51.100.7:4000".into(), "192.0.2.10:80".into())
        );
        assert_eq!((protocol, found.flow.backend, found.flow.seen), (6, 3, 1000));
        assert_eq!(found.state, FlowState::Open);
        let closed = course.after_client(says::CLOSES, 300, 1001);
        assert_eq!(at(closed, 1002).unwrap().state, FlowState::Closed);
        assert_eq!(at(course, 9000), None, "its port may be another's");
        assert_eq!(terms.flow(2 << 16, Binding { owner, course }, 1002), None);
        let gone = Course::opening(4, says::OPENS, 300, 1000);
        assert_eq!(at(gone, 1002).unwrap().state, FlowState::MemberGone);
        let other = Binding { owner: Owner::new(client, Be16::new(1), 8), course };
        assert_eq!(terms.flow(number, other, 1002), None, "there is no such listener");
    }
}
