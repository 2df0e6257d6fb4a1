//! Servers that say what they were set up to say, whatever they are asked.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_tests::netns::NetNs;

/// Longer than any request takes to come.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(2);

/// A server on every IPv4 address of its namespace, with a thread for each connection; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Canned {
    ended: Arc<AtomicBool>,
    broken: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Canned {
    /// Talks to each client as `talk` does, which may fail.
    pub(crate) fn start(
        netns: &NetNs,
        port: u16,
        talk: impl Fn(&mut TcpStream) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
        let listener = netns.run(listen)?.with_context(|| format!("cannot listen on {port}"))?;
        listener.set_nonblocking(true)?;
        let (ended, broken, served) =
            <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (ends, breaks, serves) = (ended.clone(), broken.clone(), served.clone());
        let talk = Arc::new(talk);
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    thread::sleep(POLL);
                    continue;
                };
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let (talk, breaks, serves) = (talk.clone(), breaks.clone(), serves.clone());
                thread::spawn(move || {
                    let count = if talk(&mut stream).is_ok() { serves } else { breaks };
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
            Ok(())
        });
        Ok(Self { ended, broken, served, thread: Some(thread) })
    }

    /// Answers every request of HTTP with these bytes, and closes when the client does.
    pub(crate) fn http(netns: &NetNs, port: u16, answer: Vec<u8>) -> Result<Self> {
        Self::start(netns, port, move |stream| {
            read_request(stream)?;
            end(stream, &answer)
        })
    }

    /// Connections that ended in order.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Connections that ended by an error.
    pub(crate) fn broken(&self) -> usize {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes the last bytes, and waits for the client's end: an error if that is a reset.
pub(crate) fn end(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    while stream.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

/// Reads the head of a request.
pub(crate) fn read_request(stream: &mut TcpStream) -> Result<String> {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => break,
            read => request.extend_from_slice(&piece[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

/// Reads what opens TLS; true if it offers RSA with AES and CBC, as clients of 2008 did.
pub(crate) fn offers_the_old(stream: &mut TcpStream) -> Result<bool> {
    let mut hello = [0; 4096];
    let read = stream.read(&mut hello)?;
    Ok(hello[..read].windows(2).any(|suite| suite == [0, 0x2f]))
}

/// A ServerHello of a version with a suite, and nothing after it.
pub(crate) fn server_hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
    let mut hello = vec![22, 3, 1, 0, 42, 2, 0, 0, 38];
    hello.extend(version);
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend(suite);
    hello.push(0);
    hello
}
