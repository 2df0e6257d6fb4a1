//! What members answer to probes: HTTP, TLS, gRPC. Real probes over loopback, of a server that says what the
//! input says and closes. The first byte of an input chooses the check.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use elb_userspace::health::probe::{self, ProbeSpec};
use elb_userspace::model::monitor::{
    GrpcCheck, HealthCheck, HttpCheck, HttpMethod, TalkCheck, TlsCheck, UrlPath,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::campaign;

/// A probe ends by then, with as much again for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(30);

#[test]
fn probes() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    campaign::run("probes", Vec::new(), |input| {
        let Some((kind, answer)) = input.split_first() else { return };
        local.block_on(&runtime, probed(*kind, answer));
    });
}

async fn probed(kind: u8, answer: &[u8]) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = listener.local_addr().unwrap();
    let server = tokio::task::spawn_local(serve(listener, answer.into()));
    let check = check(kind);
    let outcome = timeout(LATE, probe::run(spec(target, check.clone()), Vec::new())).await;
    server.abort();
    let outcome = outcome.expect("a probe ends in time");
    match (&outcome.result, check) {
        // A server need not have a suite in common with a probe, but must speak TLS.
        (Ok(()), HealthCheck::Tls(_) | HealthCheck::Https(_)) => {
            const ALERT_OR_HANDSHAKE: [u8; 2] = [21, 22];
            assert!(answer.first().is_some_and(|kind| ALERT_OR_HANDSHAKE.contains(kind)));
        }
        // In any case and behind empty lines, as browsers read it.
        (Ok(()), HealthCheck::Http(_)) => {
            let name = answer.trim_ascii_start().first_chunk();
            assert!(name.is_some_and(|name: &[u8; 7]| name.eq_ignore_ascii_case(b"HTTP/1.")));
            assert!(has(answer, b"200"));
        }
        (Ok(()), HealthCheck::Talk(_)) => assert!(has(answer, b"ok")),
        (Ok(()), _) => {}
        (Err(failure), _) => {
            let said = format!("{failure} {:?}", failure.responses());
            assert!(said.len() < 500 && !said.chars().any(char::is_control), "{said:?}");
            let saved = serde_json::to_string(failure).unwrap();
            assert_eq!(serde_json::from_str(&saved).ok().as_ref(), Some(failure), "{saved}");
        }
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Answers each connection, as soon as anything was asked.
async fn serve(listener: TcpListener, answer: Rc<[u8]>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(say(stream, answer.clone()));
    }
}

async fn say(mut stream: TcpStream, answer: Rc<[u8]>) -> std::io::Result<()> {
    let mut asked = [0; 4096];
    if stream.read(&mut asked).await? == 0 {
        return Ok(());
    }
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // A close with bytes unread would be a reset, which takes the answer with it.
    while stream.read(&mut asked).await? > 0 {}
    Ok(())
}

fn check(kind: u8) -> HealthCheck {
    let http = HttpCheck {
        http_method: HttpMethod::Get,
        url_path: "/healthz".parse().unwrap(),
        domain_name: None,
        expected_codes: "200".parse().unwrap(),
        expected_body: None,
    };
    match kind {
        b'h' => HealthCheck::Http(http),
        b'b' => HealthCheck::Http(HttpCheck { expected_body: "ok".parse().ok(), ..http }),
        b'w' => {
            HealthCheck::Talk(TalkCheck { send: "?".parse().ok(), expect: "ok".parse().unwrap() })
        }
        b's' => HealthCheck::Https(http),
        b't' => HealthCheck::Tls(TlsCheck { domain_name: None }),
        _ => HealthCheck::Grpc(GrpcCheck {
            http_method: HttpMethod::Post,
            url_path: UrlPath::grpc_health(),
            domain_name: None,
            expected_codes: "0".parse().unwrap(),
            expected_body: (),
        }),
    }
}

fn spec(target: SocketAddr, check: HealthCheck) -> ProbeSpec {
    ProbeSpec {
        target,
        source: None,
        vips: Vec::new(),
        routing: None,
        timeout: TIMEOUT,
        check,
        default_host: IpAddr::from([192, 0, 2, 10]),
        names: None,
    }
}
