//! Source addresses, and what the answers to them are translated to.

use elb_common::addr::Be16;
use elb_common::listener::{ListenerEndpoint, Vip, vip_flags};
use elb_common::snat::Snat;

use super::replies::first_bytes;
use super::{Desired, ReconcileInput, Reconciler};
use crate::control::plan::Image;
use crate::model::{Listener, LoadBalancer, Ports, SourceAddresses};

impl Reconciler {
    /// Adds the source addresses. While they are the same, so is the secret, since flows are found by it.
    pub(super) fn source_addresses(
        &mut self,
        wanted: Option<SourceAddresses>,
        seen: &impl ReconcileInput,
        image: &mut Image,
    ) {
        let snat = wanted.map_or_else(Snat::default, |wanted| Snat {
            network: bytemuck::cast(wanted.network().octets()),
            addresses: wanted.count(),
            secret: self.snat.secret,
        });
        if snat != self.snat {
            let secret = if wanted.is_some() { seen.secret() } else { 0 };
            self.snat = Snat { secret, ..snat };
        }
        image.snat = self.snat;
        let flags = vip_flags::ANNOUNCE | vip_flags::ECHO | vip_flags::SOURCE;
        let vip = Vip { flags, number: 0 };
        let addresses = wanted.into_iter().flat_map(SourceAddresses::all);
        image.vips.extend(addresses.map(|address| (address.into(), vip)));
    }

    /// Adds what clients know a listener by, if members of a pool that has its flows answer source addresses; whether any
    /// do. Of which flows they do so is decided by the member that each goes to.
    pub(super) fn endpoint(
        &self,
        lb: &LoadBalancer,
        listener: &Listener,
        desired: &mut Desired,
    ) -> bool {
        let Some(assigned) = self.assignments.listeners.get(&listener.id) else { return false };
        let (Ports::One(port), Some(vip)) = (listener.ports(), lb.vip_address) else {
            return false;
        };
        let mut pools = assigned.served.iter().copied().chain([assigned.pool]);
        let hides_clients = |id: u16| {
            let pool = self.assignments.pools.get(desired.numbered.get(&id)?)?;
            Some(pool.forwarding.hides_clients())
        };
        let is_hiding = pools.any(|id| hides_clients(id) == Some(true))
            || assigned.former.is_some_and(|former| hides_clients(former.pool) == Some(true));
        if is_hiding {
            let vip = first_bytes(vip.into());
            let endpoint = ListenerEndpoint { vip, port: Be16::new(port), reserved: 0 };
            desired.image.endpoints.insert(assigned.id, endpoint);
        }
        is_hiding
    }
}
