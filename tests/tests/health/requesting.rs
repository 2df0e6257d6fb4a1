//! Checks by HTTP: which answers count, and what is asked.

use anyhow::Result;
use elb_tests::{
    config::{HealthMonitor, MonitorKind},
    server::Server,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::watch::{LIMIT, Watch, lab};

fn http(path: &str) -> HealthMonitor {
    HealthMonitor::patient(MonitorKind::Http).port(HTTP_PORT).path(path).direct()
}

#[test]
fn a08_only_the_expected_code_is_health() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    let bad = ["302", "404", "500"];
    let mut monitors = vec![("200", http("/status/200"))];
    let paths = bad.map(|code| (code, http(&format!("/status/{code}"))));
    monitors.extend(paths);
    let watch = Watch::start_tcp(lab, &monitors)?;
    watch.wait("200", "ONLINE")?;
    for code in bad {
        let said = watch.wait_reason(code, "RESPONSE_MISMATCH")?;
        assert_eq!(said["reason"]["healthcheck_response"], code, "{said}");
        assert_eq!(said["reason"]["expected_response"], "200", "{said}");
    }
    Ok(())
}

#[test]
fn a09_lists_and_ranges_of_codes() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    let of = |code: &str| http(&format!("/status/{code}")).codes("200-204,301");
    let watch = Watch::start_tcp(lab, &["204", "301", "205"].map(|code| (code, of(code))))?;
    watch.wait("204", "ONLINE")?;
    watch.wait("301", "ONLINE")?;
    let said = watch.wait_reason("205", "RESPONSE_MISMATCH")?;
    assert_eq!(said["reason"]["detail"], "status 205, expected 200-204,301");
    Ok(())
}

#[test]
fn a10_the_host_is_the_domain_name_or_the_vip() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    let vip = format!("/host/{}", lab.vip4());
    let monitors = [
        ("named", http("/host/shop.example.com").host("shop.example.com")),
        ("vip", http(&vip)),
        ("other", http("/host/other.example.com").host("shop.example.com")),
    ];
    let watch = Watch::start_tcp(lab, &monitors)?;
    watch.wait("named", "ONLINE")?;
    watch.wait("vip", "ONLINE")?;
    let said = watch.wait_reason("other", "RESPONSE_MISMATCH")?;
    assert_eq!(said["reason"]["healthcheck_response"], "421", "{said}");
    Ok(())
}

#[test]
fn a11_the_path_is_asked_for_as_it_is_written() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    // The server knows the path without the slash at the end only.
    let monitors = [
        ("exact", http("/status/204").codes("204")),
        ("slash", http("/status/204/").codes("404")),
        ("query", http("/status/204?a&c").codes("204")),
    ];
    let watch = Watch::start_tcp(lab, &monitors)?;
    for (name, _) in monitors {
        watch.wait(name, "ONLINE")?;
    }
    Ok(())
}

#[test]
fn a11_a_path_that_is_none_is_refused_and_nothing_changes() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    let mut watch = Watch::start_tcp(lab, &[("web", http("/status/200"))])?;
    watch.wait("web", "ONLINE")?;
    let long = format!("/{}", "a".repeat(80));
    for (path, rule) in [("status/200", "is not a path"), (&long, "has 81 characters")] {
        watch.config.pool_mut("web").healthmonitor = Some(http(path));
        watch.reload()?;
        let is_shown = |said: &Value| said["agent"]["problems"].to_string().contains(rule);
        let said = watch.agent.wait_status("the problem to be reported", LIMIT, is_shown)?;
        assert!(said["agent"]["problems"].to_string().contains("url_path"), "{said}");
        assert_eq!(watch.member("web")?["operating_status"], "ONLINE");
    }
    Ok(())
}

#[test]
fn a12_a_server_that_never_answers() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    let watch =
        Watch::start_tcp(lab, &[("silent", HealthMonitor { timeout: 1, ..http("/silence") })])?;
    let said = watch.wait_reason("silent", "RECV_RESPONSE_TIMEOUT")?;
    assert_eq!(said["reason"]["detail"], "timed out before the answer came", "{said}");
    Ok(())
}
