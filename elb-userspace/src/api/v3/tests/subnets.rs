//! Load balancers get their addresses from subnets of the host, each its own.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Scene;

const FRONT: &str = "5e0b6a0e-0000-4000-8000-000000000001";
const SIX: &str = "5e0b6a0e-0000-4000-8000-000000000002";
const NONE: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

/// Four addresses of IPv4, and as many of IPv6.
fn scene() -> Scene {
    Scene::with(&format!(
        "[[api.subnet]]\nid = \"{FRONT}\"\nname = \"front\"\ncidr = \"192.0.2.0/24\"\n\
         first = \"192.0.2.10\"\nlast = \"192.0.2.14\"\nexclude = [\"192.0.2.11\"]\n\
         [[api.subnet]]\nid = \"{SIX}\"\ncidr = \"2001:db8::/125\"\nlast = \"2001:db8::4\"\n"
    ))
}

fn lb(more: Value) -> Value {
    let mut body = json!({"availability_zone_list": []});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    body
}

impl Scene {
    async fn balancer(&self, more: Value) -> Value {
        let id = self.make("loadbalancers", "loadbalancer", lb(more)).await;
        self.ask("GET", &format!("loadbalancers/{id}"), Value::Null).await.1["loadbalancer"].clone()
    }

    async fn is_refused(&self, more: Value, (status, code): (u16, &str), words: &str) {
        let body = json!({"loadbalancer": lb(more)});
        let found = self.refused("POST", "loadbalancers", body).await;
        assert_eq!((found.0, &*found.1), (status, code), "{}", found.2);
        assert!(found.2.contains(words), "{}", found.2);
    }
}

#[tokio::test]
async fn each_gets_the_lowest_free_address_until_there_is_none() {
    let scene = scene();
    // Asked for, and a member's.
    let mine = json!({"vip_subnet_cidr_id": FRONT, "vip_address": "192.0.2.12"});
    assert_eq!(scene.balancer(mine).await["vip_address"], "192.0.2.12");
    let pool = json!({"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "ip"});
    let pool = scene.make("pools", "pool", pool).await;
    let member = json!({"address": "192.0.2.13", "protocol_port": 80});
    scene.make(&format!("pools/{pool}/members"), "member", member).await;
    let first = scene.balancer(json!({"vip_subnet_cidr_id": FRONT})).await;
    assert_eq!(
        (&first["vip_address"], &first["vip_subnet_cidr_id"]),
        (&json!("192.0.2.10"), &json!(FRONT))
    );
    let upper = scene.balancer(json!({"vip_subnet_cidr_id": FRONT.to_uppercase()})).await;
    assert_eq!(
        (&upper["vip_address"], &upper["vip_subnet_cidr_id"]),
        (&json!("192.0.2.14"), &json!(FRONT))
    );
    let full = (400, "ELB.8950");
    scene
        .is_refused(
            json!({"vip_subnet_cidr_id": FRONT}),
            full,
            "front: no address of 192.0.2.0/24 is free",
        )
        .await;
    let path = format!("loadbalancers/{}", first["id"].as_str().unwrap());
    assert_eq!(scene.ask("DELETE", &path, Value::Null).await.0, 204);
    let both = json!({"vip_subnet_cidr_id": FRONT, "ipv6_vip_virsubnet_id": SIX});
    let both = scene.balancer(both).await;
    assert_eq!(
        (&both["vip_address"], &both["ipv6_vip_address"]),
        (&json!("192.0.2.10"), &json!("2001:db8::1"))
    );
}

#[tokio::test]
async fn an_address_is_of_the_subnet_that_is_named_with_it() {
    let scene = scene();
    let given = |address: &str| json!({"vip_subnet_cidr_id": FRONT, "vip_address": address});
    let wrong = (400, "ELB.8902");
    for address in ["192.0.3.10", "192.0.2.11", "192.0.2.0"] {
        scene.is_refused(given(address), wrong, "of subnet front (192.0.2.0/24)").await;
    }
    scene.is_refused(json!({"vip_subnet_cidr_id": SIX}), wrong, "is of 2001:db8::/125").await;
    let unknown = json!({"vip_subnet_cidr_id": NONE, "vip_address": "192.0.2.10"});
    scene
        .is_refused(
            unknown,
            (404, "ELB.8904"),
            &format!("vip_subnet_cidr_id {NONE} could not be found: this host has front"),
        )
        .await;
    // One that is not given may be asked for.
    assert_eq!(scene.balancer(given("192.0.2.99")).await["vip_address"], "192.0.2.99");
    scene.is_refused(given("192.0.2.99"), (409, "ELB.8907"), "is that of loadbalancer").await;
    assert_eq!(scene.store.read().revision, 1, "nothing else was made");
}

#[tokio::test]
async fn a_change_of_subnet_is_a_change_of_address() {
    let scene = scene();
    let lb = scene.balancer(json!({"vip_address": "198.51.100.1"})).await;
    let path = format!("loadbalancers/{}", lb["id"].as_str().unwrap());
    let change = async |body: Value| scene.ask("PUT", &path, json!({"loadbalancer": body})).await;
    let (status, now) = change(json!({"vip_subnet_cidr_id": FRONT})).await;
    assert_eq!((status, &now["loadbalancer"]["vip_address"]), (200, &json!("192.0.2.10")));
    // It stays where it is.
    let (_, now) = change(json!({"vip_subnet_cidr_id": FRONT, "name": "x"})).await;
    assert_eq!(now["loadbalancer"]["vip_address"], "192.0.2.10");
    let (status, now) = change(json!({"vip_address": null})).await;
    assert_eq!((status, &now["error_code"]), (400, &json!("ELB.8902")), "{now}");
    let (status, now) = change(json!({"vip_address": null, "vip_subnet_cidr_id": null})).await;
    assert_eq!((status, &now["loadbalancer"]["vip_address"]), (200, &Value::Null));
}

/// Several at once and copies get addresses as well.
#[tokio::test]
async fn whatever_makes_a_load_balancer_gives_it_an_address_of_its_own() {
    let scene = scene();
    let body = json!({"loadbalancer": lb(json!({"vip_subnet_cidr_id": FRONT, "number": 2}))});
    let (status, made) = scene.ask("POST", "loadbalancers/batch-create", body).await;
    assert_eq!(status, 202, "{made}");
    let source = made["loadbalancer_ids"][0].as_str().unwrap();
    let target = json!({"target_loadbalancer_param": {"vip_subnet_cidr_id": FRONT}});
    let (status, made) = scene.ask("POST", &format!("loadbalancers/{source}/clone"), target).await;
    assert_eq!(status, 202, "{made}");
    let (_, all) = scene.ask("GET", "loadbalancers", Value::Null).await;
    let all = all["loadbalancers"].as_array().unwrap();
    let addresses: BTreeSet<_> = all.iter().map(|lb| lb["vip_address"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["192.0.2.10", "192.0.2.12", "192.0.2.13"].into());
}
