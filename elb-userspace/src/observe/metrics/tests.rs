//! What a scrape says, in both formats.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use elb_common::counter::{Answers, Counter, ListenerEvents};
use elb_common::reason::{REASONS, Reason};

use super::encode::encoded;
use super::family::{FAMILIES, Kind};
use super::scrape::Scrape;
use super::*;
use crate::kernel::bpf::PacketCounts;
use crate::model::ResourceId;

/// A name with everything that must be escaped.
const HOSTILE: &str = "a\"b\\c\nd";

fn id() -> ResourceId {
    "6ba7b810-9dad-41d1-80b4-00c04fd430c8".parse().unwrap()
}

fn snapshot() -> Snapshot {
    let mut probes = PoolProbes::new("TCP");
    probes.durations.note(Duration::from_millis(3));
    let limits = (9, 0);
    let listener = ListenerFigures {
        load_balancer: "lb".to_owned(),
        name: HOSTILE.to_owned(),
        id: id(),
        protocol: "TCP",
        ports: "80".to_owned(),
        vips: vec!["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()],
        pool: "web".to_owned(),
        number: Some(1),
        is_up: true,
        fallback_used: Some(false),
        is_tracked: false,
        is_answered_here: true,
        limits,
    };
    let pool = PoolFigures {
        name: "web".to_owned(),
        is_tcp: true,
        is_answered_here: true,
        members: [1, 0, 0, 0, 0, 0],
        listeners: 1,
        backup_used: Some(true),
        slots: 1021,
        moving: None,
        moved: 7,
        probes,
    };
    Snapshot {
        taken: Instant::now(),
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
        not_ready: None,
        most_members: 10,
        all_members: 1,
        agent: agent(),
        load_balancers: vec![LoadBalancerFigures {
            name: "lb".to_owned(),
            members: [1, 0, 0, 0, 0, 0],
        }],
        listeners: vec![listener],
        pools: vec![pool],
        members: vec![member()],
        counters: None,
    }
}

fn agent() -> AgentFigures {
    AgentFigures {
        adopted: false,
        is_file_served: true,
        loaded: SystemTime::UNIX_EPOCH,
        problems: [("config", 0), ("map", 0), ("host", 2)],
        interfaces: vec![("eth0".to_owned(), "native", true)],
        lateness: Histogram::new(PROBE_ENDS),
        probes: (1, 2),
        verdicts: Histogram::new(PUBLISH_ENDS),
        publications: Histogram::new(PUBLISH_ENDS),
        ring_builds: Histogram::new(PUBLISH_ENDS),
        writes: BTreeMap::from([("BACKENDS", Writes { all: 3, failed: 1 })]),
        maps: vec![("BACKENDS", 1, 4_096)],
        tracers: 0,
        flow_log: FlowLogFigures {
            is_on: true,
            events: [("open", 9), ("end", 8), ("refused", 7)],
            lost: [("rate", 3), ("ring", 2), ("sink", 1)],
        },
        source_ports: Some((64_512, 3)),
        sflow: SflowFigures {
            is_on: true,
            samples: [("flow", 5), ("discard", 4)],
            lost: [("kernel", 3), ("limit", 2), ("unsent", 1)],
        },
        events: [
            ("unhealthy", 1),
            ("recovered", 0),
            ("in_service", 2),
            ("in_reserve", 0),
            ("slow_start", 4),
            ("slow_start_over", 3),
            ("fallback", 3),
            ("fallback_over", 2),
        ],
        logged: [("error", 0), ("warn", 1), ("info", 2), ("debug", 0)],
        lost_lines: 0,
        wrong_credentials: 0,
        unrecorded: 0,
        api: ApiFigures {
            requests: BTreeMap::from([("list_pools", [5, 1, 0])]),
            durations: BTreeMap::from([("GET", Histogram::new(REQUEST_ENDS))]),
        },
        store: Some(StoreFigures {
            commits: Histogram::new(PUBLISH_ENDS),
            bytes: 4_096,
            copied: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(77)),
        }),
    }
}

fn member() -> MemberFigures {
    MemberFigures {
        pool: 0,
        name: HOSTILE.to_owned(),
        id: id(),
        socket: ([10, 0, 0, 11], 8080).into(),
        number: Some(2),
        weight: 1,
        share: 0.5,
        is_reachable: true,
        is_tracked: false,
        max_connection: 200,
        is_healthy: true,
        since: SystemTime::UNIX_EPOCH,
        turned: (2, 1),
        probes: (10, 3),
        last_probe: Some(Duration::from_micros(1_500)),
    }
}

fn counted() -> PacketCounts {
    let mut events = ListenerEvents { opened: 5, resets: 2, ..ListenerEvents::default() };
    events.add_dropped(Reason::AccessDenied);
    events.add_dropped(Reason::UnknownBackend);
    PacketCounts {
        listeners: vec![Counter::default(), Counter { packets: 3, bytes: 300 }],
        listener_replies: vec![Counter::default(), Counter { packets: 2, bytes: 900 }],
        listener_answers: vec![Answers { accepted: 11, resets: 12 }; 2],
        events: vec![ListenerEvents::default(), events],
        listener_states: vec![Default::default(); 2],
        backends: vec![Counter { packets: 8, bytes: 800 }; 3],
        backend_replies: vec![Counter { packets: 7, bytes: 7_000 }; 3],
        backend_answers: vec![Answers { accepted: 13, resets: 14 }; 3],
        opened: vec![4; 3],
        backend_states: vec![Default::default(); 3],
        reasons: vec![Counter { packets: 6, bytes: 60 }; REASONS as usize],
        tables: vec![Default::default(); 2],
        runs: Vec::new(),
    }
}

fn text(format: Format) -> String {
    text_of(snapshot(), &Scope::ALL, format)
}

fn text_of(snapshot: Snapshot, scopes: &[Scope], format: Format) -> String {
    let text = encoded(Scrape::of(snapshot, scopes, counted()), format, Vec::new());
    String::from_utf8(text.unwrap()).unwrap()
}

fn all(pages: &Pages) -> Vec<u8> {
    (0..).map_while(|number| pages.page(number)).flatten().collect()
}

/// The line of a series.
fn line<'t>(text: &'t str, series: &str) -> &'t str {
    let is_it = |line: &&str| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' '));
    let found = text.lines().find(is_it);
    found.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[test]
fn hostile_names_are_escaped() {
    let escaped = r#"a\"b\\c\nd"#;
    for format in [Format::Text, Format::OpenMetrics] {
        let text = text(format);
        let listener = format!("load_balancer=\"lb\",listener=\"{escaped}\"");
        line(&text, &format!("elb_listener_forwarded_packets_total{{{listener}}}"));
        line(&text, &format!("elb_member_healthy{{pool=\"web\",member=\"{escaped}\"}}"));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.for_each(|line| {
            assert!(line.starts_with("elb_") || line.starts_with("process_"), "{line}");
        });
    }
}

#[test]
fn every_family_is_there_once_and_its_series_follow() {
    for (format, suffix) in [(Format::Text, true), (Format::OpenMetrics, false)] {
        let text = text(format);
        for family in FAMILIES {
            let name = family.name();
            let name = if suffix {
                &name
            } else {
                name.trim_end_matches("_total").trim_end_matches("_info")
            };
            for what in ["HELP", "TYPE"] {
                let head = format!("# {what} {name} ");
                let count = text.lines().filter(|line| line.starts_with(&head)).count();
                assert_eq!(count, 1, "{head}");
            }
            assert!(text.contains(&format!("# HELP {name} {}\n", family.help)), "{name}");
        }
        assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
    }
}

#[test]
fn values_are_those_that_were_counted() {
    let text = text(Format::Text);
    let listener = r#"{load_balancer="lb",listener="a\"b\\c\nd""#;
    for (series, value) in [
        (format!("elb_listener_forwarded_bytes_total{listener}}}"), "300"),
        (format!("elb_listener_opened_connections_total{listener}}}"), "5"),
        (format!("elb_listener_reply_packets_total{listener}}}"), "2"),
        (format!("elb_listener_reply_bytes_total{listener}}}"), "900"),
        (format!("elb_listener_accepted_connections_total{listener}}}"), "11"),
        (format!("elb_listener_server_resets_total{listener}}}"), "12"),
        (
            r#"elb_member_accepted_connections_total{pool="web",member="a\"b\\c\nd"}"#.to_owned(),
            "13",
        ),
        (r#"elb_member_resets_total{pool="web",member="a\"b\\c\nd"}"#.to_owned(), "14"),
        (r#"elb_member_reply_packets_total{pool="web",member="a\"b\\c\nd"}"#.to_owned(), "7"),
        (r#"elb_member_reply_bytes_total{pool="web",member="a\"b\\c\nd"}"#.to_owned(), "7000"),
        (format!("elb_listener_client_resets_total{listener}}}"), "2"),
        (format!("elb_listener_dropped_packets_total{listener},reason=\"access_denied\"}}"), "1"),
        (format!("elb_listener_dropped_packets_total{listener},reason=\"other\"}}"), "1"),
        (format!("elb_listener_dropped_packets_total{listener},reason=\"no_backend\"}}"), "0"),
        (format!("elb_listener_connections_limit{listener}}}"), "9"),
        (r#"elb_member_connections_limit{pool="web",member="a\"b\\c\nd"}"#.to_owned(), "200"),
        (r#"elb_pool_members{pool="web",status="ONLINE"}"#.to_owned(), "1"),
        (r#"elb_dropped_packets_total{reason="no_backend"}"#.to_owned(), "6"),
        (r#"elb_map_write_errors_total{map="BACKENDS"}"#.to_owned(), "1"),
        (r#"elb_probe_duration_seconds_bucket{pool="web",type="TCP",le="0.002"}"#.to_owned(), "0"),
        (r#"elb_probe_duration_seconds_bucket{pool="web",type="TCP",le="0.005"}"#.to_owned(), "1"),
        (r#"elb_probe_duration_seconds_count{pool="web",type="TCP"}"#.to_owned(), "1"),
        (r#"elb_api_requests_total{operation="list_pools",class="refused"}"#.to_owned(), "1"),
        (r#"elb_api_requests_total{operation="list_pools",class="failed"}"#.to_owned(), "0"),
        (r#"elb_api_request_duration_seconds_count{method="GET"}"#.to_owned(), "0"),
        ("elb_store_commit_seconds_count".to_owned(), "0"),
        ("elb_store_bytes".to_owned(), "4096"),
        ("elb_store_backup_timestamp_seconds".to_owned(), "77.0"),
        ("elb_metrics_members_left_out".to_owned(), "0"),
    ] {
        assert_eq!(line(&text, &series), format!("{series} {value}"));
    }
    assert!(!text.contains("elb_listener_connections{"), "its pool records none");
    assert!(!text.contains("elb_ring_moving_slots{"), "they are not counted yet");
    assert!(!text.contains("elb_listener_new_connections_limit{"), "none is set");
}

/// What members send with direct server return is not known: 0 would be a wrong number.
#[test]
fn answers_that_do_not_pass_are_absent() {
    let mut snapshot = snapshot();
    snapshot.listeners[0].is_answered_here = false;
    snapshot.pools[0].is_answered_here = false;
    let text = text_of(snapshot, &Scope::ALL, Format::Text);
    for name in [
        "elb_listener_reply_packets_total",
        "elb_listener_reply_bytes_total",
        "elb_listener_accepted_connections_total",
        "elb_listener_server_resets_total",
        "elb_member_reply_packets_total",
        "elb_member_reply_bytes_total",
        "elb_member_accepted_connections_total",
        "elb_member_resets_total",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
        assert!(!text.contains(&format!("{name}{{")), "{text}");
    }
}

#[test]
fn too_many_members_are_left_out_and_counted() {
    let snapshot = Snapshot { members: Vec::new(), all_members: 11, ..snapshot() };
    let text = text_of(snapshot, &Scope::ALL, Format::Text);
    assert!(!text.contains("elb_member_"), "{text}");
    assert_eq!(line(&text, "elb_metrics_members_left_out"), "elb_metrics_members_left_out 11");
    line(&text, r#"elb_pool_members{pool="web",status="ONLINE"}"#);
}

#[test]
fn a_scope_has_its_families_only() {
    for scope in Scope::ALL {
        let text = text_of(snapshot(), &[scope], Format::Text);
        for family in FAMILIES {
            let is_there = text.contains(&format!("# TYPE {} ", family.name()));
            assert_eq!(is_there, family.scope == scope, "{} in {scope}", family.name());
        }
    }
}

#[test]
fn labels_are_those_of_the_table() {
    let text = text(Format::Text);
    for family in FAMILIES {
        let name = family.name();
        let suffix = if family.kind == Kind::Histogram { "_count" } else { "" };
        let prefix = format!("{name}{suffix}{{");
        let Some(series) = text.lines().find(|line| line.starts_with(&prefix)) else { continue };
        let at = family.labels.iter().map(|label| series.find(&format!("{label}=\"")));
        let at: Option<Vec<_>> = at.collect();
        assert!(at.is_some_and(|at| at.is_sorted()), "{series}: {:?}", family.labels);
    }
}

#[tokio::test]
async fn a_scrape_comes_compressed_and_not_before_there_is_something() {
    let (snapshots, coming) = watch::channel(None);
    let exporter = Exporter::new(coming);
    let request = |gzip| ScrapeRequest { scopes: vec![Scope::Pool], format: Format::Text, gzip };
    assert!(exporter.scrape(request(false)).await.is_err());
    snapshots.send_replace(Some(Arc::new(snapshot())));
    let plain = all(&exporter.scrape(request(false)).await.unwrap());
    let compressed = all(&exporter.scrape(request(true)).await.unwrap());
    let mut text = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(&compressed[..]);
    io::Read::read_to_end(&mut reader, &mut text).unwrap();
    assert!(text == plain && compressed.len() < plain.len());
}
