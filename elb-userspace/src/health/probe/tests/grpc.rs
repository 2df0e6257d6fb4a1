//! Probes by gRPC.

use h2::server;
use hyper::body::Bytes;
use hyper::http::{HeaderMap, Response};

use super::*;
use crate::model::monitor::{GrpcCheck, UrlPath};

fn grpc(url_path: &str, expected_codes: &str) -> HealthCheck {
    HealthCheck::Grpc(GrpcCheck {
        http_method: HttpMethod::Post,
        url_path: url_path.parse().unwrap(),
        domain_name: None,
        expected_codes: expected_codes.parse().unwrap(),
        expected_body: (),
    })
}

/// What a server of gRPC answers.
#[derive(Clone)]
struct Answer {
    http_status: u16,
    /// In the head, and then nothing follows.
    head: Option<&'static str>,
    message: &'static [u8],
    trailer: Option<&'static str>,
}

const SERVING: Answer =
    Answer { http_status: 200, head: None, message: &[0, 0, 0, 0, 2, 8, 1], trailer: Some("0") };

/// Answers one call; what was asked: method, URI and message.
async fn grpc_server(answer: Answer) -> (SocketAddr, oneshot::Receiver<(String, Vec<u8>)>) {
    let (listener, address) = listener().await;
    let (send, receive) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = server::handshake(stream).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let asked = format!("{} {}", request.method(), request.uri());
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
        let mut body = request.into_body();
        let message = body.data().await.unwrap().unwrap();
        let _ = send.send((asked, message.to_vec()));

        let mut head = Response::builder().status(answer.http_status);
        if let Some(status) = answer.head {
            head = head.header("grpc-status", status);
        }
        let ends = answer.head.is_some();
        let mut stream = respond.send_response(head.body(()).unwrap(), ends).unwrap();
        if !ends {
            let last = answer.trailer.is_none();
            stream.send_data(Bytes::from_static(answer.message), last).unwrap();
            if let Some(status) = answer.trailer {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                stream.send_trailers(trailers).unwrap();
            }
        }
    });
    (address, receive)
}

async fn called(answer: Answer, url_path: &str, expected_codes: &str) -> Result<(), Failure> {
    let (address, _asked) = grpc_server(answer).await;
    run(spec(address, grpc(url_path, expected_codes))).await.result
}

/// A server that is busy, or shuts down: it speaks HTTP/2 and gives the call up.
#[tokio::test]
async fn a_call_that_is_refused_is_an_answer_that_broke_off() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = server::handshake(stream).await.unwrap();
        let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        while connection.accept().await.is_some() {}
    });
    let failure = run(spec(address, grpc(UrlPath::GRPC_HEALTH, "0"))).await.result.unwrap_err();
    assert_eq!(failure.code(), ReasonCode::RecvResponseFailed, "{failure}");
    assert!(failure.to_string().contains("refused stream"), "{failure}");
}

#[tokio::test]
async fn the_health_service_is_asked_as_it_wants_to_be() {
    let (address, asked) = grpc_server(SERVING).await;
    assert_eq!(run(spec(address, grpc(UrlPath::GRPC_HEALTH, "0"))).await.result, Ok(()));
    let (asked, message) = asked.await.unwrap();
    let port = address.port();
    assert_eq!(asked, format!("POST http://192.0.2.10:{port}/grpc.health.v1.Health/Check"));
    assert_eq!(message, [0; 5]);

    let (address, asked) = grpc_server(SERVING).await;
    let HealthCheck::Grpc(check) = grpc("/shop.Cart/Ping", "0") else { unreachable!() };
    let check = GrpcCheck {
        domain_name: Some("shop.example.com".parse().unwrap()),
        http_method: HttpMethod::Get,
        ..check
    };
    assert_eq!(run(spec(address, HealthCheck::Grpc(check))).await.result, Ok(()));
    let port = address.port();
    assert_eq!(
        asked.await.unwrap().0,
        format!("GET http://shop.example.com:{port}/shop.Cart/Ping")
    );
}

#[tokio::test]
async fn the_status_decides_wherever_it_is() {
    let health = UrlPath::GRPC_HEALTH;
    let mismatch =
        |expected: &str, seen| failed(Cause::GrpcStatus { expected: expected.into(), seen });
    let in_head = |status| Answer { head: Some(status), ..SERVING };
    let in_trailer = |status| Answer { trailer: Some(status), ..SERVING };
    assert_eq!(called(in_head("12"), health, "12").await, Ok(()));
    assert_eq!(called(in_head("12"), health, "0").await, mismatch("0", 12));
    assert_eq!(called(in_trailer("12"), "/a.B/C", "0-3,12").await, Ok(()));
    assert_eq!(called(in_trailer("14"), "/a.B/C", "0-3,12").await, mismatch("0-3,12", 14));
    assert_eq!(called(in_trailer("99"), "/a.B/C", "99").await, Ok(()));
    assert_eq!(called(in_trailer("70000"), "/a.B/C", "0").await, mismatch("0", 70_000));
}

#[tokio::test]
async fn a_health_service_that_does_not_serve_is_not_healthy() {
    let health = UrlPath::GRPC_HEALTH;
    let not_serving = Answer { message: &[0, 0, 0, 0, 2, 8, 2], ..SERVING };
    let failure = called(not_serving.clone(), health, "0").await;
    assert_eq!(failure, failed(Cause::NotServing { seen: 2 }));
    // Of any other service, only the status counts.
    assert_eq!(called(not_serving, "/a.B/C", "0").await, Ok(()));
    let garbage = Answer { message: &[0, 0, 0, 0, 1, 0xff], ..SERVING };
    let failure = called(garbage, health, "0").await.unwrap_err();
    assert_eq!(failure.code(), ReasonCode::ResponseFormatError);
}

#[tokio::test]
async fn what_is_not_grpc() {
    let check = grpc(UrlPath::GRPC_HEALTH, "0");
    let web = Answer { http_status: 404, message: b"not found", trailer: None, ..SERVING };
    assert_eq!(called(web, "/", "0").await, failed(Cause::NoGrpcStatus { status: 404 }));
    let odd = Answer { trailer: Some("fine"), ..SERVING };
    assert_eq!(called(odd, "/", "0").await, failed(Cause::NoGrpcStatus { status: 200 }));

    let (address, _asked) = raw_server(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let failure = run(spec(address, check.clone())).await.result.unwrap_err();
    assert_eq!(failure.code(), ReasonCode::ResponseFormatError, "{failure}");

    let (address, _asked) = raw_server(b"").await;
    let failure = run(spec(address, check.clone())).await.result.unwrap_err();
    assert_eq!(failure.code(), ReasonCode::RecvResponseFailed, "{failure}");

    let (_listener, address) = listener().await;
    let outcome = run(hasty(address, check.clone())).await;
    assert_eq!(outcome.result, failed(Cause::Timeout { stage: Stage::Response }));
    assert!(TIMEOUT <= outcome.duration);

    let (_socket, address) = refusing();
    let outcome = run(spec(address, check)).await;
    assert_eq!(outcome.result, failed(Cause::Refused { by: address.ip() }));
}

#[tokio::test]
async fn an_endless_message_ends_at_its_bound() {
    static ENDLESS: [u8; 40 << 10] = [7; 40 << 10];
    let failure = called(Answer { message: &ENDLESS, ..SERVING }, "/a.B/C", "0").await;
    assert_eq!(failure.unwrap_err().code(), ReasonCode::ResponseFormatError);
}

/// Frames that a hostile server sends for ever, after its settings.
#[tokio::test]
async fn endless_frames_end_at_their_bound() {
    let of = |kind, stream, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, if kind == 1 { 4 } else { 0 }, 0, 0, 0, stream][..], payload]
            .concat()
    };
    let frames = [
        ("1xx", of(1, 1, b"\x08\x03100")),
        ("WINDOW_UPDATE", of(8, 0, &[0, 0, 0, 1])),
        ("PRIORITY", of(2, 3, &[0, 0, 0, 0, 9])),
        ("PING", of(6, 0, &[0; 8])),
        ("SETTINGS", of(4, 0, &[])),
        ("unknown", of(99, 0, &[7; 30])),
        ("empty DATA", of(0, 1, &[])),
    ];
    for (name, frame) in frames {
        let (listener, address) = listener().await;
        let probe = tokio::spawn(run(spec(address, grpc(UrlPath::GRPC_HEALTH, "0"))));
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&of(4, 0, &[])).await.unwrap();
        let mut asked = [0; 4096];
        assert!(stream.read(&mut asked).await.unwrap() > 0);
        while stream.write_all(&frame.repeat(100)).await.is_ok() {}
        let outcome = probe.await.unwrap();
        assert!(outcome.duration < LONG / 2, "{name}: {:?}", outcome.duration);
        let failure = outcome.result.unwrap_err();
        let codes = [ReasonCode::ResponseFormatError, ReasonCode::RecvResponseFailed];
        assert!(codes.contains(&failure.code()), "{name}: {failure}");
    }
}
