//! Sees to it that the kernel's network is followed: by a thread of its own, which gives no work to the
//! agent's, and by another one when that one ended.

use std::thread;

use tokio::sync::{oneshot, watch};
use tokio::time::{Duration, Instant, sleep};

use super::netlink::{NetlinkError, follow};
use super::{Network, Wanted};

/// How long after its end the next follower begins, at first …
const REST: Duration = Duration::from_millis(200);
/// … and when it ends again and again.
const LONG_REST: Duration = Duration::from_secs(5);
/// One that has worked for so long ends for another reason than those before it.
const WORKED: Duration = Duration::from_secs(60);

/// Follows the network for as long as somebody listens, and says why it is not followed at the moment.
pub async fn keep(
    wanted: watch::Receiver<Wanted>,
    network: watch::Sender<Network>,
    trouble: watch::Sender<Option<String>>,
) {
    let mut rest = REST;
    loop {
        let begun = Instant::now();
        let why = match run(wanted.clone(), network.clone(), &trouble).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(Ended) => "its thread panicked or could not be started".to_owned(),
        };
        tracing::error!(why, "routes and neighbours are not followed; trying again");
        trouble.send_replace(Some(why));
        rest = if begun.elapsed() > WORKED { REST } else { (rest * 2).min(LONG_REST) };
        sleep(rest).await;
    }
}

/// The thread ended without saying why.
struct Ended;

/// Follows the network until that ends. What was wrong is no longer so as soon as something is known.
async fn run(
    wanted: watch::Receiver<Wanted>,
    network: watch::Sender<Network>,
    trouble: &watch::Sender<Option<String>>,
) -> Result<Result<(), NetlinkError>, Ended> {
    let (ended, mut end) = oneshot::channel();
    let (ready, mut is_ready) = oneshot::channel();
    let thread = thread::Builder::new().name("network".to_owned());
    let started = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(follow(wanted, network, ready)),
            Err(error) => Err(error.into()),
        };
        // Nobody waits for it any more where the agent is ending.
        let _ = ended.send(result);
    });
    started.map_err(|_| Ended)?;
    tokio::select! {
        Ok(()) = &mut is_ready => { trouble.send_if_modified(|why| why.take().is_some()); }
        result = &mut end => return result.map_err(|_| Ended),
    }
    end.await.map_err(|_| Ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever becomes of one follower, its end is seen and another begins.
    #[tokio::test]
    async fn it_ends_with_who_listens() {
        let (wanted, wanted_addresses) = watch::channel(Wanted::default());
        let (known, network) = watch::channel(Network::default());
        let (trouble, _) = watch::channel(Some("before".to_owned()));
        let keeping = tokio::spawn(keep(wanted_addresses, known, trouble.clone()));
        let mut network_known = network.clone();
        let links = network_known.wait_for(|network| !network.links.is_empty()).await;
        drop(links.expect("every namespace has lo"));
        let mut troubles = trouble.subscribe();
        assert!(troubles.wait_for(Option::is_none).await.is_ok());
        drop(wanted);
        keeping.await.expect("it ends by itself");
    }
}
