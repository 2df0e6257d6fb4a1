//! Copies of listeners and load balancers.

use serde_json::{Value, json};

use super::Scene;
use crate::source::store::DocumentKind;

const VPC: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

impl Scene {
    async fn look(&self, kind: &str, id: &str) -> Value {
        let (status, reply) = self.ask("GET", &format!("{kind}s/{id}"), Value::Null).await;
        assert_eq!(status, 200, "{reply}");
        reply[kind].clone()
    }

    async fn bare(&self, address: &str) -> String {
        let lb = json!({"vip_address": address, "availability_zone_list": []});
        self.make("loadbalancers", "loadbalancer", lb).await
    }
}

#[tokio::test]
async fn a_listener_is_copied_with_a_pool_of_its_own_or_with_the_same() {
    let scene = Scene::new();
    let [lb, listener, pool, _] = scene.service().await;
    let monitor =
        json!({"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2});
    scene.make("healthmonitors", "healthmonitor", monitor).await;
    let set = json!({"listener": {"cps": 7, "name": "http"}});
    assert_eq!(scene.ask("PUT", &format!("listeners/{listener}"), set).await.0, 200);
    let other = scene.bare("192.0.2.11").await;
    let path = format!("listeners/{listener}/clone");
    let targets = json!({"target_listener_params": [
        {"loadbalancer_id": other},
        {"loadbalancer_id": lb, "protocol_port": 80, "reuse_pool": true},
    ]});
    assert_eq!(
        scene.refused("POST", &path, targets).await.1,
        "ELB.8907",
        "port 80 is taken on its own"
    );
    assert_eq!(scene.store.read().of(DocumentKind::Listener).count(), 1, "all or nothing");

    let targets = json!({"target_listener_params": [{"loadbalancer_id": other, "name": "copy"}]});
    let (status, reply) = scene.ask("POST", &path, targets).await;
    assert_eq!((status, &reply["listener_list"][0]["protocol_port"]), (202, &json!(80)), "{reply}");
    let copy = scene.look("listener", reply["listener_list"][0]["id"].as_str().unwrap()).await;
    assert_eq!((&copy["cps"], &copy["name"]), (&json!(7), &json!("copy")));
    assert_eq!(copy["loadbalancers"], json!([{"id": other}]));
    let copied = scene.look("pool", copy["default_pool_id"].as_str().unwrap()).await;
    assert_ne!(copied["id"], json!(pool));
    assert!(!copied["healthmonitor_id"].as_str().unwrap().is_empty());
    assert_eq!(
        (copied["members"].as_array().unwrap().len(), &copied["loadbalancers"]),
        (1, &json!([{"id": other}]))
    );
    let job = scene.look("job", reply["job_id"].as_str().unwrap()).await;
    assert_eq!(
        (&job["job_type"], &job["resource_id"]),
        (&json!("cloneListener"), &json!(listener))
    );

    let third = scene.bare("192.0.2.12").await;
    let targets =
        json!({"target_listener_params": [{"loadbalancer_id": third, "reuse_pool": true}]});
    let (status, reply) = scene.ask("POST", &path, targets).await;
    assert_eq!(status, 202, "{reply}");
    let copy = scene.look("listener", reply["listener_list"][0]["id"].as_str().unwrap()).await;
    assert_eq!((&copy["default_pool_id"], &copy["name"]), (&json!(pool), &json!("http-copy")));
    let mut expected = [lb.clone(), third.clone()];
    expected.sort();
    let expected: Value = expected.iter().map(|id| json!({"id": id})).collect();
    assert_eq!(scene.look("pool", &pool).await["loadbalancers"], expected);
    // Either may go by force now, and the pool stays with the other.
    let force = format!("loadbalancers/{lb}/force-elb");
    assert_eq!(scene.ask("DELETE", &force, Value::Null).await.0, 204);
    assert_eq!(scene.look("pool", &pool).await["loadbalancers"], json!([{"id": third}]));
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_whole() {
    let scene = Scene::new();
    let [lb, listener, ..] = scene.service().await;
    let other = scene.bare("192.0.2.11").await;
    let before = scene.store.read().revision;
    let mapping = json!([{"subnet_cidr_id": VPC, "dst_subnet_cidr_id": VPC}]);
    for (target, code) in [
        (json!([]), "ELB.8902"),
        (json!([{"loadbalancer_id": VPC}]), "ELB.8904"),
        (json!([{"loadbalancer_id": other}, {"loadbalancer_id": lb}]), "ELB.8907"),
        (json!([{"loadbalancer_id": other, "subnet_mapping_list": mapping}]), "ELB.8903"),
        // Its members have port 80.
        (json!([{"loadbalancer_id": other, "protocol_port": 81}]), "ELB.8902"),
    ] {
        let body = json!({"target_listener_params": target});
        let path = format!("listeners/{listener}/clone");
        let (_, found, message) = scene.refused("POST", &path, body).await;
        assert_eq!(found, code, "{target}: {message}");
    }
    for (param, count, code) in [
        (json!({"vip_address": "192.0.2.10"}), 1, "ELB.8907"),
        (json!({"vip_address": "192.0.2.20"}), 2, "ELB.8902"),
        (json!({}), 11, "ELB.8902"),
        // It has no network, and a copy without an address would be nowhere.
        (json!({}), 1, "ELB.8902"),
        (json!({"vip_address": "192.0.2.20", "l7_flavor_id": VPC}), 1, "ELB.8903"),
    ] {
        let body = json!({"count": count, "target_loadbalancer_param": param});
        let path = format!("loadbalancers/{lb}/clone");
        let (_, found, message) = scene.refused("POST", &path, body).await;
        assert_eq!(found, code, "{param}: {message}");
    }
    assert_eq!(scene.store.read().revision, before);
}

#[tokio::test]
async fn a_load_balancer_is_copied_with_its_listeners_and_pools() {
    let scene = Scene::new();
    let [lb, listener, pool, _] = scene.service().await;
    let second = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 8080});
    let second = scene.make("listeners", "listener", second).await;
    let spare = json!({"loadbalancer_id": lb, "protocol": "UDP", "lb_algorithm": "ROUND_ROBIN"});
    scene.make("pools", "pool", spare).await;
    let path = format!("loadbalancers/{lb}/clone");
    let body = json!({"target_loadbalancer_param": {"vip_address": "192.0.2.20", "name": "two"}});
    let (status, reply) = scene.ask("POST", &path, body).await;
    assert_eq!(status, 202, "{reply}");
    let copy =
        scene.look("loadbalancer", reply["loadbalancer_list"][0]["id"].as_str().unwrap()).await;
    assert_eq!((&copy["name"], &copy["vip_address"]), (&json!("two"), &json!("192.0.2.20")));
    let count = |kind: &str| copy[kind].as_array().unwrap().len();
    assert_eq!((count("listeners"), count("pools")), (2, 2));
    for id in [&listener, &second, &pool] {
        assert!(!copy.to_string().contains(id), "{copy} has {id}");
    }
    // Several, with the same pools, where a network says where they are.
    let network = json!({"loadbalancer": {"ip_target_enable": true}});
    assert_eq!(scene.ask("PUT", &format!("loadbalancers/{lb}"), network).await.0, 200);
    let vpc = json!({"name": "n", "vpc_id": VPC, "availability_zone_list": []});
    let vpc = scene.make("loadbalancers", "loadbalancer", vpc).await;
    let udp = json!({"loadbalancer_id": vpc, "protocol": "UDP", "protocol_port": 53});
    let udp = scene.make("listeners", "listener", udp).await;
    let own = json!({"listener_id": udp, "protocol": "UDP", "lb_algorithm": "ROUND_ROBIN"});
    let own = scene.make("pools", "pool", own).await;
    let body = json!({"count": 2, "target_loadbalancer_param": {"reuse_pool": true}});
    let (status, reply) = scene.ask("POST", &format!("loadbalancers/{vpc}/clone"), body).await;
    assert_eq!(status, 202, "{reply}");
    let list = reply["loadbalancer_list"].as_array().unwrap();
    for (n, one) in list.iter().enumerate() {
        let copy = scene.look("loadbalancer", one["id"].as_str().unwrap()).await;
        assert_eq!(
            (&copy["name"], &copy["pools"]),
            (&json!(format!("n-copy-{}", n + 1)), &json!([{"id": own}]))
        );
    }
    assert_eq!(list.len(), 2);
}
