//! What a change is: one transaction, with one record, and messages of bounded length.

use serde_json::{Value, json};

use super::{PROJECT, Scene, id, service};
use crate::source::store::AuditQuery;

/// What version 2 refuses before V3 is asked is written down as what it would have been, once.
#[tokio::test]
async fn what_version_2_refuses_is_in_the_audit_log() {
    let scene = Scene::new();
    let [lb, listener, pool, ..] = service(&scene).await;
    let at = |rest: &str| format!("/v2.0/lbaas/{rest}");
    let members = at(&format!("pools/{pool}/members"));
    let tags = format!("/v2.0/{PROJECT}/loadbalancers/{lb}/tags");
    let elsewhere = format!("/v2/{}/elb/pools/{pool}", "f".repeat(32));
    let renamed = json!({"listener": {"nmae": "x"}});
    for (token, method, path, body) in [
        (&scene.token, "POST", &members, json!({"member": {"backup": true}})),
        (&scene.token, "PUT", &at(&format!("listeners/{listener}")), renamed),
        (&scene.token, "POST", &at("l7policies"), json!({})),
        (&scene.token, "DELETE", &elsewhere, Value::Null),
        (&scene.read_only, "POST", &tags, json!({"tag": {"key": "k"}})),
        // Of V3, which refuses it itself.
        (&scene.token, "DELETE", &at(&format!("loadbalancers/{lb}")), Value::Null),
        (&scene.token, "PATCH", &at("pools"), json!({})),
        (&scene.token, "GET", &at("pools?x=y"), Value::Null),
    ] {
        let (status, said) = scene.v2_as(token, method, path, body).await;
        assert!(status >= 400, "{method} {path}: {said}");
    }
    let records = scene.store.records(AuditQuery::default(), 0, 100).await.unwrap();
    let refused = records.iter().filter(|(_, record)| record.result != "ok");
    let found: Vec<_> = refused
        .map(|(_, record)| (&*record.operation, &*record.result, record.id.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("createMember", "ELB.8903", Some(&*pool)),
            ("updateListener", "ELB.8902", Some(&*listener)),
            ("createL7policy", "ELB.8903", None),
            ("deletePool", "SYS.0403", Some(&*pool)),
            ("updateLoadbalancer", "SYS.0403", Some(&*lb)),
            ("deleteLoadbalancer", "ELB.8907", Some(&*lb)),
        ]
    );
}

/// The whole of a change is one transaction, and a refusal shows the beginning of what was wrong.
#[tokio::test]
async fn tags_and_the_rest_are_changed_together() {
    let scene = Scene::new();
    let [lb, ..] = service(&scene).await;
    let path = format!("/v2.0/lbaas/loadbalancers/{lb}");
    let before = scene.store.read().revision;
    let change = json!({"loadbalancer": {"name": "n", "tags": ["a=1", "b"]}});
    let (status, shown) = scene.v2("PUT", &path, change).await;
    let shown = &shown["loadbalancer"];
    assert_eq!((status, &shown["name"], &shown["tags"]), (200, &json!("n"), &json!(["a=1", "b"])));
    assert_eq!(scene.store.read().revision, before + 1);
    let many: Vec<String> = (0..21).map(|n| format!("k{n}")).collect();
    let change = json!({"loadbalancer": {"name": "other", "tags": many}});
    assert_eq!(scene.v2_refused("PUT", &path, change).await.0, 403);
    assert_eq!(scene.store.read().revision, before + 1);
    let keys: serde_json::Map<_, _> = (0..1000).map(|n| (format!("k{n}"), json!(n))).collect();
    for body in [
        json!({"tags": "x".repeat(10_000)}),
        json!({"tenant_id": "x".repeat(10_000)}),
        json!({"vip_qos_policy_id": "x".repeat(10_000)}),
        Value::Object(keys),
    ] {
        let (_, said) = scene.v2_refused("PUT", &path, json!({"loadbalancer": body})).await;
        assert!(said.len() < 800, "{said}");
    }
}

#[tokio::test]
async fn labels_are_the_same_however_they_are_encoded() {
    let scene = Scene::new();
    let mut ids = std::collections::BTreeSet::new();
    for name in ["front%20end", "front%20%65nd", "%66ront%20end"] {
        let (_, shown) = scene.v2("GET", &format!("/v2.0/subnets/{name}"), Value::Null).await;
        ids.insert((id(&shown["subnet"]), shown["subnet"]["name"].to_string()));
    }
    let (_, all) = scene.v2("GET", "/v2.0/subnets?name=front+end", Value::Null).await;
    ids.insert((id(&all["subnets"][0]), "\"front end\"".to_owned()));
    assert_eq!(ids.len(), 1, "{ids:?}");
    let upper = "0BADC0DE-0000-4000-8000-000000000001";
    let (_, shown) = scene.v2("GET", &format!("/v2.0/subnets/{upper}"), Value::Null).await;
    assert_eq!(id(&shown["subnet"]), upper.to_lowercase());
    let empty = json!({"vip_address": "192.0.2.44", "provider": "", "vip_vnic_type": ""});
    scene.v2_make("/v2.0/lbaas/loadbalancers", "loadbalancer", empty).await;
}
