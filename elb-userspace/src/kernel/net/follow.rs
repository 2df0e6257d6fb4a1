//! Keeps a [`Network`] in step with the kernel over rtnetlink: all that it has at first, then what
//! changes, and all of it again after notifications were lost, and now and then.
//!
//! `mirror` is what is known, `attention` decides which neighbours are asked for and when, `notices` and
//! `requests` are its two sockets, `path_mtu` hears routers whose next link is narrow.

mod attention;
mod listing;
mod messages;
mod mirror;
mod notices;
mod path_mtu;
mod requests;
mod tables;
pub mod thread;

use std::collections::HashMap;

use rtnetlink::packet_route::RouteNetlinkMessage;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use self::attention::{Attention, Request};
use self::listing::TableListing;
use self::mirror::Mirror;
use self::notices::{Notice, Notices};
use self::path_mtu::{Paths, Routers, TooBig};
use self::requests::{Requests, TOGETHER};
use crate::control::network::{Network, Route, WantedAddresses};

/// Netlink does not work.
#[derive(Debug, Error)]
pub enum FollowError {
    /// No socket, or none that works.
    #[error("the netlink socket does not work: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel refused to list what it has.
    #[error("the kernel does not list interfaces and neighbours: {0}")]
    Refused(std::io::Error),
    /// No answer came.
    #[error("the kernel does not answer a netlink request")]
    Late,
}

/// How long notifications are collected: routing daemons change many routes at once.
const CALM: Duration = Duration::from_millis(20);
/// After routes were asked for again, four times as long as that took is for everything else.
const REST: u32 = 4;
/// What is known is passed on that often at the most while more is being found out.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);
/// How often all routes are asked for again: the kernel does not say when it learns what fits a path …
const ASK_ROUTES: Duration = Duration::from_secs(10);
/// … or, where there are many, each after so much time.
const ASK_ROUTE: Duration = Duration::from_micros(2500);
/// Routers are listened to that often at the most, whatever is forged.
const HEAR: Duration = Duration::from_millis(1);
/// How often all is listed again, whatever notifications said.
const LIST: Duration = Duration::from_secs(60);
/// How often all is listed again at the most.
const LIST_REST: Duration = Duration::from_millis(500);

/// What is known now of the ways to these addresses.
///
/// # Errors
/// See [`FollowError`].
pub async fn look(wanted: &WantedAddresses) -> Result<Network, FollowError> {
    let mut requests = Requests::open()?;
    let mut mirror = Mirror::default();
    mirror.want(wanted);
    list(&mut mirror, &mut requests).await?;
    while mirror.is_new() {
        ask_routes(&mut mirror, &mut requests).await?;
    }
    list_tables(&mut mirror).await?;
    Ok(mirror.news().unwrap_or_default())
}

/// Follows the network for as long as there is a receiver: `wanted` are the addresses to find ways
/// to, `network` is what is known; with its first links, it has the routes. What it holds at first is
/// what was known before; once all of it is known anew, `network` says so, whether it changed or not.
///
/// # Errors
/// See [`FollowError`].
pub async fn follow(
    mut wanted: watch::Receiver<WantedAddresses>,
    network: watch::Sender<Network>,
) -> Result<(), FollowError> {
    // Before all is listed: what changes meanwhile is not missed.
    let mut notices = Notices::open()?;
    let routers = Routers::open();
    let before = network.borrow().clone();
    let mut follower = Follower::new(before, Requests::open()?);
    follower.mirror.want(&wanted.borrow_and_update().clone());
    follower.begin().await?;
    loop {
        follower.catch_up(&network).await?;
        let (read_at, hear_at) = (follower.read_at, follower.hear_at);
        let incoming = async {
            tokio::time::sleep_until(read_at).await;
            notices.read().await
        };
        let errors = async {
            tokio::time::sleep_until(hear_at).await;
            routers.hear().await
        };
        let next = follower.next();
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                follower.mirror.want(&wanted.borrow_and_update().clone());
            }
            () = network.closed() => return Ok(()),
            notices = incoming => follower.learn(notices?),
            said = errors => follower.hear(said),
            tables = follower.listing.done() => follower.mirror.take_tables(tables?),
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

struct Follower {
    requests: Requests,
    mirror: Mirror,
    attention: Attention,
    paths: Paths,
    listing: TableListing,
    /// When notifications are read next.
    read_at: Instant,
    /// When routers are listened to next.
    hear_at: Instant,
    /// When routes that may have changed are asked for.
    routes_at: Instant,
    /// When all routes are asked for again.
    doubt_at: Instant,
    /// When all is listed again.
    list_at: Instant,
    listed: Instant,
    published: Option<Instant>,
}

impl Follower {
    fn new(before: Network, requests: Requests) -> Self {
        let now = Instant::now();
        Self {
            requests,
            mirror: Mirror::of(before),
            attention: Attention::default(),
            paths: Paths::default(),
            listing: TableListing::new(now),
            read_at: now,
            hear_at: now,
            routes_at: now,
            doubt_at: now + ASK_ROUTES,
            list_at: now + LIST,
            listed: now,
            published: None,
        }
    }

    async fn begin(&mut self) -> Result<(), FollowError> {
        self.list().await?;
        while self.mirror.is_new() {
            ask_routes(&mut self.mirror, &mut self.requests).await?;
        }
        list_tables(&mut self.mirror).await?;
        self.paths.begin(self.mirror.narrow_paths(), self.listed);
        Ok(())
    }

    async fn list(&mut self) -> Result<(), FollowError> {
        list(&mut self.mirror, &mut self.requests).await?;
        self.listed = Instant::now();
        self.list_at = self.listed + LIST;
        Ok(())
    }

    /// Takes in what changed.
    fn learn(&mut self, notices: Vec<Notice>) {
        let now = Instant::now();
        self.read_at = now + CALM;
        let (was_stale, had_stale) = (self.mirror.is_stale(), self.mirror.has_stale_tables());
        let mut lost = false;
        for notice in notices {
            lost |= self.mirror.learn(notice);
        }
        let again = (self.listed + LIST_REST).max(now);
        if lost && again < self.list_at {
            tracing::info!("netlink notifications were lost; everything is read again");
            self.list_at = again;
        }
        if !was_stale && self.mirror.is_stale() {
            self.routes_at = self.routes_at.max(now + CALM);
        }
        if !had_stale && self.mirror.has_stale_tables() {
            self.listing.wait(now);
        }
    }

    /// A router says what fits.
    fn hear(&mut self, said: TooBig) {
        let now = Instant::now();
        self.hear_at = now + HEAR;
        if self.mirror.has_member(said.member)
            && let Some(mtu) = self.paths.note(said, now)
        {
            self.mirror.narrow(said.member, Some(mtu));
        }
    }

    /// Does what is due, and passes on what is known.
    async fn catch_up(&mut self, network: &watch::Sender<Network>) -> Result<(), FollowError> {
        let now = Instant::now();
        if self.list_at <= now {
            self.list().await?;
        }
        if self.doubt_at <= now {
            let size = u32::try_from(self.mirror.size()).unwrap_or(u32::MAX);
            self.doubt_at = now + ASK_ROUTES.max(ASK_ROUTE.saturating_mul(size));
            self.mirror.doubt_all();
        }
        for member in self.paths.over(now) {
            self.mirror.narrow(member, None);
        }
        while self.mirror.is_new() {
            ask_routes(&mut self.mirror, &mut self.requests).await?;
        }
        if self.mirror.is_stale() && self.routes_at <= now {
            let begun = Instant::now();
            ask_routes(&mut self.mirror, &mut self.requests).await?;
            self.routes_at = Instant::now() + begun.elapsed() * REST;
        }
        self.mirror.settle();
        self.look_for_others().await?;
        self.listing.catch_up(&mut self.mirror, Instant::now());
        self.attend().await?;
        self.publish(network);
        Ok(())
    }

    /// Where a gateway is silent, finds out whether the route has others.
    async fn look_for_others(&mut self) -> Result<(), FollowError> {
        let members = self.mirror.looks_for_others(TOGETHER);
        if members.is_empty() {
            return Ok(());
        }
        let questions = members.iter().map(|member| messages::ask_next_hops(*member)).collect();
        let answers = self.requests.ask(questions).await?;
        for (member, answer) in members.into_iter().zip(answers) {
            let hops = match answer {
                Ok(RouteNetlinkMessage::NewRoute(route)) => messages::next_hops(&route, member),
                Ok(_) | Err(_) => Vec::new(),
            };
            self.mirror.offered(member, hops);
        }
        self.mirror.settle();
        Ok(())
    }

    /// Has neighbours resolved and kept by the kernel.
    async fn attend(&mut self) -> Result<(), FollowError> {
        let now = Instant::now();
        if let Some(used) = self.mirror.used() {
            self.attention.follow(&used, now);
        }
        let due = self.attention.due(now);
        if due.is_empty() {
            return Ok(());
        }
        let questions = due.iter().flat_map(|request| match *request {
            Request::Keep(neighbor) => vec![messages::keep_neighbor(neighbor)],
            Request::Verify(neighbor) => {
                vec![messages::verify_neighbor(neighbor), messages::keep_neighbor(neighbor)]
            }
            Request::Leave(neighbor) => vec![messages::leave_neighbor(neighbor)],
        });
        // A refusal says that the interface is down, or that the neighbour is not known any more.
        self.requests.ask(questions.collect()).await.map(drop)
    }

    fn publish(&mut self, network: &watch::Sender<Network>) {
        let now = Instant::now();
        let is_first = self.published.is_none();
        if self.mirror.is_stale()
            && self.published.is_some_and(|published| now < published + PUBLISH_INTERVAL)
        {
            return;
        }
        if let Some(news) = self.mirror.news() {
            self.published = Some(now);
            network.send_if_modified(|published| {
                let is_news = is_first || *published != news;
                *published = news;
                is_news
            });
        }
    }

    /// When there is something to do, whatever happens.
    fn next(&self) -> Instant {
        let routes = self.mirror.is_stale().then_some(self.routes_at);
        let others = self.mirror.has_more_to_ask().then(Instant::now);
        let tables = self.listing.next(&self.mirror);
        let attention = self.attention.next();
        let all = [Some(self.list_at), Some(self.doubt_at), routes, others, tables, attention];
        all.into_iter().flatten().min().unwrap_or(self.list_at)
    }
}

/// Takes over all interfaces and neighbours that the kernel has.
async fn list(mirror: &mut Mirror, requests: &mut Requests) -> Result<(), FollowError> {
    let mut links = HashMap::new();
    for message in requests.links().await? {
        if let RouteNetlinkMessage::NewLink(link) = message {
            links.extend(messages::link(&link));
        }
    }
    let mut table = HashMap::new();
    for message in requests.neighbors().await? {
        if let RouteNetlinkMessage::NewNeighbour(neighbor) = message {
            table.extend(messages::neighbor(&neighbor));
        }
    }
    mirror.take_over(links, table);
    Ok(())
}

/// Takes over the tables that say how clients are reached, where these are followed.
async fn list_tables(mirror: &mut Mirror) -> Result<(), FollowError> {
    if mirror.has_stale_tables() {
        mirror.lists_tables();
        mirror.take_tables(tables::list().await?);
    }
    mirror.settle();
    mirror.find_clients();
    Ok(())
}

/// Asks for routes that are not known or may be others: some of them, so that everything else gets
/// its turn.
async fn ask_routes(mirror: &mut Mirror, requests: &mut Requests) -> Result<(), FollowError> {
    let addresses = mirror.questions(TOGETHER);
    let questions = addresses.iter().map(|address| messages::ask_route(*address)).collect();
    let answers = requests.ask(questions).await?;
    for (address, answer) in addresses.into_iter().zip(answers) {
        let route = match answer {
            Ok(RouteNetlinkMessage::NewRoute(route)) => messages::route(&route),
            // The kernel says that there is no route with an error: unreachable, prohibited.
            Ok(_) | Err(_) => Route::None,
        };
        mirror.routed(address, route);
    }
    Ok(())
}
