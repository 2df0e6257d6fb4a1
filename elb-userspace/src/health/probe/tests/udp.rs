//! Probes of UDP. The host of the tests answers echo requests, and says that a port is closed.

use std::net::Ipv6Addr;

use tokio::net::UdpSocket;

use super::*;

const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// For the echo, which comes soon, and then for an error that does not come.
const SILENCE: Duration = Duration::from_secs(3);

fn silent(target: SocketAddr) -> ProbeSpec {
    ProbeSpec { timeout: SILENCE, ..spec(target, HealthCheck::UdpConnect) }
}

#[tokio::test]
async fn silence_and_any_answer_are_health() {
    for loopback in LOOPBACKS {
        let socket = UdpSocket::bind((loopback, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let outcome = run(silent(address)).await;
        assert_eq!(outcome.result, Ok(()));
        assert!(SILENCE <= outcome.duration, "all of the timeout is waited for a refusal");

        let probe = tokio::spawn(run(spec(address, HealthCheck::UdpConnect)));
        // The first probe's datagram is still there, from a socket that is gone.
        socket.recv(&mut [0; 64]).await.unwrap();
        let mut datagram = [0; 64];
        let (length, peer) = socket.recv_from(&mut datagram).await.unwrap();
        assert_eq!(&datagram[..length], b"elb-health-check");
        socket.send_to(b"what?", peer).await.unwrap();
        let outcome = probe.await.unwrap();
        assert_eq!(outcome.result, Ok(()));
        assert!(outcome.duration < LONG, "an answer ends the probe");
    }
}

#[tokio::test]
async fn a_closed_port_is_not() {
    for by in LOOPBACKS {
        let socket = UdpSocket::bind((by, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let outcome = run(spec(address, HealthCheck::UdpConnect)).await;
        assert_eq!(outcome.result, failed(Cause::PortUnreachable { by }));
        assert_eq!(outcome.result.unwrap_err().code(), ReasonCode::ConnectRefused);
    }
}

#[tokio::test]
async fn a_source_that_is_not_ours() {
    let source = Some(IpAddr::from([192, 0, 2, 99]));
    let target = SocketAddr::from(([127, 0, 0, 1], 9));
    let outcome = run(ProbeSpec { source, ..spec(target, HealthCheck::UdpConnect) }).await;
    let error = "cannot assign requested address".to_owned();
    assert_eq!(outcome.result, failed(Cause::NoLocalResource { error }));
}

#[tokio::test]
async fn probes_at_once_do_not_take_each_others_answers() {
    let sockets: Vec<UdpSocket> = {
        let bind = (0..20).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
        futures_util::future::try_join_all(bind).await.unwrap()
    };
    let probes = sockets.iter().map(|socket| run(silent(socket.local_addr().unwrap())));
    let outcomes = join_all(probes).await;
    assert!(outcomes.iter().all(|outcome| outcome.result == Ok(())), "{outcomes:?}");
}
