//! The follower of the kernel's network has a thread of its own: however much changes, the agent's probes
//! are not late.

use std::panic::resume_unwind;
use std::thread;

use tokio::sync::{oneshot, watch};

use super::{self as netlink, FollowError};
use crate::control::network::{Network, WantedAddresses};

/// As [`netlink::follow`], on a thread of its own. If that panics, so does this.
///
/// # Errors
/// As that, or the thread cannot be started.
pub async fn follow(
    wanted: watch::Receiver<WantedAddresses>,
    network: watch::Sender<Network>,
) -> Result<(), FollowError> {
    let (ended, end) = oneshot::channel::<()>();
    let work = move || {
        // It goes when the thread ends, however.
        let _ended = ended;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(netlink::follow(wanted, network))
    };
    let thread = thread::Builder::new().name("network".to_owned()).spawn(work)?;
    let _ = end.await;
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_with_who_listens() {
        let (wanted, wanted_addresses) = watch::channel(WantedAddresses::default());
        let (known, mut network) = watch::channel(Network::default());
        let following = tokio::spawn(follow(wanted_addresses, known));
        let links = network.wait_for(|network| !network.links.is_empty()).await.map(drop);
        links.expect("every namespace has lo");
        drop(wanted);
        following.await.expect("it does not panic").expect("it ends in order");
    }
}
