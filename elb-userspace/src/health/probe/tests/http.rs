//! Probes of HTTP.

use super::*;

async fn answered(answer: &'static str, expected_codes: &str) -> Result<(), Failure> {
    let (address, _request) = server(answer).await;
    run(spec(address, Check::Http(http(expected_codes)))).await.result
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
        ("SSH-2.0-OpenSSH_9.2\r\n", "200", bad_http("invalid HTTP version parsed")),
        ("HTTP/1.1 banana\r\n\r\n", "200", bad_http("invalid HTTP status-code parsed")),
        ("HTTP/1.1 200 OK\r\nbroken", "200", failed(Cause::Closed { stage: Stage::Response })),
        ("", "200", failed(Cause::Closed { stage: Stage::Response })),
    ];
    for (answer, expected_codes, result) in cases {
        assert_eq!(answered(answer, expected_codes).await, result, "{answer:?}");
    }
}

#[tokio::test]
async fn http_servers_that_do_not_answer() {
    let (listener, address) = listener().await;
    let outcome = run(hasty(address, Check::Http(http("200")))).await;
    assert_eq!(outcome.result, failed(Cause::Timeout { stage: Stage::Response }));
    assert!(TIMEOUT <= outcome.duration);

    drop(listener.accept().await.unwrap());
    let probe = tokio::spawn(run(spec(address, Check::Http(http("200")))));
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(probe.await.unwrap().result, failed(Cause::Reset { stage: Stage::Response }));
}

#[tokio::test]
async fn an_endless_head_ends_at_its_bound() {
    let (listener, address) = listener().await;
    let probe = tokio::spawn(run(spec(address, Check::Http(http("200")))));
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
    while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
    let code = probe.await.unwrap().result.unwrap_err().code();
    assert_eq!(code, ReasonCode::ResponseFormatError);
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
