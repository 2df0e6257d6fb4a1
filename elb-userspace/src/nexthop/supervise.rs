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
    restart(&trouble, |ready| begin(wanted.clone(), network.clone(), ready)).await;
}

/// How a follower ended.
type End = Result<(), NetlinkError>;

/// Begins followers, each when the one before has ended, until one ends because nobody listens.
async fn restart(
    trouble: &watch::Sender<Option<String>>,
    begin: impl Fn(oneshot::Sender<()>) -> oneshot::Receiver<End>,
) {
    let mut rest = REST;
    loop {
        let begun = Instant::now();
        let (ready, is_ready) = oneshot::channel();
        let why = match end(begin(ready), is_ready, trouble).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its thread panicked or could not be started".to_owned(),
        };
        tracing::error!(why, "routes and neighbours are not followed; trying again");
        trouble.send_replace(Some(why));
        rest = if begun.elapsed() > WORKED { REST } else { (rest * 2).min(LONG_REST) };
        sleep(rest).await;
    }
}

/// Waits for the end of a follower. What was wrong is no longer so as soon as it knows all.
async fn end(
    mut end: oneshot::Receiver<End>,
    is_ready: oneshot::Receiver<()>,
    trouble: &watch::Sender<Option<String>>,
) -> Result<End, oneshot::error::RecvError> {
    tokio::select! {
        biased;
        Ok(()) = is_ready => { trouble.send_if_modified(|why| why.take().is_some()); }
        result = &mut end => return result,
    }
    end.await
}

/// Begins a follower on a thread of its own; how it ends, or nothing if it panics.
fn begin(
    wanted: watch::Receiver<Wanted>,
    network: watch::Sender<Network>,
    ready: oneshot::Sender<()>,
) -> oneshot::Receiver<End> {
    let (ended, end) = oneshot::channel();
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
    if let Err(error) = started {
        tracing::error!(%error, "cannot start a thread");
    }
    end
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_follower_ends_with_who_listens() {
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

    /// The first is refused a socket, the second panics, the third is silent until it ends in order.
    #[tokio::test]
    async fn another_follower_takes_the_place_of_one_that_ended() {
        let (trouble, mut troubles) = watch::channel(None);
        let count = Cell::new(0);
        let begin = |ready: oneshot::Sender<()>| {
            count.set(count.get() + 1);
            let (ended, end) = oneshot::channel();
            match count.get() {
                1 => ended.send(Err(NetlinkError::Late)).expect("somebody waits"),
                2 => drop(ended),
                _ => {
                    ready.send(()).expect("somebody waits");
                    ended.send(Ok(())).expect("somebody waits");
                }
            }
            end
        };
        let watch = async {
            let said = |text: &'static str| {
                move |why: &Option<String>| why.as_ref().is_some_and(|why| why.contains(text))
            };
            troubles.wait_for(said("does not answer")).await.map(drop).expect("the first");
            troubles.wait_for(said("panicked")).await.map(drop).expect("the second");
        };
        tokio::join!(restart(&trouble, begin), watch);
        assert_eq!((count.get(), trouble.borrow().as_ref()), (3, None));
    }
}
