//! Checks by what a server says: over TCP, and in the body of an HTTP answer.

use anyhow::Result;
use elb_tests::{
    config::{Forwarding, HealthMonitor, MonitorKind},
    server::Server,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::watch::{Watch, lab};

fn talk(port: u16, send: &str, expect: &str) -> HealthMonitor {
    let monitor = HealthMonitor::patient(MonitorKind::Tcp).port(port).direct();
    monitor.with("send", send).with("expect", expect)
}

#[test]
fn what_comes_back_over_tcp_decides() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    lab.backends_up(Forwarding::Ipip)?;
    let monitors = [
        ("echo", talk(ECHO_PORT, "PING\r\n", "PING")),
        ("other", HealthMonitor { timeout: 2, ..talk(ECHO_PORT, "+ERR \"no\"\r\n", "+PONG") }),
        ("http", talk(HTTP_PORT, "GET /status/204 HTTP/1.0\r\n\r\n", " 204 ")),
        ("vip", HealthMonitor { probe_path: None, ..talk(ECHO_PORT, "PING\r\n", "PING") }),
        ("mute", HealthMonitor { timeout: 1, ..talk(HTTP_PORT, "G", "x") }),
    ];
    let watch = Watch::start_tcp(lab, &monitors)?;
    for name in ["echo", "http", "vip"] {
        watch.wait(name, "ONLINE")?;
    }
    let said = watch.wait_reason("other", "RESPONSE_MISMATCH")?;
    let detail = r#"the answer has no "+PONG": it begins with "backend-0 +ERR \"no\"\n""#;
    assert_eq!(said["reason"]["detail"], detail, "{said}");
    assert_eq!(said["reason"]["cause"]["kind"], "answer", "{said}");
    assert_eq!(said["reason"]["expected_response"], "+PONG", "{said}");
    let said = watch.wait_reason("mute", "RECV_RESPONSE_TIMEOUT")?;
    assert_eq!(said["reason"]["detail"], "timed out before the answer came", "{said}");
    let said = watch.agent.diagnose(&["pool:other"])?;
    let what = format!("port {ECHO_PORT} takes connections, but answers otherwise: the answer has");
    assert!(said.report().to_string().contains(&what), "{}", said.report());
    Ok(())
}

#[test]
fn what_a_body_says_decides() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    lab.backends_up(Forwarding::Ipip)?;
    let http = |text: &str| {
        HealthMonitor::patient(MonitorKind::Http).port(HTTP_PORT).with("expected_body", text)
    };
    let monitors = [
        ("vip", http("backend-0")),
        ("direct", http("backend-0").direct()),
        ("other", http("backend-9").direct()),
        ("status", http("backend-0").path("/status/503").direct()),
    ];
    let watch = Watch::start_tcp(lab, &monitors)?;
    watch.wait("vip", "ONLINE")?;
    watch.wait("direct", "ONLINE")?;
    let said = watch.wait_reason("other", "RESPONSE_MISMATCH")?;
    let detail = said["reason"]["detail"].as_str().unwrap_or_default();
    let begins = r#"status 200, but the body has no "backend-9": it begins with "backend-0"#;
    assert!(detail.starts_with(begins), "{said}");
    assert_eq!(said["reason"]["expected_response"], "backend-9", "{said}");
    let said = watch.wait_reason("status", "RESPONSE_MISMATCH")?;
    assert_eq!(said["reason"]["detail"], "status 503, expected 200", "{said}");
    let said = watch.agent.diagnose(&["pool:other"])?;
    assert!(
        said.report().to_string().contains("is answered otherwise: status 200"),
        "{}",
        said.report()
    );
    Ok(())
}
