//! A server whose answers to health checks are written beforehand, and that notes when they came.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::netns::NetNs;

const POLL: Duration = Duration::from_millis(1);
/// Longer than any request takes to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// An HTTP server on every address of its namespace; dropping it ends it.
#[derive(Debug)]
pub struct Script {
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When its connection came.
    pub at: Instant,
    /// The address that it came to.
    pub to: IpAddr,
    /// The status code of the answer; none if the client asked for nothing.
    pub answer: Option<u16>,
}

#[derive(Debug)]
struct State {
    next: VecDeque<u16>,
    then: u16,
    seen: Vec<Seen>,
}

impl Script {
    /// Starts to answer with the status code 200; it listens when this returns.
    pub fn start(netns: &NetNs, port: u16) -> Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
        let listener = netns.run(listen)?.with_context(|| format!("cannot listen on {port}"))?;
        listener.set_nonblocking(true)?;
        let state = State { next: VecDeque::new(), then: 200, seen: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let ended = Arc::new(AtomicBool::new(false));
        let serve = {
            let (state, ended) = (state.clone(), ended.clone());
            move || serve(&listener, &state, &ended)
        };
        Ok(Self { state, ended, thread: Some(thread::spawn(serve)) })
    }

    /// Answers the next requests with these status codes, and all after that with the last one.
    pub fn answer(&self, codes: &[u16]) {
        let mut state = lock(&self.state);
        state.next = codes.iter().copied().collect();
        state.then = codes.last().copied().unwrap_or(state.then);
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }

    /// The answers so far, without those to clients that asked for nothing.
    pub fn answers(&self) -> Vec<u16> {
        self.seen().iter().filter_map(|seen| seen.answer).collect()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("a script ended: {error:#}");
        }
    }
}

fn serve(listener: &TcpListener, state: &Mutex<State>, ended: &AtomicBool) -> Result<()> {
    while !ended.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let at = Instant::now();
                let to = stream.local_addr()?.ip();
                // A connection that breaks is the client's to notice.
                let answer = answer(stream, state).ok();
                lock(state).seen.push(Seen { at, to, answer });
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => thread::sleep(POLL),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> Result<u16> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut request, mut part) = (Vec::new(), [0; 512]);
    while !request.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut part)?;
        anyhow::ensure!(length > 0, "it asked for nothing");
        request.extend_from_slice(&part[..length]);
    }
    let code = {
        let mut state = lock(state);
        let then = state.then;
        state.next.pop_front().unwrap_or(then)
    };
    write!(stream, "HTTP/1.1 {code} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(code)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
