//! Probes with TLS.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey as Signed;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring, version};

use super::*;
use crate::model::monitor::TlsCheck;

fn tls(domain_name: Option<&str>) -> HealthCheck {
    HealthCheck::Tls(TlsCheck { domain_name: domain_name.map(|name| name.parse().unwrap()) })
}

fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["www.example.com".to_owned()]).unwrap()
}

fn key(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap()
}

/// A server with a certificate that no authority signed.
fn plain_config() -> ServerConfig {
    let own = certificate();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    builder.with_single_cert(vec![own.cert.der().clone()], key(&own)).unwrap()
}

/// Answers one connection with these bytes after the handshake; the name that the client asked for.
async fn tls_server(
    config: ServerConfig,
    answer: &'static str,
) -> (SocketAddr, oneshot::Receiver<Option<String>>) {
    let (listener, address) = listener().await;
    let (send, receive) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else {
            return;
        };
        let _ = send.send(stream.get_ref().1.server_name().map(str::to_owned));
        if !answer.is_empty() {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    (address, receive)
}

#[tokio::test]
async fn an_unsigned_certificate_is_accepted() {
    for name in [None, Some("other.example.org"), Some("10.0.0.11")] {
        let (address, asked) = tls_server(plain_config(), "").await;
        assert_eq!(run(spec(address, tls(name))).await.result, Ok(()));
        let sent = name.filter(|name| name.parse::<IpAddr>().is_err());
        assert_eq!(asked.await.unwrap().as_deref(), sent);
    }
}

#[tokio::test]
async fn every_version_of_tls_that_is_not_broken_is_spoken() {
    for version in [&version::TLS12, &version::TLS13] {
        let own = certificate();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[version]).unwrap().with_no_client_auth();
        let config = builder.with_single_cert(vec![own.cert.der().clone()], key(&own)).unwrap();
        let (address, _asked) = tls_server(config, "").await;
        assert_eq!(run(spec(address, tls(None))).await.result, Ok(()), "{version:?}");
    }
}

#[tokio::test]
async fn https_answers() {
    let https = |codes: &str, name: Option<&str>| {
        let domain_name = name.map(|name| name.parse().unwrap());
        HealthCheck::Https(HttpCheck { domain_name, ..http(codes) })
    };
    let (address, asked) = tls_server(plain_config(), "HTTP/1.1 200 OK\r\n\r\n").await;
    let outcome = run(spec(address, https("200", Some("www.example.com")))).await;
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(asked.await.unwrap().as_deref(), Some("www.example.com"));

    let (address, _asked) = tls_server(plain_config(), "HTTP/1.1 503 Busy\r\n\r\n").await;
    let expected = "200-204".to_owned();
    let outcome = run(spec(address, https("200-204", None))).await;
    assert_eq!(outcome.result, failed(Cause::Status { expected, seen: 503 }));

    let (address, _asked) = tls_server(plain_config(), "").await;
    let outcome = run(hasty(address, https("200", None))).await;
    assert_eq!(outcome.result, failed(Cause::Timeout { stage: Stage::Response }));
}

#[tokio::test]
async fn what_is_not_tls() {
    let handshake = Stage::Handshake;
    for check in [tls(None), HealthCheck::Https(http("200"))] {
        // A server of HTTP says that it does not understand.
        let (address, _hello) = raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert_eq!(run(spec(address, check.clone())).await.result, failed(Cause::NotTls));

        let (address, _hello) = raw_server(b"").await;
        let outcome = run(spec(address, check.clone())).await;
        assert_eq!(outcome.result, failed(Cause::Closed { stage: handshake }));

        // An alert of TLS is an answer, but not one of HTTP.
        let (address, _hello) = raw_server(&[21, 3, 3, 0, 2, 2, 40]).await;
        let alert = "handshake failure".to_owned();
        let outcome = run(spec(address, check.clone())).await;
        let of_https = failed(Cause::TlsAlert { alert });
        let is_tls = matches!(check, HealthCheck::Tls(_));
        assert_eq!(outcome.result, if is_tls { Ok(()) } else { of_https });

        let (_listener, address) = listener().await;
        let outcome = run(hasty(address, check.clone())).await;
        assert_eq!(outcome.result, failed(Cause::Timeout { stage: handshake }));
        assert!(TIMEOUT <= outcome.duration);

        let (listener, address) = listener().await;
        let probe = tokio::spawn(run(spec(address, check.clone())));
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.set_zero_linger().unwrap();
        drop(stream);
        let result = probe.await.unwrap().result;
        assert_eq!(result, failed(Cause::Reset { stage: handshake }));

        for failure in [Cause::NotTls, Cause::Timeout { stage: handshake }] {
            assert_eq!(Failure::new(failure).code(), ReasonCode::SslHandshakeError);
        }
        let (_socket, address) = refusing();
        let outcome = run(spec(address, check)).await;
        assert_eq!(outcome.result, failed(Cause::Refused { by: address.ip() }));
    }
}

/// How a server that agrees on nothing with us says so.
#[derive(Clone, Copy, Debug)]
enum Refusing {
    Alert(u8),
    Closing,
    Resetting,
    /// It chooses what we did not offer.
    Choosing,
}

/// TLS 1.0 with RSA and a block cipher: a server hello as servers of 2008 send it.
const OLD_HELLO: [u8; 47] = {
    let mut hello = [7; 47];
    let head = [22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    hello[43] = 0;
    hello[44] = 0;
    hello[45] = 0x2f;
    hello[46] = 0;
    hello
};

/// A server of the past: it refuses the first connection so, and answers any hello that offers RSA.
async fn old_server(how: Refusing, answer: &'static [u8]) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        for turn in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = vec![0; 4096];
            let read = stream.read(&mut hello).await.unwrap();
            let offers_rsa = hello[..read].windows(2).any(|pair| pair == [0, 0x2f]);
            assert_eq!(offers_rsa, turn == 1);
            match how {
                _ if turn == 1 => stream.write_all(answer).await.unwrap(),
                Refusing::Alert(alert) => {
                    stream.write_all(&[21, 3, 1, 0, 2, 2, alert]).await.unwrap();
                }
                Refusing::Choosing => stream.write_all(&OLD_HELLO).await.unwrap(),
                Refusing::Closing => {}
                Refusing::Resetting => stream.set_zero_linger().unwrap(),
            }
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_speaks_what_we_do_not_answers() {
    let ways = [
        Refusing::Alert(40),
        Refusing::Alert(70),
        Refusing::Closing,
        Refusing::Resetting,
        Refusing::Choosing,
    ];
    for how in ways {
        for check in [tls(Some("a_b")), HealthCheck::Https(http("200"))] {
            let address = old_server(how, &OLD_HELLO).await;
            assert_eq!(run(spec(address, check.clone())).await.result, Ok(()), "{how:?} {check:?}");
        }
    }
    // One that refuses whatever is offered says so to HTTPS.
    let address = old_server(Refusing::Closing, &[21, 3, 1, 0, 2, 2, 80]).await;
    let alert = "internal error, to TLS 1.0 to 1.3 with suites of ECDHE, DHE and RSA, CBC ones \
                 included"
        .to_owned();
    let outcome = run(spec(address, HealthCheck::Https(http("200")))).await;
    assert_eq!(outcome.result, failed(Cause::TlsAlert { alert }));
}

/// A server that has no certificate for this name ends the handshake, which is an answer.
#[tokio::test]
async fn a_name_that_the_server_does_not_know() {
    let own = certificate();
    let signing = ring::sign::any_supported_type(&key(&own)).unwrap();
    let mut known = ResolvesServerCertUsingSni::new();
    let signed = Signed::new(vec![own.cert.der().clone()], signing);
    known.add("www.example.com", signed).unwrap();
    let known = Arc::new(known);
    for (name, is_known) in [("www.example.com", true), ("other.example.com", false)] {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_cert_resolver(known.clone());
        let (address, _asked) = tls_server(config, "").await;
        let result = run(spec(address, tls(Some(name)))).await.result;
        assert_eq!(result, Ok(()), "{is_known}");
    }
}

/// With TLS 1.3 the server says only after the handshake that it wanted a certificate.
#[tokio::test]
async fn a_server_that_wants_a_certificate_of_the_client() {
    let own = certificate();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_client_cert_verifier(verifier.build().unwrap());
    let config = builder.with_single_cert(vec![own.cert.der().clone()], key(&own)).unwrap();
    let (address, _asked) = tls_server(config, "HTTP/1.1 200 OK\r\n\r\n").await;
    let result = run(spec(address, HealthCheck::Https(http("200")))).await.result;
    let alert = "certificate required".to_owned();
    assert_eq!(result, failed(Cause::TlsAlert { alert }));
}
