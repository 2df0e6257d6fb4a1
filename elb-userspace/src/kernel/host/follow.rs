//! Looks at the host whenever the kernel reports a change, and every second in case it did not.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkEvent};
use rtnetlink::{Handle, MulticastGroup, new_connection, new_multicast_connection};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::found::{HostInterface, HostState, ProbePath};
use super::links;
use crate::control::network::WantedAddresses;
use crate::kernel::net::probe_route::keep::KeptRoute;

/// How often the host is looked at though nothing was heard of it.
pub const PERIOD: Duration = Duration::from_secs(1);
/// How long to wait for more changes before looking: a look comes no more often, and looks take no more
/// than a tenth of the time.
const CALM: Duration = Duration::from_millis(50);
/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

type Message = NetlinkMessage<RouteNetlinkMessage>;
type Messages = Pin<Box<dyn Stream<Item = Message> + Send + Sync>>;

/// Virtual addresses whose way is looked at each time.
const ADDRESSES: usize = 8;

/// Looks until there is no receiver. `way` is the route of probes to the virtual addresses in `wanted`;
/// `revision` counts what the agent itself changes: each asks for
/// another look. A socket that fails is replaced by another.
pub async fn follow(
    way: Option<KeptRoute>,
    wanted: watch::Receiver<WantedAddresses>,
    mut revision: watch::Receiver<u64>,
    found: watch::Sender<Arc<HostState>>,
) {
    let mut seen = Seen::new(way, wanted);
    loop {
        match Sockets::open() {
            Ok(mut sockets) => {
                if let Err(error) = sockets.serve(&mut revision, &found, &mut seen).await {
                    tracing::warn!(%error, "cannot look at the host's interfaces; trying again");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot open a netlink socket; trying again"),
        }
        if revision.has_changed().is_err() || found.is_closed() {
            return;
        }
        sleep(PERIOD).await;
    }
}

/// One look, for a start, however long the kernel takes to answer.
///
/// # Errors
/// Netlink does not work.
pub async fn look() -> io::Result<HostState> {
    let interfaces = patiently(async || Sockets::open()?.interfaces().await).await?;
    Ok(HostState { interfaces, ..HostState::default() })
}

/// Asks again while answers are late: that the host is busy is no reason to end.
async fn patiently<T>(ask: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match ask().await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                tracing::warn!(
                    "the kernel did not list the host's interfaces within {PATIENCE:?}, the host may be \
                     busy; asking again"
                );
            }
            answer => return answer,
        }
    }
}

/// A socket for requests, and one for notifications: neither waits for the other.
struct Sockets {
    handle: Handle,
    messages: Messages,
    tasks: [JoinHandle<()>; 2],
}

impl Sockets {
    fn open() -> io::Result<Self> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Rule, MulticastGroup::Ipv6Rule];
        let (asking, handle, _) = new_connection()?;
        let (hearing, _, messages) = new_multicast_connection(&groups)?;
        let messages = Box::pin(messages.map(|(message, _)| message));
        Ok(Self { handle, messages, tasks: [tokio::spawn(asking), tokio::spawn(hearing)] })
    }

    async fn serve(
        &mut self,
        revision: &mut watch::Receiver<u64>,
        found: &watch::Sender<Arc<HostState>>,
        seen: &mut Seen,
    ) -> io::Result<()> {
        loop {
            while let Some(message) = self.messages.next().now_or_never() {
                seen.hear(&message.ok_or(io::ErrorKind::BrokenPipe)?);
            }
            let (begun, revision_now) = (Instant::now(), *revision.borrow_and_update());
            let interfaces = self.interfaces().await?;
            let probe_path = seen.keep_way(&self.handle, &interfaces).await;
            let interfaces = seen.counted(interfaces);
            let calm = CALM.max(10 * begun.elapsed()).min(PERIOD);
            found.send_replace(Arc::new(HostState {
                revision: revision_now,
                interfaces,
                probe_path,
            }));
            tokio::select! {
                message = self.messages.next() => {
                    seen.hear(&message.ok_or(io::ErrorKind::BrokenPipe)?);
                    sleep(calm).await;
                }
                changed = revision.changed() => match changed {
                    Ok(()) => {}
                    Err(_) => return Ok(()),
                },
                () = sleep(PERIOD) => {}
            }
            if found.is_closed() {
                return Ok(());
            }
        }
    }

    async fn interfaces(&self) -> io::Result<BTreeMap<u32, HostInterface>> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let asked = timeout(PATIENCE, links::all(&self.handle)).await.map_err(late)?;
        asked.map_err(io::Error::other)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What is remembered from look to look.
struct Seen {
    /// By interface, how often its neighbours were to learn anew.
    moves: BTreeMap<u32, u32>,
    way: Option<(KeptRoute, ProbePath)>,
    wanted: watch::Receiver<WantedAddresses>,
}

impl Seen {
    fn new(way: Option<KeptRoute>, wanted: watch::Receiver<WantedAddresses>) -> Self {
        let path = |way: KeptRoute| {
            let (peer, routed) = (way.names.peer.clone(), way.routed.clone());
            (way, ProbePath { peer, routed, ..ProbePath::default() })
        };
        Self { moves: BTreeMap::new(), way: way.map(path), wanted }
    }

    fn hear(&mut self, message: &Message) {
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = &message.payload
        else {
            return;
        };
        let says = |attribute: &LinkAttribute| {
            let moved = [LinkEvent::BondingFailover, LinkEvent::NotifyPeers];
            matches!(attribute, LinkAttribute::Event(event) if moved.contains(event))
        };
        if link.attributes.iter().any(says) {
            *self.moves.entry(link.header.index).or_default() += 1;
        }
    }

    fn counted(
        &mut self,
        mut interfaces: BTreeMap<u32, HostInterface>,
    ) -> BTreeMap<u32, HostInterface> {
        self.moves.retain(|index, _| interfaces.contains_key(index));
        for (index, count) in &self.moves {
            interfaces.entry(*index).and_modify(|interface| interface.moves = *count);
        }
        interfaces
    }

    /// Makes what is missing of the path of health probes.
    async fn keep_way(
        &mut self,
        handle: &Handle,
        interfaces: &BTreeMap<u32, HostInterface>,
    ) -> Option<ProbePath> {
        let (way, path) = self.way.as_mut()?;
        let is_up = |name: &str| interfaces.values().any(|one| one.name == name && one.carrier);
        let vips: Vec<_> = self.wanted.borrow().vips.iter().copied().take(ADDRESSES).collect();
        let missing = match look_at(way, handle, &vips, &is_up).await {
            Ok(missing) => missing,
            Err(Late) => {
                // What was known stays: slowness is no sign that anything is missing.
                tracing::warn!(
                    "the path of health probes could not be looked at: {LATE}; trying again"
                );
                return Some(path.clone());
            }
        };
        path.missing = None;
        if let Some(what) = missing {
            path.missing = match timeout(PATIENCE, way.restore()).await {
                // Another rule may come first, or another program may be quicker.
                Ok(Ok(())) => look_at(way, handle, &vips, links::is_there).await.unwrap_or(None),
                Ok(Err(error)) => Some(format!("{what}: {error}")),
                Err(_) => Some(format!("{what}: {LATE}")),
            };
            path.restored += u64::from(path.missing.is_none());
            path.last = Some(what);
        }
        path.serves_v4 = path.missing.is_none()
            || matches!(look_at(&way.without_v6(), handle, &vips, is_up).await, Ok(None));
        path.routed.clone_from(&way.routed);
        Some(path.clone())
    }
}

const LATE: &str = "the kernel does not answer in time, the host may be busy";

/// No answer came in time.
struct Late;

/// What is missing of the path of health probes.
async fn look_at(
    way: &KeptRoute,
    handle: &Handle,
    vips: &[IpAddr],
    is_up: impl Fn(&str) -> bool,
) -> Result<Option<String>, Late> {
    match timeout(PATIENCE, way.missing(handle, vips, is_up)).await {
        Ok(Ok(missing)) => Ok(missing),
        Ok(Err(error)) => Ok(Some(format!("cannot be looked at: {error}"))),
        Err(_) => Err(Late),
    }
}

#[cfg(test)]
mod tests;
