//! Probes of HTTP.

use super::*;

async fn answered(answer: &'static str, expected_codes: &str) -> Result<(), Failure> {
    let (address, _request) = server(answer).await;
    run(spec(address, HealthCheck::Http(http(expected_codes)))).await.result
}

#[tokio::test]
async fn http_answers() {
    let mismatch = |expected: &str, seen| failed(Cause::Status { expected: expected.into(), seen });
    let bad_http = |error: &str| failed(Cause::BadHttp { error: error.into() });
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200", Ok(())),
        ("HTTP/1.1 204 No Content\r\n\r\n", "200-204", Ok(())),
        ("HTTP/1.1 204 No Content\r\n\r\n", "200,202", mismatch("200,202", 204)),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "200", mismatch("200", 302)),
        ("HTTP/1.0 200 OK\r\n\r\n", "200", Ok(())),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "200", Ok(())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "200", Ok(())),
        ("HTTP/1.1 200 OK\r\nX-A : b\r\n folded\r\n\r\n", "200", Ok(())),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: x\r\n\r\n", "200", Ok(())),
        ("HTTP/1.1 200\nServer: \u{e9}\n\nok", "200", Ok(())),
        ("HTTP/1.1 200 OK\r\nbroken", "200", Ok(())),
        ("SSH-2.0-OpenSSH_9.2\r\n", "200", bad_http("it begins with \"SSH-2.0-OpenSSH_9.2\"")),
        ("HTTP/1.1 banana\r\n\r\n", "200", bad_http("it begins with \"HTTP/1.1 banana\"")),
        ("", "200", failed(Cause::Closed { stage: Stage::Response })),
    ];
    for (answer, expected_codes, result) in cases {
        assert_eq!(answered(answer, expected_codes).await, result, "{answer:?}");
    }
}

#[tokio::test]
async fn http_servers_that_do_not_answer() {
    let (listener, address) = listener().await;
    let outcome = run(hasty(address, HealthCheck::Http(http("200")))).await;
    assert_eq!(outcome.result, failed(Cause::Timeout { stage: Stage::Response }));
    assert!(TIMEOUT <= outcome.duration);

    drop(listener.accept().await.unwrap());
    let probe = tokio::spawn(run(spec(address, HealthCheck::Http(http("200")))));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(probe.await.unwrap().result, failed(Cause::Reset { stage: Stage::Response }));
}

#[tokio::test]
async fn a_huge_head_does_not_matter() {
    let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "Set-Cookie: 123456789\r\n".repeat(10_000));
    assert_eq!(answered(head.leak(), "200").await, Ok(()));
}

/// What a server sends for ever, and what a probe of it says.
async fn endless(first: &[u8], again: &[u8]) -> Result<(), Failure> {
    let (listener, address) = listener().await;
    let probe = tokio::spawn(run(spec(address, HealthCheck::Http(http("200")))));
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(first).await.unwrap();
    while stream.write_all(&again.repeat(100)).await.is_ok() {}
    probe.await.unwrap().result
}

#[tokio::test]
async fn what_has_no_end_ends_at_its_bound() {
    assert_eq!(endless(b"HTTP/1.1 200 OK\r\nX: ", b"x").await, Ok(()));
    assert_eq!(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x").await, Ok(()));
    let interim = endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap_err();
    assert_eq!(interim.code(), ReasonCode::ResponseFormatError);
    assert!(interim.to_string().contains("interim answers"), "{interim}");
    let line = endless(b"HTTP/1.1 ", b" ").await.unwrap_err();
    assert_eq!(line.code(), ReasonCode::ResponseFormatError);
}

/// A server that writes a body of so many bytes, and whether it was disturbed.
async fn body(length: usize) -> std::io::Result<usize> {
    let (listener, address) = listener().await;
    let probe = tokio::spawn(run(spec(address, HealthCheck::Http(http("200")))));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&vec![b'x'; length]).await?;
    stream.shutdown().await?;
    let end = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(probe.await.unwrap().result, Ok(()));
    end
}

#[tokio::test]
async fn a_body_is_read_and_the_connection_ends_in_order() {
    for length in [0, 7, 200_000, 900_000] {
        assert_eq!(body(length).await.unwrap(), 0, "{length}");
    }
}

#[tokio::test]
async fn http_requests_say_what_is_configured() {
    let (address, request) = server("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(run(spec(address, HealthCheck::Http(http("200")))).await.result, Ok(()));
    assert_eq!(
        request.await.unwrap(),
        format!(
            "GET /healthz HTTP/1.1\r\nHost: 192.0.2.10:{}\r\nUser-Agent: elb-health-check\r\n\
             Accept: */*\r\nConnection: close\r\n\r\n",
            address.port()
        ),
    );
    for method in [HttpMethod::Head, HttpMethod::Post] {
        let (address, request) = server("HTTP/1.1 200 OK\r\n\r\n").await;
        let is_post = method == HttpMethod::Post;
        let check = HttpCheck {
            http_method: method,
            url_path: "/a-/.?#%&_;~!()*[]@$^:',+".parse().unwrap(),
            domain_name: Some("my_web:8080".parse().unwrap()),
            ..http("200")
        };
        assert_eq!(run(spec(address, HealthCheck::Http(check))).await.result, Ok(()));
        let request = request.await.unwrap();
        assert!(request.starts_with(&format!("{method} /a-/.? HTTP/1.1\r\n")), "{request}");
        assert!(request.contains("\r\nHost: my_web:8080\r\n"), "{request}");
        assert_eq!(request.contains("\r\nContent-Length: 0\r\n"), is_post, "{request}");
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
