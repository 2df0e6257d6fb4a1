//! What belongs to another project is not found, however it is asked for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{PROJECT, Scene};

/// Asks for something with the key of another project.
async fn theirs(scene: &Scene, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let path = format!("/v3/{}/elb/{path}", PROJECT.replace('0', "9"));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    scene.raw(&scene.other, method, &path, &body).await
}

#[tokio::test]
async fn what_is_of_another_project_is_not_there() {
    let scene = Scene::new();
    let [lb, listener, pool, member] = scene.service().await;
    let monitor =
        json!({"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2});
    let monitor = scene.make("healthmonitors", "healthmonitor", monitor).await;
    let group = json!({"name": "g", "ip_list": [{"ip": "10.0.0.0/8"}]});
    let group = scene.make("ipgroups", "ipgroup", group).await;
    let before = scene.store.read().clone();
    for (path, key) in [
        (format!("loadbalancers/{lb}"), "loadbalancer"),
        (format!("listeners/{listener}"), "listener"),
        (format!("pools/{pool}"), "pool"),
        (format!("pools/{pool}/members/{member}"), "member"),
        (format!("healthmonitors/{monitor}"), "healthmonitor"),
        (format!("ipgroups/{group}"), "ipgroup"),
    ] {
        for (method, body) in
            [("GET", Value::Null), ("PUT", json!({key: {"name": "x"}})), ("DELETE", Value::Null)]
        {
            let (status, reply) = theirs(&scene, method, &path, &body).await;
            assert_eq!(
                (status.as_u16(), &reply["error_code"]),
                (404, &json!("ELB.8904")),
                "{path}"
            );
        }
    }
    let added = json!({"members": [{"address": "10.0.0.2", "protocol_port": 80}]});
    let monitors = json!({"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2});
    for (method, path, body) in [
        ("GET", format!("loadbalancers/{lb}/statuses"), Value::Null),
        ("DELETE", format!("loadbalancers/{lb}/force-elb"), Value::Null),
        ("DELETE", format!("listeners/{listener}/force"), Value::Null),
        ("DELETE", format!("pools/{pool}/delete-cascade"), Value::Null),
        ("POST", format!("pools/{pool}/members/batch-add"), added),
        (
            "POST",
            "listeners".to_owned(),
            json!({"listener": {"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 81}}),
        ),
        (
            "POST",
            "pools".to_owned(),
            json!({"pool": {"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}),
        ),
        ("POST", "healthmonitors".to_owned(), {
            let mut monitor = monitors;
            monitor["pool_id"] = json!(pool);
            json!({"healthmonitor": monitor})
        }),
    ] {
        let (status, reply) = theirs(&scene, method, &path, &body).await;
        assert_eq!(status.as_u16(), 404, "{method} {path}: {reply}");
    }
    for list in ["loadbalancers", "listeners", "pools", "members", "healthmonitors", "ipgroups"] {
        let (_, reply) = theirs(&scene, "GET", list, &Value::Null).await;
        assert_eq!(reply[list], json!([]), "{reply}");
    }
    assert_eq!(*scene.store.read(), before);
}

#[tokio::test]
async fn ones_own_cannot_refer_to_it() {
    let scene = Scene::new();
    let [_, _, pool, _] = scene.service().await;
    let group = json!({"name": "g", "ip_list": [{"ip": "10.0.0.0/8"}]});
    let group = scene.make("ipgroups", "ipgroup", group).await;
    let own = json!({"vip_address": "192.0.2.77", "availability_zone_list": []});
    let (_, own) = theirs(&scene, "POST", "loadbalancers", &json!({"loadbalancer": own})).await;
    let own = own["loadbalancer"]["id"].as_str().unwrap();
    for (key, value) in [
        ("default_pool_id", json!(pool)),
        ("ipgroup", json!({"ipgroup_id": group, "type": "white"})),
    ] {
        let listener =
            json!({"loadbalancer_id": own, "protocol": "TCP", "protocol_port": 80, key: value});
        let (status, reply) =
            theirs(&scene, "POST", "listeners", &json!({"listener": listener})).await;
        assert_eq!(status.as_u16(), 404, "{key}: {reply}");
    }
}
