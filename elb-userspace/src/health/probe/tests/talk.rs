//! Probes that say something over TCP, and what they hear.

use super::*;
use crate::model::monitor::TalkCheck;

fn talk(send: Option<&str>, expect: &str) -> HealthCheck {
    let text = |text: &str| text.parse().unwrap();
    HealthCheck::Talk(TalkCheck { send: send.map(text), expect: text(expect) })
}

fn answer(expected: &str, seen: &str) -> Result<(), Failure> {
    failed(Cause::Answer { expected: expected.to_owned(), seen: seen.to_owned() })
}

#[tokio::test]
async fn what_is_said_arrives_and_the_answer_decides() {
    let (address, read) = raw_server(b"+PONG\r\n").await;
    let ping = talk(Some("PING\r\n"), "PONG");
    assert_eq!(run(spec(address, ping.clone())).await.result, Ok(()));
    assert_eq!(read.await.unwrap(), b"PING\r\n");
    let (address, _) = raw_server(b"-LOADING the \"data\"\r\n").await;
    let result = run(spec(address, ping.clone())).await.result;
    assert_eq!(result, answer("PONG", r#"-LOADING the \"data\"\r\n"#));
    let failure = result.unwrap_err();
    assert_eq!(failure.code(), ReasonCode::ResponseMismatch);
    assert_eq!(
        failure.detail(),
        r#"the answer has no "PONG": it begins with "-LOADING the \"data\"\r\n""#
    );
    let (address, _) = raw_server(b"").await;
    let closed = failed(Cause::Closed { stage: Stage::Response });
    assert_eq!(run(spec(address, ping)).await.result, closed);
}

#[tokio::test]
async fn a_greeting_is_heard_and_the_connection_is_reset() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for part in [&b"22"[..], b"0 mail.example.com ESMTP\r\n"] {
            stream.write_all(part).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stream.read(&mut [0]).await.unwrap_err().kind()
    });
    assert_eq!(run(spec(address, talk(None, "220 "))).await.result, Ok(()));
    assert_eq!(server.await.unwrap(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn silence_and_talk_without_end_are_bounded() {
    let (_listener, address) = listener().await;
    let outcome = run(hasty(address, talk(Some("x"), "y"))).await;
    assert_eq!(outcome.result, failed(Cause::Timeout { stage: Stage::Response }));
    assert!(TIMEOUT <= outcome.duration);

    // What it wants comes too late: behind the part that is looked at.
    let answer_of = |text: Vec<u8>| -> &'static [u8] { text.leak() };
    let (address, _) = raw_server(answer_of([&[b'a'; 4095][..], b"yes"].concat())).await;
    let long = "a".repeat(50) + "…";
    assert_eq!(run(spec(address, talk(Some("x"), "yes"))).await.result, answer("yes", &long));
    let (address, _) = raw_server(answer_of([&[b'a'; 4093][..], b"yes"].concat())).await;
    assert_eq!(run(spec(address, talk(Some("x"), "yes"))).await.result, Ok(()));

    // A server that goes on to talk has until the timeout, and no longer.
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all(b"\xff").await.is_ok() {
            tokio::time::sleep(TIMEOUT / 4).await;
        }
    });
    let outcome = run(hasty(address, talk(None, "yes"))).await;
    let Err(Failure { cause: Cause::Answer { seen, .. } }) = outcome.result else { panic!() };
    assert!(seen.starts_with("\\xff"), "{seen}");
}
