//! Reads the health monitor of a pool.

use std::fmt::Display;
use std::num::NonZeroU16;
use std::str::FromStr;

use super::place::Place;
use super::port::{Port, port};
use super::table::Table;
use crate::model::command::{CheckUser, CommandCheck};
use crate::model::monitor::{
    CheckType, GrpcCheck, HealthCheck, HttpCheck, HttpMethod, ProbePath, RequestCheck, TalkCheck,
    TlsCheck, UrlPath,
};
use crate::model::value::{Invalid, ValueRule};
use crate::model::{HealthMonitor, ResourceId};

/// The valid parts of the monitor, and where it is.
pub(super) fn monitor(t: &mut Table<'_>, pool: ResourceId) -> Option<(HealthMonitor, Place)> {
    let object = format!("{}, healthmonitor", t.object());
    let mut table = t.table("healthmonitor", object)?;
    table.require(
        "type",
        "set it to TCP, HTTP, HTTPS, TLS, GRPC or COMMAND, in a UDP pool to UDP_CONNECT or COMMAND",
    );
    let check_type = table.parsed("type");
    let check = check(&mut table, check_type);
    let probe_path = probe_path(&mut table, check_type);
    let retries = " results in a row";
    let three = HealthMonitor::DEFAULT_RETRIES;
    let monitor = HealthMonitor {
        id: table.parsed("id").unwrap_or_else(|| ResourceId::of_health_monitor(pool)),
        admin_state_up: table.flag_or("admin_state_up", true),
        check,
        delay: table.seconds_or("delay", HealthMonitor::DEFAULT_DELAY),
        timeout: table.seconds_or("timeout", HealthMonitor::DEFAULT_TIMEOUT),
        max_retries: table.number_or("max_retries", retries, three),
        max_retries_down: table.number_or("max_retries_down", retries, three),
        monitor_port: port(table.number::<Port>("monitor_port", "")).and_then(NonZeroU16::new),
        probe_path,
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
/// What is said over TCP, and heard.
const TALK: [&str; 2] = ["send", "expect"];
/// What an HTTP answer has in its body.
const BODY: [&str; 1] = ["expected_body"];
/// What is run.
const COMMAND: [&str; 1] = ["command"];

fn check(t: &mut Table<'_>, check_type: Option<CheckType>) -> HealthCheck {
    if check_type.is_some_and(|check_type| check_type != CheckType::Tcp) {
        refuse(t, &TALK, "TCP");
    }
    if check_type.is_some_and(|one| ![CheckType::Http, CheckType::Https].contains(&one)) {
        refuse(t, &BODY, "HTTP and HTTPS");
    }
    if check_type.is_some_and(|check_type| check_type != CheckType::Command) {
        refuse(t, &COMMAND, "COMMAND");
    }
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
            tcp(t)
        }
        Some(CheckType::UdpConnect) => {
            refuse_all(t);
            HealthCheck::UdpConnect
        }
        Some(CheckType::Command) => {
            refuse_all(t);
            HealthCheck::Command(command(t))
        }
        // An error by itself: what the other keys mean is not known.
        None => {
            let all = REQUEST.into_iter().chain(SERVER).chain(TALK).chain(BODY).chain(COMMAND);
            all.for_each(|key| t.known(key));
            HealthCheck::Tcp
        }
    }
}

/// A command looks where it wants to.
fn probe_path(t: &mut Table<'_>, check_type: Option<CheckType>) -> ProbePath {
    let wanted = t.parsed_or("probe_path", ProbePath::Vip);
    if check_type != Some(CheckType::Command) {
        return wanted;
    }
    if t.has("probe_path") {
        let what = "probe_path is not for the type COMMAND";
        t.wrong("probe_path", what, "remove it: the command gets the member's own address");
    }
    ProbePath::Direct
}

/// Its user is set once `[agent]` is read.
fn command(t: &mut Table<'_>) -> CommandCheck {
    t.require(
        "command",
        "set it to the path of a command and its arguments, as in [\"/usr/lib/elb/check\"]",
    );
    let words = t.texts("command", &CommandCheck::rule());
    if let Some(what) = words.as_ref().and_then(|words| CommandCheck::wrong(words)) {
        t.wrong("command", what, format!("use {}", CommandCheck::rule()));
    }
    let command = words.unwrap_or_default().into_iter().map(str::to_owned).collect();
    CommandCheck { command, user: CheckUser::default() }
}

/// Words without an answer would say nothing of the member.
fn tcp(t: &mut Table<'_>) -> HealthCheck {
    let (send, expect) = (t.parsed("send"), t.parsed("expect"));
    if t.has("send") && !t.has("expect") {
        t.wrong("send", "send has no expect", "set expect to what the server answers");
    }
    match expect {
        Some(expect) => HealthCheck::Talk(TalkCheck { send, expect }),
        None => HealthCheck::Tcp,
    }
}

fn http(t: &mut Table<'_>) -> HttpCheck {
    let expected_body = t.parsed("expected_body");
    let check: HttpCheck = request(t, HttpMethod::Get, UrlPath::default(), expected_body);
    if check.http_method == HttpMethod::Head && check.expected_body.is_some() {
        let what = "expected_body is not for http_method HEAD, which is answered without a body";
        t.wrong("expected_body", what, "use GET or POST");
    }
    check
}

/// Calls of gRPC are requests of the method POST; some servers answer to GET too.
fn grpc(t: &mut Table<'_>) -> GrpcCheck {
    let check: GrpcCheck = request(t, HttpMethod::Post, UrlPath::grpc_health(), ());
    if check.http_method == HttpMethod::Head {
        t.wrong(
            "http_method",
            "http_method HEAD is not for type GRPC",
            "use POST, or leave it out",
        );
    }
    check
}

fn request<C, B>(
    t: &mut Table<'_>,
    method: HttpMethod,
    path: UrlPath,
    expected_body: B,
) -> RequestCheck<C, B>
where
    C: FromStr<Err = Invalid> + ValueRule + Default + Display,
{
    RequestCheck {
        http_method: t.parsed_or("http_method", method),
        url_path: t.parsed_or("url_path", path),
        domain_name: t.parsed("domain_name"),
        expected_codes: t.parsed_or("expected_codes", C::default()),
        expected_body,
    }
}

fn refuse_all(t: &mut Table<'_>) {
    refuse(t, &REQUEST, "HTTP, HTTPS and GRPC");
    refuse(t, &SERVER, "HTTP, HTTPS, TLS and GRPC");
}

fn refuse(t: &mut Table<'_>, keys: &[&'static str], types: &str) {
    let (types, fix) = if types.contains(' ') {
        (format!("types {types}"), "remove it, or set type to one of these")
    } else {
        (format!("type {types}"), "remove it, or set type to that")
    };
    for key in keys {
        t.known(key);
        if t.has(key) {
            t.wrong(key, format!("{key} is for the {types}"), fix);
        }
    }
}
