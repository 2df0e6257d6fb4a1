//! Clients that no one knows: many at once, slow ones and malformed ones, that send as much as is taken.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    environment::allow_descriptors,
    process::output,
    wait::{STUCK, wait_for},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    runtime,
    sync::watch,
    task::JoinSet,
};

use super::{ApiScene, Session, clients::Curl, make_service};
use crate::scene::LIMIT;

/// Clients at once; most of them wait to be served at all, or are cut off at once.
const CLIENTS: usize = 10_000;
/// Where they come from: the first one is that of the client that is known.
const ADDRESSES: usize = 16;
/// So many of them are answered, or cut off, while memory and probes are looked at.
const SERVED: u64 = 1000;
/// Calls of the client that is known meanwhile.
const CALLS: usize = 10;
/// Bytes of the largest body that is read.
const BODY: usize = 1 << 20;
/// What all of them together may take of the agent's memory: 256 connections with 64 KiB of a body, buffers of 16 KiB
/// and what a connection needs, 16 MiB of large bodies, and what the allocator keeps.
const MEMORY: u64 = 64 << 20;
/// Probes of each member meanwhile.
const PROBES: u64 = 5;

/// What clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A head that does not end.
    SlowHead,
    /// A body that does not end, with a signature of a key that exists: what is verified by the body.
    SlowSigned,
    /// A body that does not end, with wrong credentials.
    SlowUnknown,
    /// No request.
    Malformed,
    /// A request with wrong credentials.
    Unknown,
}

const KINDS: [Kind; 5] =
    [Kind::SlowHead, Kind::SlowSigned, Kind::SlowUnknown, Kind::Malformed, Kind::Unknown];

/// How many clients of each kind were answered or cut off, and how many there are that have a connection.
type Served = Arc<[AtomicU64; KINDS.len() + 1]>;

/// What all clients of a kind send.
struct Words {
    head: String,
    body: usize,
}

fn words(kind: Kind, access: &str, date: &str) -> Words {
    let path = "/v3/x/elb/pools";
    let post = |more: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY}\r\n{more}\r\n")
    };
    let signature = "0".repeat(64);
    let signed = format!(
        "X-Sdk-Date: {date}\r\nAuthorization: SDK-HMAC-SHA256 Access={access}, \
         SignedHeaders=host;x-sdk-date, Signature={signature}\r\n"
    );
    let (head, body) = match kind {
        Kind::SlowHead => {
            (format!("GET {path} HTTP/1.1\r\nHost: h\r\nX-Slow: {}", "x".repeat(8000)), 0)
        }
        Kind::SlowSigned => (post(&signed), BODY - 1),
        Kind::SlowUnknown => (post("X-Auth-Token: wrong\r\n"), BODY / 2),
        Kind::Malformed => ("\r\n\x16\x03\x01 GET\0 / HTTP/9\r\n\r\n".to_owned(), 0),
        Kind::Unknown => {
            (format!("GET {path} HTTP/1.1\r\nHost: h\r\nX-Auth-Token: wrong\r\n\r\n"), 0)
        }
    };
    Words { head, body }
}

/// Sends what its kind does, and waits until it is answered or cut off.
async fn client(mut stream: TcpStream, words: Arc<Words>) -> std::io::Result<()> {
    const PIECE: &[u8] = &[b'x'; 1 << 14];
    let (mut reader, mut writer) = stream.split();
    let send = async {
        writer.write_all(words.head.as_bytes()).await?;
        let mut left = words.body;
        while left > 0 {
            let size = left.min(PIECE.len());
            writer.write_all(&PIECE[..size]).await?;
            left -= size;
        }
        // More does not come.
        std::future::pending::<std::io::Result<()>>().await
    };
    let mut first = [0; 1];
    tokio::select! {
        read = reader.read(&mut first) => read.map(drop),
        sent = send => sent,
    }
}

/// A connection from one of the addresses.
async fn connected(n: usize, target: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(n)? + 1;
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
    Ok(socket.connect(target).await?)
}

async fn all_clients(
    target: SocketAddr,
    (count, words): (usize, Vec<Arc<Words>>),
    served: Served,
    mut stop: watch::Receiver<bool>,
) {
    let mut clients = JoinSet::new();
    for n in 0..count {
        let (words, served) = (words[n % KINDS.len()].clone(), served.clone());
        clients.spawn(async move {
            let Ok(stream) = connected(n % ADDRESSES, target).await else { return };
            served[KINDS.len()].fetch_add(1, Ordering::Relaxed);
            // Cut off or answered: it was served.
            let _ = client(stream, words).await;
            served[n % KINDS.len()].fetch_add(1, Ordering::Relaxed);
        });
    }
    let _ = stop.wait_for(|stop| *stop).await;
}

impl ApiScene {
    fn resident(&self) -> Result<u64> {
        self.metric("process_resident_memory_bytes")
    }

    /// All series of a metric, added up.
    fn metric(&self, name: &str) -> Result<u64> {
        let text = self.agent.run(&["metrics"])?;
        let series = text.lines().filter(|line| line.starts_with(name));
        let values = series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        values.reduce(|sum, value| sum + value).with_context(|| format!("no {name}"))
    }

    /// Probes of both members that are over, and those that failed.
    fn probed(&self) -> Result<(u64, u64)> {
        Ok((
            self.metric("elb_member_probes_total")?,
            self.metric("elb_member_probe_failures_total")?,
        ))
    }
}

/// Ten thousand slow or malformed clients leave the agent's memory, its probes and its packets as they were, and keep no
/// known client waiting.
#[test]
fn ten_thousand_strangers_take_neither_memory_nor_probes() -> Result<()> {
    allow_descriptors(CLIENTS)?;
    let mut scene = ApiScene::start()?;
    let curl = Curl::new(&scene.lab, super::ENDPOINT, &scene.key.token, &scene.key.project)?;
    let mut session = Session { client: Box::new(curl), scene: &mut scene };
    let made = make_service(&mut session)?;
    let monitor = json!({
        "pool_id": made.pool, "type": "TCP", "delay": 1, "timeout": 10, "max_retries": 1});
    session.make("create_health_monitor", json!({}), "healthmonitor", monitor)?;
    session.members_are(&made.pool, "ONLINE")?;
    let before = (session.scene.probed()?, session.scene.resident()?);

    let mut date = Command::new("date");
    date.args(["--utc", "+%Y%m%dT%H%M%SZ"]);
    let date = output(date, STUCK)?;
    let access = &session.scene.key.access;
    let words = KINDS.map(|kind| Arc::new(words(kind, access, date.trim()))).to_vec();
    let (served, (stop, stopped)) = (Served::default(), watch::channel(false));
    let target = super::ENDPOINT.trim_start_matches("http://").parse()?;
    let shared = served.clone();
    let clients = session.scene.lab.lb().spawn(move || -> Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all_clients(target, (CLIENTS, words), shared, stopped));
        Ok(())
    });
    let count = || KINDS.map(|kind| served[kind as usize].load(Ordering::Relaxed));
    let (mut most, mut calls) = (0, 0);
    wait_for("clients to be answered or cut off", STUCK, || {
        most = most.max(session.scene.resident()?);
        // They hold all places that strangers have, and its own for a moment only.
        session.get("list_members", json!({"pool_id": made.pool}), "members")?;
        calls += 1;
        let (probed, _) = session.scene.probed()?;
        let is_over = count().iter().sum::<u64>() >= SERVED
            && count().iter().all(|count| *count > 0)
            && probed >= before.0.0 + 2 * PROBES
            && calls >= CALLS;
        Ok(is_over.then_some(()))
    })?;
    let more = most.saturating_sub(before.1);
    println!("{:?} were served; the agent took {} KiB more", count(), more >> 10);
    ensure!(more <= MEMORY, "{} KiB more than {} before", more >> 10, before.1 >> 10);
    let (probed, failed) = session.scene.probed()?;
    ensure!(failed == before.0.1, "{failed} of {probed} probes failed, {:?} before", before.0);
    session.members_are(&made.pool, "ONLINE")?;
    session.scene.is_served_by(&[0, 1])?;
    ensure!(session.scene.metric("elb_api_wrong_credentials_total")? > 0);
    let refused = session.scene.agent.status()?["agent"]["api"].clone();
    ensure!(refused["wrong_credentials"].as_u64() > Some(0), "{refused}");

    stop.send_replace(true);
    clients.join().expect("it does not panic")??;
    wait_for("the API to answer again", LIMIT, || {
        let found = session.call("list_members", json!({"pool_id": made.pool}), json!(null));
        Ok(found.is_ok_and(|(status, _)| status == 200).then_some(()))
    })
}

/// A client that is known is answered while thousands of others, some of them on its own address, hold what they get for
/// as long as they may.
#[test]
fn slow_strangers_keep_no_known_client_waiting() -> Result<()> {
    const SLOW: usize = 3000;
    // As many as an agent has places, if strangers could take all of them.
    const HELD: u64 = 256;
    const LATEST: Duration = Duration::from_secs(8);
    allow_descriptors(SLOW)?;
    let mut scene = ApiScene::start()?;
    let curl = Curl::new(&scene.lab, super::ENDPOINT, &scene.key.token, &scene.key.project)?;
    let mut session = Session { client: Box::new(curl), scene: &mut scene };
    session.get("list_pools", json!({}), "pools")?;
    let slow = KINDS.map(|_| Arc::new(words(Kind::SlowHead, "", ""))).to_vec();
    let (served, (stop, stopped)) = (Served::default(), watch::channel(false));
    let target = super::ENDPOINT.trim_start_matches("http://").parse()?;
    let shared = served.clone();
    let clients = session.scene.lab.lb().spawn(move || -> Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all_clients(target, (SLOW, slow), shared, stopped));
        Ok(())
    });
    wait_for("strangers to be there", STUCK, || {
        let count = served[KINDS.len()].load(Ordering::Relaxed);
        Ok((count >= HELD).then_some(()))
    })?;
    for _ in 0..CALLS {
        let begin = Instant::now();
        session.get("list_pools", json!({}), "pools")?;
        // Before the first of them had the time that a head may take.
        ensure!(begin.elapsed() < LATEST, "{:?}", begin.elapsed());
    }
    stop.send_replace(true);
    clients.join().expect("it does not panic")?
}
