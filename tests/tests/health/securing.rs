//! Checks with TLS.

use anyhow::Result;
use elb_tests::{
    config::{HealthMonitor, MonitorKind},
    server::Server,
    wire::Service,
};

use crate::watch::{Watch, lab};

const PLAIN: u16 = 80;
const SECURE: u16 = 443;
const SILENT: u16 = 9;

#[test]
fn a13_https_to_a_plain_port_is_a_handshake_error() -> Result<()> {
    let lab = lab(1)?;
    let offers = [(Service::Http, PLAIN), (Service::Https, SECURE), (Service::Silent, SILENT)];
    let _server = Server::start_with(lab.backend(0), "backend-0", &offers, None)?;
    let https = |port| HealthMonitor::patient(MonitorKind::Https).port(port).direct();
    let tls = |port| HealthMonitor::patient(MonitorKind::Tls).port(port).direct();
    let monitors = [
        ("self-signed", https(SECURE)),
        ("named", https(SECURE).host("other.example").path("/host/other.example")),
        ("busy", https(SECURE).path("/status/503")),
        ("plain", https(PLAIN)),
        ("silent", HealthMonitor { timeout: 1, ..https(SILENT) }),
        ("tls", tls(SECURE)),
        ("tls-plain", tls(PLAIN)),
    ];
    let watch = Watch::start_tcp(lab, &monitors)?;
    for name in ["self-signed", "named", "tls"] {
        watch.wait(name, "ONLINE")?;
    }
    for name in ["plain", "tls-plain"] {
        let said = watch.wait_reason(name, "SSL_HANDSHAKE_ERROR")?;
        assert_eq!(said["reason"]["detail"], "the answer is not TLS", "{said}");
    }
    let said = watch.wait_reason("silent", "SSL_HANDSHAKE_ERROR")?;
    assert_eq!(said["reason"]["cause"]["kind"], "timeout", "{said}");
    let said = watch.wait_reason("busy", "RESPONSE_MISMATCH")?;
    assert_eq!(said["reason"]["healthcheck_response"], "503", "{said}");
    Ok(())
}
