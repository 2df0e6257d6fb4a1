//! Whatever is asked for in whatever order: nothing refers to what is not there, and all of it can be served.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Scene;
use crate::source::store::DocumentKind::{
    self, HealthMonitor, IpGroup, Listener, LoadBalancer, Member, Pool,
};
use crate::source::store::dangling;

/// One request: which, and which of the resources that there are it is for.
type Step = (u8, usize, usize);

/// The request of a step: method, path, body.
#[expect(clippy::too_many_lines, reason = "a table of requests")]
fn request(scene: &Scene, (which, a, b): Step) -> (&'static str, String, Value) {
    let documents = scene.store.read();
    let of = |kind: DocumentKind, n: usize| {
        let all: Vec<String> = documents.of(kind).map(|one| one.id.to_string()).collect();
        all.get(n % all.len().max(1)).cloned().unwrap_or_else(|| "none".to_owned())
    };
    let (lb, listener, pool) = (of(LoadBalancer, a), of(Listener, a), of(Pool, a));
    let (other_lb, other_pool) = (of(LoadBalancer, b), of(Pool, b));
    let address = |n: usize| format!("10.0.0.{}", n % 4 + 1);
    let vip = format!("192.0.2.{}", a % 5 + 1);
    let monitor = json!({"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2});
    let with = |mut value: Value, key: &str, more: Value| {
        value[key] = more;
        value
    };
    match which {
        0 => (
            "POST",
            "loadbalancers".into(),
            json!({"loadbalancer": {"vip_address": vip, "availability_zone_list": []}}),
        ),
        1 => (
            "POST",
            "listeners".into(),
            json!({"listener": {"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80 + b % 2}}),
        ),
        2 => (
            "POST",
            "pools".into(),
            json!({"pool": {"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}),
        ),
        3 => (
            "POST",
            "pools".into(),
            json!({"pool": {"loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}),
        ),
        4 => (
            "POST",
            format!("pools/{pool}/members/batch-add"),
            json!({"members": [{"address": address(a), "protocol_port": 80}, {"address": address(b), "protocol_port": 80}]}),
        ),
        5 => (
            "POST",
            "healthmonitors".into(),
            json!({"healthmonitor": with(monitor, "pool_id", pool.into())}),
        ),
        6 => (
            "POST",
            "master-slave-pools".into(),
            json!({"pool": {
            "listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "ip",
            "members": [{"address": address(a), "protocol_port": 80, "role": "master"}, {"address": address(b), "protocol_port": 80, "role": "slave"}],
            "healthmonitor": monitor}}),
        ),
        7 => (
            "POST",
            format!("listeners/{listener}/clone"),
            json!({"target_listener_params": [{"loadbalancer_id": other_lb, "reuse_pool": a % 2 == 0}]}),
        ),
        8 => (
            "POST",
            format!("loadbalancers/{lb}/clone"),
            json!({"target_loadbalancer_param": {"vip_address": format!("192.0.2.{}", b % 5 + 10), "reuse_pool": a % 2 == 0}}),
        ),
        9 => (
            "PUT",
            format!("listeners/{listener}"),
            json!({"listener": {"default_pool_id": other_pool}}),
        ),
        10 => (
            "PUT",
            format!("pools/{pool}"),
            json!({"pool": {"member_deletion_protection_enable": b % 3 == 0}}),
        ),
        11 => ("DELETE", format!("listeners/{listener}/force"), Value::Null),
        12 => ("DELETE", format!("pools/{pool}/delete-cascade"), Value::Null),
        13 => ("DELETE", format!("loadbalancers/{lb}/force-elb"), Value::Null),
        14 => (
            "POST",
            format!("loadbalancers/{lb}/delete-cascade"),
            json!({"loadbalancer": {"unbounded_pool": b % 2 == 0}}),
        ),
        15 => (
            "POST",
            "loadbalancers/batch-delete".into(),
            json!({"loadbalancer_ids": [lb, other_lb], "unbounded_pool": b % 2 == 0}),
        ),
        16 => ("POST", "pools/batch-delete".into(), json!({"pools": [pool, other_pool]})),
        17 => (
            "POST",
            format!("pools/{pool}/members/batch-delete"),
            json!({"members": [{"address": address(b), "protocol_port": 80}]}),
        ),
        18 => ("DELETE", format!("master-slave-pools/{pool}"), Value::Null),
        19 => (
            "PUT",
            format!("loadbalancers/{lb}"),
            json!({"loadbalancer": {"admin_state_up": b % 2 == 0, "name": format!("lb-{}", b % 3)}}),
        ),
        20 => {
            ("PUT", format!("pools/{pool}"), json!({"pool": {"name": format!("pool-{}", b % 3)}}))
        }
        21 => (
            "POST",
            format!("pools/{pool}/members/batch-update"),
            json!({"members": [{"id": of(Member, a), "weight": b % 3}]}),
        ),
        22 => (
            "PUT",
            format!("healthmonitors/{}", of(HealthMonitor, a)),
            json!({"healthmonitor": {"delay": 5 + b % 3, "type": if b % 2 == 0 { "TCP" } else { "HTTP" }}}),
        ),
        23 => (
            "POST",
            "ipgroups".into(),
            json!({"ipgroup": {"name": format!("g-{}", a % 3), "ip_list": [{"ip": address(b)}]}}),
        ),
        24 => (
            "PUT",
            format!("listeners/{listener}"),
            json!({"listener": {"ipgroup": {"ipgroup_id": of(IpGroup, b), "type": "white"}}}),
        ),
        25 => ("DELETE", format!("ipgroups/{}", of(IpGroup, a)), Value::Null),
        26 => ("DELETE", format!("healthmonitors/{}", of(HealthMonitor, a)), Value::Null),
        _ => ("POST", "listeners/batch-delete".into(), json!({"listener_ids": [listener]})),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nothing_refers_to_what_is_gone(steps in prop::collection::vec((0_u8..28, 0_usize..30, 0_usize..30), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let scene = Scene::new();
            // Something to begin with. Ids are random, so the last listener may be of either load balancer.
            let mut done = 0;
            let begin = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (4, 0, 1), (0, 1, 0), (1, 1, 1)];
            for step in begin.into_iter().chain(steps) {
                let (method, path, body) = request(&scene, step);
                let before = scene.store.read().clone();
                let (status, reply) = scene.ask(method, &path, body.clone()).await;
                prop_assert!(status < 500, "{} {} {}: {}", method, path, body, reply);
                done += usize::from(status < 300);
                if status >= 400 {
                    prop_assert_eq!(&*scene.store.read(), &before, "{} {}: {}", method, path, reply);
                }
                prop_assert_eq!(dangling(&scene.store.read()), Vec::<String>::new(), "{} {} {}", method, path, body);
            }
            prop_assert!(done >= begin.len(), "what there is to begin with is made");
            let served = scene.store.write(|transaction| transaction.check()).await.unwrap();
            prop_assert_eq!(served, Ok(()));
            Ok(())
        })?;
    }
}
