//! Checks by gRPC.

use anyhow::Result;
use elb_tests::{
    config::{HealthMonitor, MonitorKind},
    server::Server,
    wire::Service,
};

use crate::watch::{Watch, lab};

const SERVING: u16 = 50051;
const NOT_SERVING: u16 = 50052;
const WEB: u16 = 80;

#[test]
fn a21_the_grpc_status_decides() -> Result<()> {
    let lab = lab(1)?;
    let offers =
        [(Service::Grpc, SERVING), (Service::GrpcNotServing, NOT_SERVING), (Service::Http, WEB)];
    let _server = Server::start_with(lab.backend(0), "backend-0", &offers, None)?;
    let grpc = |port| HealthMonitor::patient(MonitorKind::Grpc).port(port).direct();
    let monitors = [
        ("health", grpc(SERVING)),
        ("expected-12", grpc(SERVING).path("/status/12").codes("12")),
        ("expected-0", grpc(SERVING).path("/status/12").codes("0")),
        ("unknown", grpc(SERVING).path("/shop.Cart/Ping")),
        ("not-serving", grpc(NOT_SERVING)),
        ("web", grpc(WEB)),
    ];
    let watch = Watch::start_tcp(lab, &monitors)?;
    watch.wait("health", "ONLINE")?;
    watch.wait("expected-12", "ONLINE")?;
    for name in ["expected-0", "unknown"] {
        let said = watch.wait_reason(name, "RESPONSE_MISMATCH")?;
        assert_eq!(said["reason"]["healthcheck_response"], "12", "{said}");
        assert_eq!(said["reason"]["expected_response"], "0", "{said}");
    }
    let said = watch.wait_reason("not-serving", "RESPONSE_MISMATCH")?;
    assert_eq!(said["reason"]["detail"], "the health service says NOT_SERVING", "{said}");
    // A server of HTTP/1.1 answers that, or just closes.
    let said = watch.wait("web", "OFFLINE")?;
    let code = &said["reason"]["reason_code"];
    assert!(code == "RESPONSE_FORMAT_ERROR" || code == "RECV_RESPONSE_FAILED", "{said}");
    Ok(())
}
