//! Deletions with all that belongs to a resource, and of several resources at once.

use serde_json::{Value, json};

use super::{PROJECT, Scene};
use crate::source::store::DocumentKind;

const NONE: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

impl Scene {
    fn count(&self, kind: DocumentKind) -> usize {
        self.store.read().of(kind).count()
    }

    /// How many load balancers, listeners, pools, members and monitors there are.
    fn counts(&self) -> [usize; 5] {
        use DocumentKind::{HealthMonitor, Listener, LoadBalancer, Member, Pool};
        [LoadBalancer, Listener, Pool, Member, HealthMonitor].map(|kind| self.count(kind))
    }

    /// As [`Scene::service`], and the pool is probed.
    async fn probed_service(&self) -> [String; 4] {
        let all = self.service().await;
        let monitor =
            json!({"pool_id": all[2], "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2});
        self.make("healthmonitors", "healthmonitor", monitor).await;
        all
    }

    async fn done(&self, method: &str, path: &str, body: Value) {
        let (status, reply) = self.ask(method, path, body).await;
        assert_eq!((status, reply), (204, Value::Null), "{method} {path}");
    }
}

#[tokio::test]
async fn force_takes_a_load_balancer_with_all_that_belongs_to_it() {
    let scene = Scene::new();
    let [lb, _, pool, _] = scene.probed_service().await;
    let spare = json!({"loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
    scene.make("pools", "pool", spare).await;
    assert_eq!(scene.counts(), [1, 1, 2, 1, 1]);
    let path = format!("loadbalancers/{lb}");
    for (path, key, value) in [
        (&path, "loadbalancer", "deletion_protection_enable"),
        (&format!("pools/{pool}"), "pool", "member_deletion_protection_enable"),
    ] {
        assert_eq!(scene.ask("PUT", path, json!({key: {value: true}})).await.0, 200);
        let force = format!("loadbalancers/{lb}/force-elb");
        let (status, code, message) = scene.refused("DELETE", &force, Value::Null).await;
        assert_eq!((status, &*code), (409, "ELB.8907"), "{message}");
        assert!(message.contains(value), "{message}");
        assert_eq!(scene.counts(), [1, 1, 2, 1, 1], "all or nothing");
        assert_eq!(scene.ask("PUT", path, json!({key: {value: false}})).await.0, 200);
    }
    scene.done("DELETE", &format!("{path}/force-elb"), Value::Null).await;
    assert_eq!(scene.counts(), [0; 5]);
    assert_eq!(
        scene.refused("DELETE", &format!("{path}/force-elb"), Value::Null).await.1,
        "ELB.8904"
    );
}

#[tokio::test]
async fn a_cascade_leaves_pools_where_that_is_asked_for_and_those_that_others_use() {
    let scene = Scene::new();
    let [lb, listener, pool, _] = scene.probed_service().await;
    let keep = json!({"loadbalancer": {"unbounded_pool": false, "public_ip": true}});
    scene.done("POST", &format!("loadbalancers/{lb}/delete-cascade"), keep).await;
    assert_eq!(scene.counts(), [0, 0, 1, 1, 1]);
    assert_eq!(scene.refused("GET", &format!("listeners/{listener}"), Value::Null).await.0, 404);
    let (_, shown) = scene.ask("GET", &format!("pools/{pool}"), Value::Null).await;
    assert_eq!(
        (&shown["pool"]["loadbalancers"], &shown["pool"]["listeners"]),
        (&json!([]), &json!([]))
    );

    // The pool serves two load balancers from now on.
    let mut balancers = Vec::new();
    for address in ["192.0.2.20", "192.0.2.21"] {
        let lb = json!({"vip_address": address, "availability_zone_list": []});
        let lb = scene.make("loadbalancers", "loadbalancer", lb).await;
        let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80, "default_pool_id": pool});
        scene.make("listeners", "listener", listener).await;
        balancers.push(lb);
    }
    let all = json!({"loadbalancer": {}});
    scene
        .done("POST", &format!("loadbalancers/{}/delete-cascade", balancers[0]), all.clone())
        .await;
    assert_eq!(scene.counts(), [1, 1, 1, 1, 1], "another load balancer uses it");
    scene.done("POST", &format!("loadbalancers/{}/delete-cascade", balancers[1]), all).await;
    assert_eq!(scene.counts(), [0; 5]);
}

#[tokio::test]
async fn listeners_go_by_force_without_their_pools_and_pools_with_their_members() {
    let scene = Scene::new();
    let [lb, listener, pool, _] = scene.probed_service().await;
    scene.done("DELETE", &format!("listeners/{listener}/force"), Value::Null).await;
    assert_eq!(scene.counts(), [1, 0, 1, 1, 1]);
    let again = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80, "default_pool_id": pool});
    let again = scene.make("listeners", "listener", again).await;
    let protect = |on: bool| json!({"pool": {"member_deletion_protection_enable": on}});
    assert_eq!(scene.ask("PUT", &format!("pools/{pool}"), protect(true)).await.0, 200);
    let cascade = format!("pools/{pool}/delete-cascade");
    assert_eq!(scene.refused("DELETE", &cascade, Value::Null).await.1, "ELB.8907");
    assert_eq!(scene.ask("PUT", &format!("pools/{pool}"), protect(false)).await.0, 200);
    scene.done("DELETE", &cascade, Value::Null).await;
    assert_eq!(scene.counts(), [1, 1, 0, 0, 0]);
    let (_, shown) = scene.ask("GET", &format!("listeners/{again}"), Value::Null).await;
    assert_eq!(shown["listener"]["default_pool_id"], Value::Null);
}

#[tokio::test]
async fn several_load_balancers_or_listeners_go_together_or_not_at_all() {
    let scene = Scene::new();
    let [lb, listener, ..] = scene.probed_service().await;
    let empty = json!({"vip_address": "192.0.2.11", "availability_zone_list": []});
    let empty = scene.make("loadbalancers", "loadbalancer", empty).await;
    let udp = json!({"loadbalancer_id": lb, "protocol": "UDP", "protocol_port": 53});
    let udp = scene.make("listeners", "listener", udp).await;
    let listeners = |ids: &[&str]| json!({"listener_ids": ids});
    let path = "listeners/batch-delete";
    for (ids, code) in [
        (vec![&*udp, NONE], "ELB.8904"),
        // It has a pool with members.
        (vec![&*udp, &*listener], "ELB.8907"),
        (vec![], "ELB.8902"),
        (vec![NONE; 11], "ELB.8902"),
    ] {
        assert_eq!(scene.refused("POST", path, listeners(&ids)).await.1, code);
        assert_eq!(scene.counts(), [2, 2, 1, 1, 1]);
    }
    let (status, reply) = scene.ask("POST", path, listeners(&[&udp])).await;
    assert_eq!((status, &reply["listener_ids"]), (202, &json!([udp])), "{reply}");
    assert_eq!(scene.counts(), [2, 1, 1, 1, 1]);
    let first = reply["job_id"].clone();

    let path = "loadbalancers/batch-delete";
    let balancers = json!({"loadbalancer_ids": [lb, NONE], "unbounded_pool": true});
    assert_eq!(scene.refused("POST", path, balancers).await.1, "ELB.8904");
    let balancers = json!({"loadbalancer_ids": [lb, empty], "unbounded_pool": true});
    let (status, reply) = scene.ask("POST", path, balancers).await;
    assert_eq!((status, scene.counts()), (202, [0; 5]), "{reply}");

    let job = reply["job_id"].as_str().unwrap();
    let (_, shown) = scene.ask("GET", &format!("jobs/{job}"), Value::Null).await;
    let shown = &shown["job"];
    assert_eq!(
        (&shown["status"], &shown["job_type"]),
        (&json!("SUCCESS"), &json!("batchDeleteLoadbalancer"))
    );
    let entities = [&shown["sub_jobs"][0]["entities"], &shown["sub_jobs"][1]["entities"]];
    let of = |id: &str| json!([{"resource_id": id, "resource_type": "loadbalancer"}]);
    assert_eq!(entities, [&of(&lb), &of(&empty)]);
    let (_, all) = scene.ask("GET", "jobs?limit=5", Value::Null).await;
    assert_eq!(all["page_info"]["current_count"], 2);
    let (_, one) = scene.ask("GET", "jobs?job_type=batchDeleteListener", Value::Null).await;
    assert_eq!((&one["jobs"][0]["job_id"], &one["jobs"][1]), (&first, &Value::Null));
    let (_, none) = scene.ask("GET", "jobs?begin_time=2999-01-01T00:00:00", Value::Null).await;
    assert_eq!(none["jobs"], json!([]));
    let theirs = format!("/v3/{}/elb/jobs/{job}", PROJECT.replace('0', "9"));
    assert_eq!(scene.raw(&scene.other, "GET", &theirs, "").await.0, 404);
}

/// Where the answer has room for it, each pool has an end of its own.
#[tokio::test]
async fn pools_go_one_by_one_and_the_answer_says_which() {
    let scene = Scene::new();
    let [lb, _, pool, _] = scene.service().await;
    let spare = json!({"loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
    let spare = scene.make("pools", "pool", spare).await;
    let pools = json!({"pools": [pool, NONE, spare]});
    let (status, reply) = scene.ask("POST", "pools/batch-delete", pools).await;
    let expected = json!([
        {"id": pool, "ret_status": "failed", "ret_code": "ELB.8907"},
        {"id": NONE, "ret_status": "not found", "ret_code": "ELB.8904"},
        {"id": spare, "ret_status": "successful"},
    ]);
    assert_eq!((status, &reply["pools"]), (200, &expected));
    assert_eq!(scene.counts(), [1, 1, 1, 1, 0]);
}
