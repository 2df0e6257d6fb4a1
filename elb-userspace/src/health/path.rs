//! By which path a member is probed: at its own address, or at a virtual address as traffic is, in the
//! same encapsulation. Only the latter shows that the member lacks the virtual address or does not
//! unwrap; the difference of the two is a diagnosis.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::Failure;
use crate::model::monitor::ProbePath;

/// Virtual addresses of one member that are probed at a time; where it has more, they take turns.
pub const AT_ONCE: usize = 4;

/// How a virtual address of one member is probed.
#[derive(Clone, Debug)]
pub struct ProbeRoute {
    /// Where the member is asked.
    pub target: SocketAddr,
    /// The local address to ask from.
    pub source: IpAddr,
    /// What brings the probe to the member.
    pub routing: Routing,
}

/// Brings probes of a virtual address to one member.
#[derive(Clone, Debug)]
pub struct Routing {
    /// The member's number in the maps.
    pub backend: u16,
    /// What routes the probe.
    pub router: Arc<dyn ProbeRouter>,
}

impl PartialEq for Routing {
    fn eq(&self, other: &Self) -> bool {
        self.backend == other.backend && Arc::ptr_eq(&self.router, &other.router)
    }
}

impl Eq for Routing {}

/// Routes probes to backends, in the packet path.
pub trait ProbeRouter: fmt::Debug + Send + Sync {
    /// The mark of the sockets of probes that are to be routed.
    fn mark(&self) -> u32;
    /// Says which backend a flow probes, before its first packet.
    ///
    /// # Errors
    /// The kernel refuses.
    fn route(&self, flow: Flow, backend: u16) -> io::Result<()>;
}

/// The flow of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// IANA protocol number.
    pub protocol: u8,
    /// This host's end; for an echo request, its identifier is the port.
    pub source: SocketAddr,
    /// The virtual address, of the same IP version; for an echo request, the port is 0.
    pub destination: SocketAddr,
}

impl Flow {
    /// Protocol of a connection.
    pub const TCP: u8 = 6;
    /// Protocol of a datagram.
    pub const UDP: u8 = 17;
    /// Protocol of an echo request over IPv4.
    pub const ICMP: u8 = 1;
    /// Protocol of an echo request over IPv6.
    pub const ICMPV6: u8 = 58;
}

/// The result of a probe by each path; `None`: it was not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathResults {
    /// The one that decides.
    pub path: ProbePath,
    /// At the virtual address.
    pub vip: Option<Result<(), Failure>>,
    /// At the member's own address.
    pub direct: Option<Result<(), Failure>>,
}

/// The result of a probe at one virtual address.
pub type AtVip = (IpAddr, Result<(), Failure>);

/// Tries the virtual address, and the member's own where that does not succeed: once it has failed, or
/// at `patience` so that both are over at one deadline. A member that works costs one probe.
pub(super) async fn vip_first<V, E, R>(
    vip: impl Future<Output = Result<V, E>>,
    direct: impl Future<Output = Result<(), R>>,
    patience: Instant,
) -> (Result<V, E>, Option<Result<(), R>>) {
    let (mut vip, mut direct) = (pin!(vip), pin!(direct));
    match timeout_at(patience, &mut vip).await {
        Ok(Ok(answered)) => return (Ok(answered), None),
        Ok(failed) => return (failed, Some(direct.await)),
        Err(_) => {}
    }
    tokio::select! {
        result = &mut vip => match result {
            Ok(answered) => (Ok(answered), None),
            failed => (failed, Some(direct.await)),
        },
        both = &mut direct => (vip.await, Some(both)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const LATE: Duration = Duration::from_millis(100);
    const PATIENCE: Duration = Duration::from_millis(20);

    async fn after(time: Duration, result: Result<(), u8>) -> Result<(), u8> {
        sleep(time).await;
        result
    }

    async fn tried(
        vip: (Duration, Result<(), u8>),
        direct: (Duration, Result<(), u8>),
    ) -> (Result<(), u8>, Option<Result<(), u8>>) {
        let patience = Instant::now() + PATIENCE;
        vip_first(after(vip.0, vip.1), after(direct.0, direct.1), patience).await
    }

    #[tokio::test]
    async fn the_direct_path_is_tried_only_with_one_that_does_not_work() {
        for direct in [(SOON, Err(2)), (LATE, Ok(()))] {
            assert_eq!(tried((SOON, Ok(())), direct).await, (Ok(()), None));
            for vip in [SOON, LATE] {
                let both = (Err(1), Some(direct.1));
                assert_eq!(tried((vip, Err(1)), direct).await, both, "{vip:?} {direct:?}");
            }
        }
        assert_eq!(tried((LATE, Ok(())), (LATE * 4, Err(2))).await, (Ok(()), None));
        assert_eq!(tried((LATE * 2, Ok(())), (SOON, Err(2))).await, (Ok(()), Some(Err(2))));
    }
}
