//! The kernel's routes and neighbours: what the agent does when they change, and what waits for them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use elb_common::backend::Backend;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::clients::translates;
use super::clock;
use super::core::{Core, addresses};
use super::state::prepared::Prepared;
use super::{Agent, fault};
use crate::api::shape::reload::{ReloadReport, ReloadRequest};
use crate::control::network::{LastHop, Network, WantedAddresses};
use crate::model::LoadBalancer;

/// How long next hops have to answer before the agent goes on without them.
const RESOLVE: Duration = Duration::from_secs(1);
/// How long the kernel has to say what interfaces and routes there are before the agent goes on with
/// what is in the maps.
const LIST: Duration = Duration::from_secs(10);

/// What is known of routes and neighbours, and what waits for more.
pub(super) struct Following {
    network: watch::Receiver<Network>,
    wanted: watch::Sender<WantedAddresses>,
    reload: Option<Waiting>,
}

/// A reload that waits until the ways to new members are known.
struct Waiting {
    members: BTreeSet<IpAddr>,
    /// Whether it waits for ways to clients, too.
    clients: bool,
    until: Instant,
    asked: Vec<Asked>,
}

/// How a reload is wanted, and who waits for what comes of it.
type Asked = (ReloadRequest, Option<oneshot::Sender<ReloadReport>>);

impl Following {
    pub(super) fn new(
        network: watch::Receiver<Network>,
        wanted: watch::Sender<WantedAddresses>,
    ) -> Self {
        Self { network, wanted, reload: None }
    }

    /// Waits until routes or neighbours changed, or are followed again.
    pub(super) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.network.changed().await
    }

    /// When the reload waits no longer.
    pub(super) fn reload_at(&self) -> Option<Instant> {
        self.reload.as_ref().map(|waiting| waiting.until)
    }

    /// Ways to these addresses are followed from now on.
    pub(super) fn want(&self, wanted: WantedAddresses) {
        self.wanted.send_if_modified(|before| {
            let is_news = *before != wanted;
            *before = wanted;
            is_news
        });
    }
}

impl Agent {
    /// Waits until the way to every member is known that an earlier agent may have served or that serves
    /// at once, not long for next hops that do not answer. To publish before would leave the former out.
    pub(super) async fn network_known(&mut self) -> Result<()> {
        let network = &mut self.following.network;
        let listed = timeout(LIST, network.wait_for(|network| !network.links.is_empty())).await;
        if let Ok(listed) = listed.map(|listed| listed.map(drop)) {
            listed?;
            let wanted = self.core.serving_at_once();
            let resolved =
                |network: &Network| wanted.iter().all(|address| network.is_resolved(*address));
            match timeout(RESOLVE, network.wait_for(resolved)).await {
                Ok(known) => drop(known?),
                Err(_) => tracing::debug!("some next hops do not answer"),
            }
        } else {
            tracing::error!("interfaces and routes are not known; what is in the maps stays");
        }
        self.take_network();
        Ok(())
    }

    /// Something changed. The maps follow soon; many changes at once cost no more than one.
    pub(super) fn network_changed(&mut self) {
        self.take_network();
        self.publishing.ask(Instant::now(), Duration::ZERO);
        let waiting = self.following.reload.as_mut();
        if let Some(waiting) = waiting.filter(|one| one.is_over(&self.core.network)) {
            waiting.until = Instant::now();
        }
    }

    fn take_network(&mut self) {
        self.core.network = self.following.network.borrow_and_update().clone();
        self.core.faults.idle_tasks.remove("netlink");
        self.core.look_for_own_addresses();
        self.core.note_sources();
    }

    /// The file may be another one: asks for the ways to its new members, and reloads when they are
    /// known. To publish before would move the ring once for each of them.
    pub(super) fn prepare_reload(
        &mut self,
        request: ReloadRequest,
        answer: Option<oneshot::Sender<ReloadReport>>,
    ) {
        fault::reach("loop");
        let now = Instant::now();
        let mut wanted = self.core.addresses();
        let (mut members, mut clients) = (BTreeSet::new(), false);
        // The reload says what is wrong with the file.
        let (host, looked) = (self.core.host(), clock::now().time);
        let read = self.core.file.peek().ok().map(|source| Prepared::read(source, host, looked));
        if let Some(config) = read.as_ref().and_then(Prepared::config) {
            members = addresses(&config.model).difference(&wanted.members).copied().collect();
            wanted.members.extend(&members);
            wanted.vips.extend(config.model.load_balancers().iter().flat_map(LoadBalancer::vips));
            clients = translates(&config.model);
            wanted.clients = self.core.wanted_clients(clients || wanted.clients.is_some());
            self.following.want(wanted);
        }
        self.core.file.prepared = read;
        let waiting = self.following.reload.take();
        let (before, mut asked) =
            waiting.map_or((now + RESOLVE, Vec::new()), |waiting| (waiting.until, waiting.asked));
        asked.push((request, answer));
        let mut waiting = Waiting { members, clients, until: before, asked };
        if waiting.is_over(&self.core.network) {
            waiting.until = now;
        }
        self.following.reload = Some(waiting);
    }

    /// What new members need is known, or they had time enough.
    pub(super) fn reload_prepared(&mut self) {
        let waiting = self.following.reload.take();
        let mut asked =
            waiting.map(|waiting| waiting.asked).unwrap_or_default().into_iter().peekable();
        while let Some((request, answer)) = asked.next() {
            let is_last = asked.peek().is_none();
            // Many signals are one.
            if answer.is_some() || is_last {
                let report = self.reload(request, answer.is_some());
                drop(answer.map(|answer| answer.send(report)));
            }
        }
    }
}

impl Waiting {
    fn is_over(&self, network: &Network) -> bool {
        self.members.iter().all(|member| network.is_resolved(*member))
            && (!self.clients || network.clients.is_some())
    }
}

impl Core {
    /// How members were reached, as the maps have it from the last agent.
    pub(super) fn network_before(&self) -> Network {
        let mut network = Network::default();
        let pools = self.serving.reconciler.assignments.pools.values();
        for number in pools.flat_map(|pool| &pool.members) {
            let Some(backend) = self.serving.observed.backends.get(&number.id) else { continue };
            if backend.is_reachable() && has_address(backend, number.address) {
                let hop = LastHop { ifindex: backend.ifindex, mac: backend.next_hop };
                network.last_hops.insert(number.address, hop);
                network.path_mtus.insert(number.address, backend.mtu().into());
            }
        }
        network
    }
}

fn has_address(backend: &Backend, address: IpAddr) -> bool {
    let bytes: [u8; 16] = bytemuck::cast(backend.address);
    match address {
        IpAddr::V4(v4) => bytes.starts_with(&v4.octets()),
        IpAddr::V6(v6) => bytes == v6.octets(),
    }
}
