//! Probes of real servers on the loopback interface, well behaved and not.

mod command;
mod grpc;
mod http;
mod talk;
mod tcp;
mod tls;
mod udp;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::health::{Cause, ReasonCode, Stage};
use crate::model::monitor::{HttpCheck, HttpMethod};

/// What a probe waits for that is to end by its timeout.
const TIMEOUT: Duration = Duration::from_millis(300);
/// What any other probe waits for: a busy machine is slow.
const LONG: Duration = Duration::from_secs(20);

fn spec(target: SocketAddr, check: HealthCheck) -> ProbeSpec {
    let default_host = IpAddr::from([192, 0, 2, 10]);
    ProbeSpec {
        target,
        source: None,
        vips: Vec::new(),
        routing: None,
        timeout: LONG,
        check,
        default_host,
        names: None,
    }
}

async fn run(probe: ProbeSpec) -> ProbeOutcome {
    super::run(probe, Vec::new()).await
}

/// One that ends by its timeout.
fn hasty(target: SocketAddr, check: HealthCheck) -> ProbeSpec {
    ProbeSpec { timeout: TIMEOUT, ..spec(target, check) }
}

fn failed(cause: Cause) -> Result<(), Failure> {
    Err(cause.into())
}

fn http(expected_codes: &str) -> HttpCheck {
    HttpCheck {
        http_method: HttpMethod::Get,
        url_path: "/healthz".parse().unwrap(),
        domain_name: None,
        expected_codes: expected_codes.parse().unwrap(),
        expected_body: None,
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that reads a request, answers with these bytes and closes; and the request it read.
async fn server(answer: &'static str) -> (SocketAddr, oneshot::Receiver<String>) {
    let (listener, address) = listener().await;
    let (send, receive) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        send.send(read_request(&mut stream).await).unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    (address, receive)
}

/// A server that reads something, answers with these bytes and closes; and what it read.
async fn raw_server(answer: &'static [u8]) -> (SocketAddr, oneshot::Receiver<Vec<u8>>) {
    let (listener, address) = listener().await;
    let (send, receive) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        stream.read_buf(&mut read).await.unwrap();
        let _ = send.send(read);
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    (address, receive)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
    }
    String::from_utf8(request).unwrap()
}

/// An address at which nothing listens: the port is taken, so that no other test can get it.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A listener that answers no SYN any more, because its queue of connections is full.
async fn overflowing() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(TIMEOUT, TcpStream::connect(address)).await {
        queued.push(stream);
        assert!(queued.len() < 10, "the queue does not overflow");
    }
    (listener, queued, address)
}
