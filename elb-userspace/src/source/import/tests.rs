use proptest::prelude::*;

use super::{ImportOptions, Translation, haproxy, keepalived};
use crate::source::file;

/// Words that such files consist of, and some that they do not.
fn text(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let word =
        prop_oneof![8 => prop::sample::select(words).prop_map(str::to_owned), 1 => "\\PC{0,6}"];
    let end = prop_oneof![3 => Just(" "), 1 => Just("\n")];
    prop::collection::vec((word, end), 0..60)
        .prop_map(|all| all.into_iter().map(|(word, end)| word + end).collect())
}

const KEEPALIVED: &[&str] = &[
    "virtual_server",
    "virtual_server_group",
    "real_server",
    "192.0.2.1",
    "10.0.0.1",
    "10.0.0.1-9",
    "::1",
    "2001:db8::ff-1",
    "80",
    "0",
    "99999",
    "{",
    "}",
    "{",
    "}",
    "group",
    "fwmark",
    "lb_algo",
    "wrr",
    "lb_kind",
    "TUN",
    "type",
    "gue",
    "weight",
    "-1",
    "TCP_CHECK",
    "SMTP_CHECK",
    "HTTP_GET",
    "url",
    "path",
    "/",
    "status_code",
    "delay_loop",
    "1e300",
    "nan",
    "retry",
    "18446744073709551615",
    "$A=b",
    "$A",
    "${A}",
    "\"",
    "#",
    "vrrp_instance",
    "interface",
    "virtual_ipaddress",
    "persistence_timeout",
    "protocol",
    "SCTP",
    "\u{7f}",
];

const HAPROXY: &[&str] = &[
    "frontend",
    "backend",
    "listen",
    "defaults",
    "global",
    "from",
    "f",
    "b",
    "bind",
    "*:80",
    "192.0.2.1:80",
    "192.0.2.1:9-1",
    "[::1]:80",
    "fd@1",
    "ssl",
    "mode",
    "tcp",
    "http",
    "default_backend",
    "balance",
    "source",
    "server",
    "s",
    "10.0.0.1:80",
    "10.0.0.1",
    "check",
    "weight",
    "256",
    "4294967295",
    "inter",
    "9d",
    "99999999999999999d",
    "rise",
    "option",
    "httpchk",
    "http-check",
    "expect",
    "string",
    "rstring",
    "binary",
    "send",
    "a\\r\\n",
    "tcp-check",
    "redis-check",
    "send",
    "status",
    "!",
    "hdr",
    "acl",
    "src",
    "10.0.0.0/8",
    "tcp-request",
    "connection",
    "reject",
    "unless",
    "timeout",
    "client",
    "\\",
    "'",
    "\"",
    "maxconn",
    "\u{7f}",
];

fn is_valid(translation: &Translation) {
    let text = translation.to_string();
    let (config, errors) = file::parse_lenient("translated", &text);
    assert!(config.is_some() && !errors.has_errors(), "{errors}\n{text}");
}

proptest! {
    #[test]
    fn whatever_keepalived_is_given_becomes_a_valid_file(text in text(KEEPALIVED)) {
        if let Ok(translation) = keepalived::translate("x", &text, &ImportOptions::default()) {
            is_valid(&translation);
        }
    }

    #[test]
    fn whatever_haproxy_is_given_becomes_a_valid_file(text in text(HAPROXY)) {
        let vips = vec!["192.0.2.9".parse().unwrap()];
        let options = ImportOptions { vips, ..ImportOptions::default() };
        if let Ok(translation) = haproxy::translate("x", &text, &options) {
            is_valid(&translation);
        }
    }
}

#[test]
fn an_address_that_no_client_can_reach_is_left_out() {
    let vips = vec!["127.0.0.1".parse().unwrap()];
    let options = ImportOptions { vips, ..ImportOptions::default() };
    for address in ["[::1]", "127.0.0.1", "*"] {
        let text = format!(
            "listen web\n mode tcp\n bind {address}:80\n bind 192.0.2.1:80\n server s 10.0.0.1:80"
        );
        let translation = haproxy::translate("x", &text, &options).unwrap();
        is_valid(&translation);
        let listeners: Vec<_> = translation.listeners().map(|(_, is_served)| is_served).collect();
        assert_eq!(listeners, [false, true], "{translation}");
        assert!(translation.to_string().contains("is a loopback address"), "{translation}");
    }
}

#[test]
fn what_is_no_such_file_is_refused_with_its_line() {
    let of = |text: &str| {
        keepalived::translate("x", text, &ImportOptions::default())
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(
        of("{"),
        Some("line 1: { follows no keyword; is it a file of keepalived?".to_owned())
    );
    assert_eq!(of("a {\nb {\n}"), Some("line 1: `a` has no closing }; add it".to_owned()));
    assert_eq!(of("a\n}"), Some("line 2: } closes nothing; remove it".to_owned()));
    let deep = "a {".repeat(50);
    assert!(of(&deep).is_some_and(|error| error.contains("16 blocks within each other")));
    let of = |text: &str| {
        haproxy::translate("x", text, &ImportOptions::default())
            .err()
            .map(|error| error.to_string())
    };
    let expected = "line 2: `mode tcp` is in no section; is it a file of haproxy?";
    assert_eq!(of("\nmode tcp"), Some(expected.to_owned()));
}
