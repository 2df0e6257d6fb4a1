//! What one request, or one key, can cost: lists, texts, messages, and records of what was refused.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{PROJECT, Scene};
use crate::source::store::{AuditQuery, AuditRecord};

impl Scene {
    pub(super) async fn records(&self) -> Vec<AuditRecord> {
        let all = self.store.records(AuditQuery::default(), 0, 100_000).await.unwrap();
        all.into_iter().map(|(_, record)| record).collect()
    }
}

fn networks(count: usize) -> Value {
    (0..count).map(|n| json!({"ip": format!("10.{}.{}.0/24", n / 256, n % 256)})).collect()
}

#[tokio::test]
async fn lists_of_networks_are_bounded_before_they_are_looked_at() {
    let scene = Scene::new();
    let group = scene.make("ipgroups", "ipgroup", json!({"ip_list": networks(300)})).await;
    let path = format!("ipgroups/{group}");
    let merge = format!("{path}/iplist/create-or-update");
    let remove = format!("{path}/iplist/batch-delete");
    let list = |list: Value| json!({"ipgroup": {"ip_list": list}});
    for (method, path, count, code, said) in [
        ("POST", "ipgroups", 301, "ELB.8905", "ip_list has 301 entries, of 300"),
        ("PUT", &*path, 301, "ELB.8905", "ip_list has 301 entries, of 300"),
        ("POST", &*merge, 301, "ELB.8905", "ip_list has 301 entries, of 300"),
        ("POST", "ipgroups", 40_000, "ELB.8902", "ip_list has 40000 entries, use a list"),
        ("POST", &*merge, 40_000, "ELB.8902", "ip_list has 40000 entries, use a list"),
        ("POST", &*remove, 40_000, "ELB.8902", "ip_list has 40000 entries, use a list"),
    ] {
        let refused = scene.refused(method, path, list(networks(count))).await;
        assert_eq!(refused.1, code, "{method} {path}: {}", refused.2);
        assert!(refused.2.contains(said) && refused.2.len() < 300, "{}", refused.2);
    }
    // Networks are the same ones in every notation.
    let again = json!([{"ip": "10.0.0.9/24", "description": "new"}]);
    let (_, shown) = scene.ask("POST", &merge, list(again)).await;
    let found = shown["ipgroup"]["ip_list"].as_array().unwrap();
    assert_eq!((found.len(), &found[299]["description"]), (300, &json!("new")));
    let (_, shown) = scene.ask("POST", &remove, list(networks(299))).await;
    assert_eq!(shown["ipgroup"]["ip_list"].as_array().unwrap().len(), 1);
    let twice = json!([{"ip": "10.0.0.1"}, {"ip": "10.0.0.1/32"}]);
    let refused = scene.refused("PUT", &path, list(twice)).await;
    assert!(refused.2.contains("10.0.0.1/32 is there twice"), "{}", refused.2);
}

#[tokio::test]
async fn texts_are_bounded_also_those_of_copies() {
    let scene = Scene::new();
    let [lb, listener, pool, member] = scene.service().await;
    let (long, most) = ("n".repeat(256), "n".repeat(255));
    let cases = [
        ("PUT", format!("pools/{pool}"), "pool", "name"),
        ("PUT", format!("pools/{pool}"), "pool", "description"),
        ("PUT", format!("pools/{pool}/members/{member}"), "member", "name"),
        ("PUT", format!("listeners/{listener}"), "listener", "description"),
        ("PUT", format!("loadbalancers/{lb}"), "loadbalancer", "name"),
    ];
    for (method, path, of, key) in cases {
        let (status, code, said) =
            scene.refused(method, &path, json!({of: {key: long.clone()}})).await;
        assert_eq!((status, &*code), (400, "ELB.8902"), "{path} {key}: {said}");
        assert!(said.contains(key) && said.contains("255 characters"), "{path}: {said}");
        assert!(said.len() < 300, "{said}");
        let (status, shown) = scene.ask(method, &path, json!({of: {key: most.clone()}})).await;
        assert_eq!(status, 200, "{path} {key}: {shown}");
    }
    // A copy would be called `…-copy-1`.
    let path = format!("loadbalancers/{lb}/clone");
    let body = json!({"count": 1, "target_loadbalancer_param": {"vip_address": "192.0.2.77"}});
    let (status, code, said) = scene.refused("POST", &path, body).await;
    assert_eq!((status, &*code), (400, "ELB.8902"), "{said}");
    assert!(said.contains("name is") && said.contains("262 characters, of at most 255"), "{said}");
}

/// Who is refused by the head of a request has its body thrown away, however large it is.
#[tokio::test]
async fn a_body_is_read_only_once_it_is_known_who_sends_it() {
    let scene = Scene::new();
    let large = "x".repeat(2 << 20);
    let path = format!("/v3/{PROJECT}/elb/pools");
    for (token, status, code) in [
        ("wrong", StatusCode::UNAUTHORIZED, "APIGW.0301"),
        (&*scene.read_only, StatusCode::FORBIDDEN, "SYS.0403"),
        (&*scene.token, StatusCode::PAYLOAD_TOO_LARGE, "ELB.8902"),
    ] {
        let (found, reply) = scene.raw(token, "POST", &path, &large).await;
        assert_eq!((found, &reply["error_code"]), (status, &json!(code)), "{reply}");
    }
    assert_eq!(scene.raw(&scene.token, "GET", &path, &large).await.0, StatusCode::OK);
}

/// A key that may only read pushes nothing out of the audit log, and has the disk written to at a bounded rate.
#[tokio::test]
async fn a_key_that_may_only_read_has_few_records() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    let path = format!("/v3/{PROJECT}/elb/loadbalancers/{lb}");
    for _ in 0..300 {
        let (status, reply) = scene.raw(&scene.read_only, "DELETE", &path, "").await;
        assert_eq!((status, &reply["error_code"]), (StatusCode::FORBIDDEN, &json!("SYS.0403")));
    }
    let mut by_actor = BTreeMap::<_, usize>::new();
    for record in scene.records().await {
        *by_actor.entry((record.actor, record.operation)).or_default() += 1;
    }
    let of = |actor: &str, operation: &str| {
        by_actor.get(&(actor.to_owned(), operation.to_owned())).copied().unwrap_or(0)
    };
    // Those at once, and what was due meanwhile on a slow host.
    let refused = of("reader", "deleteLoadbalancer");
    assert!((60..300).contains(&refused), "{refused}: {by_actor:?}");
    assert_eq!((of("full", "createLoadbalancer"), of("full", "createMember")), (1, 1));
    assert!(crate::source::store::unrecorded() > 0);
}

/// Every attempt of a key to change something has a record, also of what this host does not have.
#[tokio::test]
async fn what_is_not_there_and_was_tried_is_in_the_audit_log() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    let before = scene.records().await.len();
    let upgrade = format!("loadbalancers/{lb}/upgrade");
    assert_eq!(scene.refused("POST", &upgrade, json!({})).await.1, "ELB.8903");
    assert_eq!(scene.refused("PUT", "recycle-bin", json!({})).await.1, "ELB.8903");
    assert_eq!(scene.refused("GET", "recycle-bin", Value::Null).await.1, "ELB.8903");
    let theirs = format!("/v3/{PROJECT}/elb/{upgrade}");
    assert_eq!(scene.raw(&scene.read_only, "POST", &theirs, "").await.1["error_code"], "SYS.0403");
    let records = scene.records().await;
    let found: Vec<[&str; 3]> =
        records[before..].iter().map(|one| [&*one.actor, &*one.operation, &*one.result]).collect();
    let expected = [
        ["full", "upgradeLoadbalancer", "ELB.8903"],
        ["full", "updateRecycleBinEnable", "ELB.8903"],
        ["reader", "upgradeLoadbalancer", "SYS.0403"],
    ];
    assert_eq!(found, expected);
    assert_eq!(records[before].id, Some(lb));
}

/// The record of a member is found by the member, also where the request was refused at once.
#[tokio::test]
async fn a_refusal_is_written_down_with_what_it_was_for() {
    let scene = Scene::new();
    let [_, _, pool, member] = scene.service().await;
    let path = format!("/v3/{PROJECT}/elb/pools/{pool}/members/{member}");
    let (status, _) = scene.raw(&scene.read_only, "DELETE", &path, "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let last = scene.records().await.pop().unwrap();
    assert_eq!((&*last.operation, last.id), ("batchUpdateMember", Some(member)));
}
