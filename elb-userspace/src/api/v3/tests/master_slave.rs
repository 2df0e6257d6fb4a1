//! Pools of a master and a slave.

use serde_json::{Value, json};

use super::Scene;
use crate::source::store::{DocumentKind, text};

fn pair(more: Value) -> Value {
    let mut pool = json!({
        "name": "pair", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "ip",
        "members": [
            {"address": "10.0.0.2", "protocol_port": 80, "role": "slave"},
            {"address": "10.0.0.1", "protocol_port": 80, "role": "master", "name": "first"},
        ],
        "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2},
    });
    for (key, value) in more.as_object().unwrap() {
        pool[key] = value.clone();
    }
    json!({"pool": pool})
}

/// A load balancer with a listener without a pool, and a pool of a master and a slave for it.
async fn service(scene: &Scene) -> [String; 3] {
    let lb = json!({"vip_address": "192.0.2.10", "availability_zone_list": []});
    let lb = scene.make("loadbalancers", "loadbalancer", lb).await;
    let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80});
    let listener = scene.make("listeners", "listener", listener).await;
    let pool = pair(json!({"listener_id": listener}))["pool"].clone();
    let pool = scene.make("master-slave-pools", "pool", pool).await;
    [lb, listener, pool]
}

#[tokio::test]
async fn a_pair_is_made_shown_listed_and_deleted_as_a_whole() {
    let scene = Scene::new();
    let [lb, listener, pool] = service(&scene).await;
    let path = format!("master-slave-pools/{pool}");
    let (_, shown) = scene.ask("GET", &path, Value::Null).await;
    let shown = &shown["pool"];
    assert_eq!(
        (&shown["listeners"], &shown["loadbalancers"]),
        (&json!([{"id": listener}]), &json!([{"id": lb}]))
    );
    assert_eq!(shown["healthmonitor"]["type"], "TCP");
    let members = shown["members"].as_array().unwrap();
    let mut found: Vec<_> = members
        .iter()
        .map(|one| (one["address"].as_str().unwrap(), one["role"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("10.0.0.1", "master"), ("10.0.0.2", "slave")]);
    assert_eq!(
        members[0]["status"],
        json!([{"listener_id": listener, "operating_status": "INITIAL"}])
    );
    for (query, count) in [
        ("", 1),
        ("member_address=10.0.0.2", 1),
        ("member_address=10.0.0.3", 0),
        ("protocol=UDP", 0),
        (&*format!("loadbalancer_id={lb}&listener_id={listener}"), 1),
        (&*format!("healthmonitor_id={}", shown["healthmonitor"]["id"].as_str().unwrap()), 1),
    ] {
        let (_, list) = scene.ask("GET", &format!("master-slave-pools?{query}"), Value::Null).await;
        assert_eq!(list["pools"].as_array().unwrap().len(), count, "{query}");
    }
    let (_, tree) = scene.ask("GET", &format!("loadbalancers/{lb}/statuses"), Value::Null).await;
    assert_eq!(tree["statuses"]["loadbalancer"]["pools"][0]["id"], json!(pool));
    assert_eq!(scene.ask("DELETE", &path, Value::Null).await.0, 204);
    for kind in [DocumentKind::Pool, DocumentKind::Member, DocumentKind::HealthMonitor] {
        assert_eq!(scene.store.read().of(kind).count(), 0);
    }
    assert_eq!(scene.refused("DELETE", &path, Value::Null).await.1, "ELB.8904");
}

/// Plain pools and pairs are apart: neither is there under the other's paths.
#[tokio::test]
async fn the_parts_of_a_pair_cannot_be_changed_by_themselves() {
    let scene = Scene::new();
    let [_, _, pool] = service(&scene).await;
    let (_, all) = scene.ask("GET", "members", Value::Null).await;
    let member = all["members"][0]["id"].as_str().unwrap().to_owned();
    let monitor = scene.store.read().of(DocumentKind::HealthMonitor).next().unwrap().id;
    let plain = json!({"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "ip"});
    let plain = scene.make("pools", "pool", plain).await;
    let in_pool = format!("pools/{pool}/members");
    let new = json!({"address": "10.0.0.3", "protocol_port": 80});
    for (method, path, body) in [
        ("GET", format!("pools/{pool}"), Value::Null),
        ("PUT", format!("pools/{pool}"), json!({"pool": {"name": "x"}})),
        ("DELETE", format!("pools/{pool}"), Value::Null),
        ("DELETE", format!("pools/{pool}/delete-cascade"), Value::Null),
        ("GET", in_pool.clone(), Value::Null),
        ("POST", in_pool.clone(), json!({"member": new})),
        ("POST", format!("{in_pool}/batch-add"), json!({"members": [new]})),
        ("PUT", format!("{in_pool}/{member}"), json!({"member": {"weight": 0}})),
        ("DELETE", format!("{in_pool}/{member}"), Value::Null),
        ("GET", format!("healthmonitors/{monitor}"), Value::Null),
        ("PUT", format!("healthmonitors/{monitor}"), json!({"healthmonitor": {"delay": 9}})),
        ("DELETE", format!("healthmonitors/{monitor}"), Value::Null),
        ("GET", format!("master-slave-pools/{plain}"), Value::Null),
        ("DELETE", format!("master-slave-pools/{plain}"), Value::Null),
    ] {
        let (_, code, message) = scene.refused(method, &path, body).await;
        assert_eq!(code, "ELB.8904", "{method} {path}: {message}");
    }
    let second = json!({"healthmonitor": {"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}});
    assert_eq!(scene.refused("POST", "healthmonitors", second).await.1, "ELB.8907");
    let (_, list) = scene.ask("GET", "pools", Value::Null).await;
    assert_eq!(list["pools"].as_array().unwrap().len(), 1, "{list}");
    let (_, list) = scene.ask("GET", "pools?member_address=10.0.0.1", Value::Null).await;
    assert_eq!(list["pools"], json!([]));
    let (_, list) = scene.ask("GET", "healthmonitors", Value::Null).await;
    assert_eq!(list["healthmonitors"], json!([]));
}

#[tokio::test]
async fn a_pair_has_two_members_of_different_roles_and_is_probed() {
    let scene = Scene::new();
    let member =
        |address: &str, role: &str| json!({"address": address, "protocol_port": 80, "role": role});
    let (master, slave) = (member("10.0.0.1", "master"), member("10.0.0.2", "slave"));
    let members = |all: &[&Value]| pair(json!({"members": all}));
    for (body, code) in [
        (members(&[&master]), "ELB.8902"),
        (members(&[&master, &slave, &member("10.0.0.3", "slave")]), "ELB.8902"),
        (members(&[&master, &member("10.0.0.3", "master")]), "ELB.8902"),
        (members(&[&slave, &member("10.0.0.3", "slave")]), "ELB.8902"),
        (members(&[&master, &member("10.0.0.1", "slave")]), "ELB.8907"),
        (pair(json!({"healthmonitor": null})), "ELB.8902"),
        (
            pair(
                json!({"healthmonitor": {"type": "UDP_CONNECT", "delay": 5, "timeout": 3, "max_retries": 2}}),
            ),
            "ELB.8902",
        ),
        (pair(json!({"protocol": "QUIC"})), "ELB.8903"),
        (pair(json!({"session_persistence": {"type": "HTTP_COOKIE"}})), "ELB.8903"),
        (pair(json!({"type": null})), "ELB.8902"),
    ] {
        let (_, found, message) = scene.refused("POST", "master-slave-pools", body.clone()).await;
        assert_eq!(found, code, "{body}: {message}");
        assert_eq!(scene.store.read().of(DocumentKind::Pool).count(), 0, "all or nothing");
    }
}

/// What the packet path is given: the slave is a backup.
#[tokio::test]
async fn the_slave_is_the_backup_of_the_file() {
    let scene = Scene::new();
    service(&scene).await;
    let file = text::text(&scene.store.read(), &scene.settings);
    let file: toml::Table = file.parse().unwrap();
    let members = file["pool"][0]["member"].as_array().unwrap();
    let backups: Vec<_> = members
        .iter()
        .map(|one| (one["address"].as_str().unwrap(), one.get("backup").is_some()))
        .collect();
    assert!(
        backups.contains(&("10.0.0.1", false)) && backups.contains(&("10.0.0.2", true)),
        "{backups:?}"
    );
}
