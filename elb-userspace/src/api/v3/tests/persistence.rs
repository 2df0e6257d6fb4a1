//! Pools that remember their clients.

use serde_json::{Value, json};

use super::Scene;

#[tokio::test]
async fn pools_remember_clients_by_their_addresses() {
    let scene = Scene::new();
    let [_, _, pool, _] = scene.service().await;
    let path = format!("pools/{pool}");
    let change = |value: Value| json!({"pool": {"session_persistence": value}});
    let timeout = |value| json!({"type": "SOURCE_IP", "persistence_timeout": value});
    for (given, minutes) in [
        (timeout(json!(20)), json!(20)),
        (json!({"type": "SOURCE_IP"}), json!(1)),
        (json!({"persistence_timeout": 60}), json!(60)),
    ] {
        let (status, shown) = scene.ask("PUT", &path, change(given)).await;
        let shown = &shown["pool"]["session_persistence"];
        assert_eq!((status, &shown["persistence_timeout"]), (200, &minutes), "{shown}");
        assert_eq!(shown["type"], "SOURCE_IP");
    }
    for (given, code, says) in [
        (json!({"type": "HTTP_COOKIE"}), "ELB.8903", "session_persistence.type HTTP_COOKIE"),
        (json!({"type": "APP_COOKIE", "cookie_name": "x"}), "ELB.8903", "APP_COOKIE"),
        (timeout(json!(0)), "ELB.8902", "persistence_timeout"),
        (timeout(json!(61)), "ELB.8902", "persistence_timeout"),
        (json!({"type": "SOURCE_IP", "cookie_name": "x"}), "ELB.8902", "cookie_name"),
    ] {
        let (status, refused, why) = scene.refused("PUT", &path, change(given)).await;
        let expected = if code == "ELB.8903" { 403 } else { 400 };
        assert_eq!((status, refused.as_str()), (expected, code), "{why}");
        assert!(why.contains(says), "{why}");
    }
    let hashes = json!({"pool": {"lb_algorithm": "SOURCE_IP"}});
    let (status, _, why) = scene.refused("PUT", &path, hashes.clone()).await;
    assert!(status == 400 && why.contains("not SOURCE_IP"), "{status} {why}");
    for nothing in [Value::Null, json!({})] {
        scene.ask("PUT", &path, change(timeout(json!(5)))).await;
        let (status, shown) = scene.ask("PUT", &path, change(nothing)).await;
        assert_eq!((status, &shown["pool"]["session_persistence"]), (200, &Value::Null));
    }
    assert_eq!(scene.ask("PUT", &path, hashes).await.0, 200);
}
