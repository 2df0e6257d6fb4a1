//! Probes of real servers on the loopback interface, well behaved and not.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use super::*;
use crate::model::monitor::{HttpCheck, HttpMethod};

const TIMEOUT: Duration = Duration::from_millis(300);

fn spec(target: SocketAddr, check: Check) -> ProbeSpec {
    let default_host = IpAddr::from([192, 0, 2, 10]);
    ProbeSpec { target, source: None, timeout: TIMEOUT, check, default_host }
}

fn http(expected_codes: &str) -> HttpCheck {
    HttpCheck {
        http_method: HttpMethod::Get,
        url_path: "/healthz".parse().unwrap(),
        domain_name: None,
        expected_codes: expected_codes.parse().unwrap(),
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

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
    }
    String::from_utf8(request).unwrap()
}

async fn answered(answer: &'static str, expected_codes: &str) -> Result<(), Failure> {
    let (address, _request) = server(answer).await;
    run(spec(address, Check::Http(http(expected_codes)))).await.result
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

#[tokio::test]
async fn tcp_succeeds_and_resets() {
    let (listener, address) = listener().await;
    let source = IpAddr::from([127, 0, 0, 9]);
    let outcome = run(ProbeSpec { source: Some(source), ..spec(address, Check::Tcp) }).await;
    assert_eq!(outcome.result, Ok(()));
    assert!(outcome.duration < TIMEOUT);
    let (mut stream, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), source);
    let read = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn connections_that_fail() {
    for check in [Check::Tcp, Check::Http(http("200"))] {
        let (_socket, address) = refusing();
        let outcome = run(spec(address, check.clone())).await;
        assert_eq!(outcome.result, Err(Failure::ConnectRefused));

        let (_listener, _queued, address) = overflowing().await;
        let outcome = run(spec(address, check.clone())).await;
        assert_eq!(outcome.result, Err(Failure::ConnectTimeout));
        assert!(TIMEOUT <= outcome.duration && outcome.duration < 3 * TIMEOUT);

        // Not an address of this host's.
        let source = Some(IpAddr::from([192, 0, 2, 99]));
        let outcome = run(ProbeSpec { source, ..spec(address, check) }).await;
        assert_eq!(outcome.result, Err(Failure::ConnectFailed));
    }
}

#[tokio::test]
async fn http_answers() {
    let mismatch =
        |expected: &str, seen| Err(Failure::ResponseMismatch { expected: expected.into(), seen });
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200", Ok(())),
        ("HTTP/1.1 204 No Content\r\n\r\n", "200-204", Ok(())),
        ("HTTP/1.1 204 No Content\r\n\r\n", "200,202", mismatch("200,202", 204)),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "200", mismatch("200", 302)),
        ("HTTP/1.0 200 OK\r\n\r\n", "200", Ok(())),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "200", Ok(())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "200", Ok(())),
        ("SSH-2.0-OpenSSH_9.2\r\n", "200", Err(Failure::ResponseFormatError)),
        ("HTTP/1.1 banana\r\n\r\n", "200", Err(Failure::ResponseFormatError)),
        ("HTTP/1.1 200 OK\r\nbroken", "200", Err(Failure::RecvResponseFailed)),
        ("", "200", Err(Failure::RecvResponseFailed)),
    ];
    for (answer, expected_codes, result) in cases {
        assert_eq!(answered(answer, expected_codes).await, result, "{answer:?}");
    }
}

#[tokio::test]
async fn http_servers_that_do_not_answer() {
    let (listener, address) = listener().await;
    let outcome = run(spec(address, Check::Http(http("200")))).await;
    assert_eq!(outcome.result, Err(Failure::RecvResponseTimeout));
    assert!(TIMEOUT <= outcome.duration && outcome.duration < 3 * TIMEOUT);

    drop(listener.accept().await.unwrap());
    let probe = tokio::spawn(run(spec(address, Check::Http(http("200")))));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(probe.await.unwrap().result, Err(Failure::RecvResponseFailed));
}

#[tokio::test]
async fn an_endless_head_ends_at_its_bound() {
    let (listener, address) = listener().await;
    let probe = tokio::spawn(run(spec(address, Check::Http(http("200")))));
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
    while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
    assert_eq!(probe.await.unwrap().result, Err(Failure::ResponseFormatError));
}

#[tokio::test]
async fn http_requests_say_what_is_configured() {
    let (address, request) = server("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(run(spec(address, Check::Http(http("200")))).await.result, Ok(()));
    assert_eq!(
        request.await.unwrap(),
        "GET /healthz HTTP/1.1\r\nhost: 192.0.2.10\r\nuser-agent: elb-health-check\r\n\
         connection: close\r\n\r\n",
    );
    for method in [HttpMethod::Head, HttpMethod::Post] {
        let (address, request) = server("HTTP/1.1 200 OK\r\n\r\n").await;
        let check = HttpCheck {
            http_method: method,
            url_path: "/a-/.?#%&_;~!()*[]@$^:',+".parse().unwrap(),
            domain_name: Some("www.example.com".parse().unwrap()),
            ..http("200")
        };
        assert_eq!(run(spec(address, Check::Http(check))).await.result, Ok(()));
        let request = request.await.unwrap();
        assert!(request.starts_with(&format!("{method} /a-/.? HTTP/1.1\r\n")), "{request}");
        assert!(request.contains("\r\nhost: www.example.com\r\n"), "{request}");
    }
}

#[test]
fn every_path_is_a_target() {
    for c in (b' '..=b'~').map(char::from) {
        if let Ok(path) = format!("/{c}{c}").parse::<crate::model::monitor::UrlPath>() {
            let target = path.as_str().parse::<hyper::http::uri::PathAndQuery>();
            let expected = if c == '#' { "/" } else { path.as_str() };
            assert_eq!(target.unwrap().as_str(), expected);
        }
    }
}
