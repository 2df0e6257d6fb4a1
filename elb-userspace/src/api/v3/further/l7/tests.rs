//! Which policies and rules are right, apart from their listener.

use serde_json::{Value, json};

use super::super::super::resources::object;
use super::*;

fn of_policy(given: &Value) -> Option<String> {
    judged(|wrong| policy::judge(&object(given), wrong)).err().map(|why| why.message)
}

fn of_rule(given: &Value) -> Option<String> {
    judged(|wrong| rule::judge(&object(given), "rule", wrong)).err().map(|why| why.message)
}

#[test]
fn each_action_has_its_attributes() {
    let url = json!({"status_code": "301", "protocol": "HTTPS"});
    for right in [
        json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "p", "priority": 1}),
        json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "p",
            "rules": [{"type": "PATH", "compare_type": "REGEX", "value": "^/a"}]}),
        json!({"action": "REDIRECT_TO_POOL", "redirect_pools_config":
            [{"pool_id": "p", "weight": "1"}, {"pool_id": "q", "weight": 99}],
            "redirect_pools_sticky_session_config": {"enable": true}}),
        json!({"action": "REDIRECT_TO_LISTENER", "redirect_listener_id": "l", "priority": 0}),
        json!({"action": "REDIRECT_TO_URL", "redirect_url_config": url}),
        json!({"action": "FIXED_RESPONSE", "fixed_response_config": {"status_code": "404"}}),
    ] {
        assert_eq!(of_policy(&right), None, "{right}");
    }
    for (wrong, said) in [
        (
            json!({"action": "REDIRECT_TO_POOL"}),
            "action REDIRECT_TO_POOL needs l7policy.redirect_pool_id or l7policy.redirect_pools_config",
        ),
        (
            json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "", "redirect_pools_config": []}),
            "needs",
        ),
        (
            json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "p", "redirect_pools_config":
            [{"pool_id": "q"}]}),
            "both there, use one",
        ),
        (
            json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "p", "redirect_url_config": url}),
            "redirect_url_config is for action REDIRECT_TO_URL, and action is REDIRECT_TO_POOL",
        ),
        (
            json!({"action": "REDIRECT_TO_POOL", "redirect_pools_config": [{"pool_id": "q"}, {"pool_id": "q"}]}),
            "redirect_pools_config has a pool twice",
        ),
        (
            json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "p", "priority": 0}),
            "use 1 to 10000",
        ),
        (json!({"action": "REDIRECT_TO_LISTENER"}), "needs l7policy.redirect_listener_id"),
        (
            json!({"action": "REDIRECT_TO_LISTENER", "redirect_listener_id": "l",
            "rules": [{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}]}),
            "l7policy.rules is for action REDIRECT_TO_POOL or REDIRECT_TO_URL or FIXED_RESPONSE",
        ),
        (
            json!({"action": "REDIRECT_TO_URL", "redirect_url": "http://a/"}),
            "redirect_url has no effect, use redirect_url_config",
        ),
        (
            json!({"action": "FIXED_RESPONSE", "redirect_pool_id": "p"}),
            "redirect_pool_id is for action",
        ),
    ] {
        let why = of_policy(&wrong).unwrap_or_default();
        assert!(why.contains(said), "{wrong}: {why}");
    }
}

#[test]
fn a_redirect_leads_elsewhere_and_says_where() {
    let of = |mut url: Value| {
        url["status_code"] = "302".into();
        of_policy(&json!({"action": "REDIRECT_TO_URL", "redirect_url_config": url}))
    };
    for right in [
        json!({"host": "www.example.com"}),
        json!({"host": "m.${host}", "path": "/x${path}"}),
        json!({"port": "8443", "protocol": "${protocol}"}),
        json!({"query": "from=${host}&${query}"}),
        json!({"path": "/", "insert_headers_config": {"configs": [{"key": "X-A"}, {"key": "X_B"}]}}),
    ] {
        assert_eq!(of(right.clone()), None, "{right}");
    }
    for (wrong, said) in [
        (json!({}), "redirect_url_config is what was asked for"),
        (
            json!({"protocol": "${protocol}", "host": "${host}", "port": "${port}", "path": "${path}",
            "query": "${query}"}),
            "is what was asked for",
        ),
        (json!({"port": "0"}), "port is \"0\", use 1 to 65535 or ${port}"),
        (json!({"port": "65536"}), "use 1 to 65535"),
        (json!({"path": "x"}), "use one that begins with /"),
        (json!({"path": "/a b"}), "use one that begins with /"),
        (json!({"host": "a_b.c"}), "use the name of a host"),
        (json!({"query": "a b"}), "use ASCII without spaces"),
        (json!({"query": "${user}"}), "as a variable"),
        (json!({"path": "/${path"}), "as a variable"),
        (
            json!({"path": "/", "insert_headers_config": {"configs": [{"key": "x y"}]}}),
            "has the key \"x y\"",
        ),
        (
            json!({"path": "/", "remove_headers_config": {"configs": [{"key": "a"}, {"key": "A"}]}}),
            "has the key \"A\" twice",
        ),
    ] {
        let why = of(wrong.clone()).unwrap_or_default();
        assert!(why.contains(said), "{wrong}: {why}");
    }
}

#[test]
fn responses_and_extensions_are_bounded() {
    let response = |config: Value| {
        of_policy(&json!({"action": "FIXED_RESPONSE", "fixed_response_config": config}))
    };
    let pool = |more: Value| {
        let given = json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "p", "redirect_pools_extend_config": more});
        of_policy(&given)
    };
    assert_eq!(response(json!({"message_body": "é".repeat(1024)})), None);
    let limit = |all: i64, each: i64| json!({"traffic_limit_config": {"qps": all, "per_source_ip_qps": each}});
    for (all, each) in [(0, 5), (5, 5), (5, 0)] {
        assert_eq!(pool(limit(all, each)), None);
    }
    assert_eq!(
        pool(json!({"rewrite_url_enable": true, "rewrite_url_config": {"path": "/x"}})),
        None
    );
    for (why, said) in [
        (response(json!({"message_body": "x".repeat(1025)})), "1025 characters, of at most 1024"),
        (response(json!({"message_body": "a\r\nb"})), "carriage return"),
        (response(limit(4, 5)), "per_source_ip_qps is 5, and qps is 4"),
        (pool(limit(4, 5)), "per_source_ip_qps is 5, and qps is 4"),
        (pool(json!({"rewrite_url_enable": true})), "needs rewrite_url_config"),
        (pool(json!({"rewrite_url_config": {"path": "${path}"}})), "is what was asked for"),
        (pool(json!({"remove_headers_config": {"configs": [{"key": ""}]}})), "has the key \"\""),
    ] {
        assert!(why.clone().unwrap_or_default().contains(said), "{said}: {why:?}");
    }
}

#[test]
fn rules_compare_what_there_is_in_a_request() {
    let rule = |kind: &str, compare: &str, value: &str| json!({"type": kind, "compare_type": compare, "value": value});
    let keyed = |kind: &str, key: &str, value: &str| json!({"type": kind, "compare_type": "EQUAL_TO", "key": key, "value": value});
    for right in [
        rule("HOST_NAME", "EQUAL_TO", "*.example.com"),
        rule("PATH", "EQUAL_TO", "/a"),
        rule("PATH", "STARTS_WITH", "/"),
        rule("PATH", "REGEX", "\\.(png|jpg)$"),
        rule("METHOD", "EQUAL_TO", "PATCH"),
        rule("SOURCE_IP", "EQUAL_TO", "2001:db8::/32"),
        rule("SOURCE_IP", "EQUAL_TO", "192.0.2.1"),
        keyed("HEADER", "X-User_1", "a*b?"),
        keyed("QUERY_STRING", "q", "Ab"),
        keyed("COOKIE", "id", "7"),
        json!({"type": "PATH", "compare_type": "EQUAL_TO", "value": "", "conditions": [{"value": "/a"}, {"value": "/b"}]}),
    ] {
        assert_eq!(of_rule(&right), None, "{right}");
    }
    for (wrong, said) in [
        (
            rule("HOST_NAME", "REGEX", "a.b"),
            "compare_type is REGEX, use EQUAL_TO with type HOST_NAME",
        ),
        (rule("HOST_NAME", "EQUAL_TO", "a.*.b"), "use a name, or *. before one"),
        (rule("PATH", "EQUAL_TO", "a"), "use one that begins with /"),
        (rule("PATH", "REGEX", ""), "use 1 to 128 characters"),
        (rule("PATH", "EQUAL_TO", &"/".repeat(129)), "use 1 to 128 characters"),
        (rule("METHOD", "EQUAL_TO", "get"), "use GET, POST"),
        (rule("SOURCE_IP", "EQUAL_TO", "10.0.0.0/33"), "use an address or a network"),
        (rule("HEADER", "EQUAL_TO", "x"), "key is \"\", use 1 to 40 letters"),
        (keyed("HEADER", &"x".repeat(41), "x"), "use 1 to 40 letters"),
        (keyed("QUERY_STRING", "", "x"), "use 1 to 128 characters"),
        (keyed("PATH", "k", "/"), "key is \"k\", use none but with HEADER"),
        (
            json!({"type": "METHOD", "compare_type": "EQUAL_TO", "value": "GET", "invert": true}),
            "invert is true",
        ),
        (
            json!({"type": "COOKIE", "compare_type": "EQUAL_TO", "value": "", "conditions":
            [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]}),
            "several keys",
        ),
        (
            json!({"type": "PATH", "compare_type": "EQUAL_TO", "value": "", "conditions":
            [{"value": "/a"}, {"value": "/a"}]}),
            "a value twice",
        ),
    ] {
        let why = of_rule(&wrong).unwrap_or_default();
        assert!(why.contains(said), "{wrong}: {why}");
    }
}

#[test]
fn a_policy_has_few_conditions_and_one_rule_of_most_types() {
    let with = |rules: Value| {
        of_policy(&json!({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "p", "rules": rules}))
    };
    let header = |n: usize| json!({"type": "HEADER", "compare_type": "EQUAL_TO", "key": format!("k{n}"), "value": "v"});
    let path = json!({"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"});
    assert_eq!(with((0..10).map(header).collect()), None);
    let mut many: Vec<Value> = (0..9).map(header).collect();
    many.push(json!({"type": "METHOD", "compare_type": "EQUAL_TO", "value": "", "conditions":
        [{"value": "GET"}, {"value": "PUT"}]}));
    assert_eq!(with(many.into()).unwrap(), "l7policy.rules has 11 conditions, of at most 10");
    let twice = with(json!([path, path])).unwrap();
    assert_eq!(twice, "l7policy.rules has 2 of type PATH, use one");
    let wrong =
        with(json!([path, {"type": "METHOD", "compare_type": "EQUAL_TO", "value": "X"}])).unwrap();
    assert!(wrong.starts_with("l7policy.rules[1].value is \"X\""), "{wrong}");
}
