//! Reads the health monitor of a pool.

use std::fmt::Display;
use std::num::NonZeroU16;
use std::str::FromStr;

use super::port::{Port, port};
use super::table::{Place, Table};
use crate::model::monitor::{
    CheckType, GrpcCheck, HealthCheck, HttpCheck, HttpMethod, ProbePath, RequestCheck, TlsCheck,
    UrlPath,
};
use crate::model::value::{Invalid, ValueRule};
use crate::model::{HealthMonitor, ResourceId};

/// The valid parts of the monitor, and where it is.
pub(super) fn monitor(t: &mut Table<'_>, pool: ResourceId) -> Option<(HealthMonitor, Place)> {
    let object = format!("{}, healthmonitor", t.object());
    let mut table = t.table("healthmonitor", object)?;
    table.require("type", "set it to TCP, HTTP, HTTPS, TLS or GRPC, in a UDP pool to UDP_CONNECT");
    let check_type = table.parsed("type");
    let check = check(&mut table, check_type);
    let (seconds, retries) = (" seconds", " results in a row");
    let three = HealthMonitor::DEFAULT_RETRIES;
    let monitor = HealthMonitor {
        id: table.parsed("id").unwrap_or_else(|| ResourceId::of_health_monitor(pool)),
        admin_state_up: table.flag_or("admin_state_up", true),
        check,
        delay: table.number_or("delay", seconds, HealthMonitor::DEFAULT_DELAY),
        timeout: table.number_or("timeout", seconds, HealthMonitor::DEFAULT_TIMEOUT),
        max_retries: table.number_or("max_retries", retries, three),
        max_retries_down: table.number_or("max_retries_down", retries, three),
        monitor_port: port(table.number::<Port>("monitor_port", "")).and_then(NonZeroU16::new),
        probe_path: table.parsed_or("probe_path", ProbePath::Vip),
    };
    let (sound, place) = table.finish();
    if !sound {
        t.mark_invalid();
    }
    Some((monitor, place))
}

/// What only some types have: the keys of a request, and those of them that name the server.
const REQUEST: [&str; 3] = ["http_method", "url_path", "expected_codes"];
const SERVER: [&str; 1] = ["domain_name"];

fn check(t: &mut Table<'_>, check_type: Option<CheckType>) -> HealthCheck {
    match check_type {
        Some(CheckType::Http) => HealthCheck::Http(http(t)),
        Some(CheckType::Https) => HealthCheck::Https(http(t)),
        Some(CheckType::Grpc) => HealthCheck::Grpc(grpc(t)),
        Some(CheckType::Tls) => {
            refuse(t, &REQUEST, "HTTP, HTTPS and GRPC");
            HealthCheck::Tls(TlsCheck { domain_name: t.parsed("domain_name") })
        }
        Some(CheckType::Tcp) => {
            refuse_all(t);
            HealthCheck::Tcp
        }
        Some(CheckType::UdpConnect) => {
            refuse_all(t);
            HealthCheck::UdpConnect
        }
        // An error by itself: what the other keys mean is not known.
        None => {
            REQUEST.into_iter().chain(SERVER).for_each(|key| t.known(key));
            HealthCheck::Tcp
        }
    }
}

fn http(t: &mut Table<'_>) -> HttpCheck {
    request(t, HttpMethod::Get, UrlPath::default())
}

/// Calls of gRPC are requests of the method POST; some servers answer to GET too.
fn grpc(t: &mut Table<'_>) -> GrpcCheck {
    let check: GrpcCheck = request(t, HttpMethod::Post, UrlPath::grpc_health());
    if check.http_method == HttpMethod::Head {
        t.wrong(
            "http_method",
            "http_method HEAD is not for type GRPC",
            "use POST, or leave it out",
        );
    }
    check
}

fn request<C>(t: &mut Table<'_>, method: HttpMethod, path: UrlPath) -> RequestCheck<C>
where
    C: FromStr<Err = Invalid> + ValueRule + Default + Display,
{
    RequestCheck {
        http_method: t.parsed_or("http_method", method),
        url_path: t.parsed_or("url_path", path),
        domain_name: t.parsed("domain_name"),
        expected_codes: t.parsed_or("expected_codes", C::default()),
    }
}

fn refuse_all(t: &mut Table<'_>) {
    refuse(t, &REQUEST, "HTTP, HTTPS and GRPC");
    refuse(t, &SERVER, "HTTP, HTTPS, TLS and GRPC");
}

fn refuse(t: &mut Table<'_>, keys: &[&'static str], types: &str) {
    for key in keys {
        t.known(key);
        if t.has(key) {
            let fix = "remove it, or set type to one of these";
            t.wrong(key, format!("{key} is for the types {types}"), fix);
        }
    }
}
