//! Ids are the same in whatever letters a client writes them, and are kept in one spelling.

use serde_json::{Value, json};

use super::Scene;
use crate::source::store::dangling;

/// As a client may write ids.
const SPELLINGS: [fn(&str) -> String; 3] =
    [str::to_uppercase, |id| id.replace('-', ""), |id| id.replace('-', "").to_uppercase()];

#[tokio::test]
async fn paths_and_filters_find_ids_in_any_spelling() {
    let scene = Scene::new();
    let [lb, listener, pool, member] = scene.service().await;
    for spelled in SPELLINGS {
        let [lb, listener, pool, member] = [&lb, &listener, &pool, &member].map(|id| spelled(id));
        for (path, key) in [
            (format!("pools/{pool}/members"), "members"),
            (format!("pools?id={pool}"), "pools"),
            (format!("pools?listener_id={listener}"), "pools"),
            (format!("pools?loadbalancer_id={lb}&limit=1"), "pools"),
            (format!("listeners?default_pool_id={pool}"), "listeners"),
            (format!("members?pool_id={pool}&id={member}"), "members"),
        ] {
            let (status, reply) = scene.ask("GET", &path, Value::Null).await;
            assert_eq!((status, reply[key].as_array().map(Vec::len)), (200, Some(1)), "{path}");
        }
        let path = format!("pools/{pool}/members/{member}");
        let (status, _) = scene.ask("GET", &path, Value::Null).await;
        assert_eq!(status, 200, "{path}");
        let change = json!({"members": [{"id": member, "weight": 3}]});
        let path = format!("pools/{pool}/members/batch-update");
        assert_eq!(scene.ask("POST", &path, change).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn references_are_kept_in_one_spelling() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    for (n, spelled) in (0_u16..).zip(SPELLINGS) {
        let group = scene.make("ipgroups", "ipgroup", json!({"name": "g", "ip_list": []})).await;
        let listener = json!({
            "loadbalancer_id": spelled(&lb), "protocol": "TCP", "protocol_port": 1000 + n,
            "ipgroup": {"ipgroup_id": spelled(&group)}, "name": spelled(&lb),
        });
        let listener = scene.make("listeners", "listener", listener).await;
        let pool = json!({
            "listener_id": spelled(&listener), "loadbalancer_id": spelled(&lb), "protocol": "TCP",
            "lb_algorithm": "ROUND_ROBIN", "vpc_id": spelled(&lb),
        });
        let pool = scene.make("pools", "pool", pool).await;
        let monitor = json!({
            "pool_id": spelled(&pool), "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2,
        });
        let monitor = scene.make("healthmonitors", "healthmonitor", monitor).await;
        let (_, shown) = scene.ask("GET", &format!("listeners/{listener}"), Value::Null).await;
        let shown = &shown["listener"];
        assert_eq!(shown["loadbalancers"], json!([{"id": lb}]));
        assert_eq!(
            (&shown["default_pool_id"], &shown["ipgroup"]["ipgroup_id"]),
            (&json!(pool), &json!(group))
        );
        assert_eq!(shown["name"], spelled(&lb), "a name is a name");
        let (_, shown) = scene.ask("GET", &format!("pools/{pool}"), Value::Null).await;
        let shown = &shown["pool"];
        assert_eq!(
            (&shown["healthmonitor_id"], &shown["loadbalancers"]),
            (&json!(monitor), &json!([{"id": lb}]))
        );
        assert_eq!(shown["vpc_id"], spelled(&lb), "a label is kept as it is");
        // Again, by hand.
        for id in [Value::Null, spelled(&pool).into()] {
            let change = json!({"listener": {"default_pool_id": id}});
            let (status, reply) = scene.ask("PUT", &format!("listeners/{listener}"), change).await;
            assert_eq!(status, 200, "{reply}");
        }
        assert_eq!(dangling(&scene.store.read()), [""; 0]);
        let gone = json!({"listener_ids": [spelled(&listener)]});
        let (status, reply) = scene.ask("POST", "listeners/batch-delete", gone).await;
        assert_eq!(status, 202, "{reply}");
        let gone = json!({"pools": [spelled(&pool)]});
        let (_, reply) = scene.ask("POST", "pools/batch-delete", gone).await;
        assert_eq!(reply["pools"], json!([{"id": pool, "ret_status": "successful"}]));
    }
}
