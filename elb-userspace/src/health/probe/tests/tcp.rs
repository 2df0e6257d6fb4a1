//! Probes of TCP, and connections that fail for whatever check.

use super::*;

#[tokio::test]
async fn tcp_succeeds_and_resets() {
    let (listener, address) = listener().await;
    let source = IpAddr::from([127, 0, 0, 9]);
    let outcome = run(ProbeSpec { source: Some(source), ..spec(address, HealthCheck::Tcp) }).await;
    assert_eq!(outcome.result, Ok(()));
    assert!(outcome.duration < LONG);
    let (mut stream, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), source);
    let read = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(read.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn connections_that_fail() {
    for check in [HealthCheck::Tcp, HealthCheck::Http(http("200"))] {
        let (_socket, address) = refusing();
        let outcome = run(spec(address, check.clone())).await;
        assert_eq!(outcome.result, failed(Cause::Refused { by: address.ip() }));

        let (_listener, _queued, address) = overflowing().await;
        let outcome = run(hasty(address, check.clone())).await;
        assert_eq!(outcome.result, failed(Cause::Timeout { stage: Stage::Connect }));
        assert!(TIMEOUT <= outcome.duration);

        // Not an address of this host's.
        let source = Some(IpAddr::from([192, 0, 2, 99]));
        let outcome = run(ProbeSpec { source, ..spec(address, check) }).await;
        let error = "cannot assign requested address".to_owned();
        assert_eq!(outcome.result, failed(Cause::NoLocalResource { error }));
    }
}
