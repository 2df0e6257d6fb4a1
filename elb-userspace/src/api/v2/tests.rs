//! Version 2 as its clients meet it, on the store of V3.

mod certificates;
mod changes;
mod subnets;

use std::net::IpAddr;

use axum::Extension;
use axum::body::Body as HttpBody;
use axum::http::Request;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::router;
use crate::api::tcp::Peer;
use crate::api::v3::tests::{PROJECT, Scene};
use crate::health::OperatingStatus;
use crate::source::store::Reached;

impl Scene {
    /// What version 2 answers.
    async fn v2(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.v2_as(&self.token, method, path, body).await
    }

    async fn v2_as(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let peer = Extension(Peer::of(IpAddr::from([127, 0, 0, 1])));
        let service = router(self.server.clone()).layer(peer);
        let mut request = Request::builder().method(method).uri(path).header("host", "h:1");
        if !token.is_empty() {
            request = request.header("x-auth-token", token);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(HttpBody::from(body)).unwrap();
        let response = TowerToHyperService::new(service).call(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        (status, body)
    }

    /// Makes a resource, and returns it.
    async fn v2_make(&self, path: &str, key: &str, body: Value) -> Value {
        let (status, reply) = self.v2("POST", path, json!({key: body})).await;
        assert_eq!(status, 201, "{reply}");
        reply[key].clone()
    }

    async fn v2_refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, reply) = self.v2(method, path, body).await;
        let text = reply["faultstring"].as_str().unwrap_or_else(|| panic!("{status} {reply}"));
        assert_eq!(reply["NeutronError"]["message"], text);
        (status, text.to_owned())
    }
}

/// A service that is made by version 2: the ids of its parts.
async fn service(scene: &Scene) -> [String; 5] {
    let lb = json!({
        "name": "web", "vip_address": "192.0.2.10", "admin_state_up": true, "tags": ["env=prod"],
    });
    let lb = id(&scene.v2_make("/v2.0/lbaas/loadbalancers", "loadbalancer", lb).await);
    let listener = json!({
        "loadbalancer_id": lb, "protocol": "UDP", "protocol_port": 53,
    });
    let listener = id(&scene.v2_make("/v2.0/lbaas/listeners", "listener", listener).await);
    let pool = json!({
        "listener_id": listener, "protocol": "UDP", "lb_algorithm": "SOURCE_IP_PORT", "name": "p",
    });
    let pool = id(&scene.v2_make("/v2.0/lbaas/pools", "pool", pool).await);
    let member = json!({"address": "10.0.0.1", "protocol_port": 53, "name": "m", "backup": false});
    let members = format!("/v2.0/lbaas/pools/{pool}/members");
    let member = id(&scene.v2_make(&members, "member", member).await);
    let monitor = json!({
        "pool_id": pool, "type": "UDP-CONNECT", "delay": 5, "timeout": 3, "max_retries": 2,
    });
    let monitor = id(&scene.v2_make("/v2.0/lbaas/healthmonitors", "healthmonitor", monitor).await);
    [lb, listener, pool, member, monitor]
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_one_version_makes_the_other_has() {
    let scene = Scene::new();
    let [lb, listener, pool, member, monitor] = service(&scene).await;
    let v3 =
        async |path: String, key: &str| scene.ask("GET", &path, Value::Null).await.1[key].clone();
    let shown = v3(format!("loadbalancers/{lb}"), "loadbalancer").await;
    assert_eq!(shown["tags"], json!([{"key": "env", "value": "prod"}]));
    let shown = v3(format!("listeners/{listener}"), "listener").await;
    assert_eq!(shown["default_pool_id"], pool);
    let limited = json!({
        "loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80, "connection_limit": "100",
    });
    let limited = id(&scene.v2_make("/v2.0/lbaas/listeners", "listener", limited).await);
    assert_eq!(v3(format!("listeners/{limited}"), "listener").await["connection"], 100);
    let shown = v3(format!("pools/{pool}"), "pool").await;
    assert_eq!(shown["lb_algorithm"], "5_TUPLE_HASH");
    let shown = v3(format!("healthmonitors/{monitor}"), "healthmonitor").await;
    assert_eq!(shown["type"], "UDP_CONNECT");
    let group = json!({"ipgroup": {"ip_list": [{"ip": "10.0.0.0/8"}]}});
    let (_, group) = scene.ask("POST", "ipgroups", group).await;
    let group = json!({"listener": {"ipgroup": {"ipgroup_id": group["ipgroup"]["id"]}}});
    assert_eq!(scene.ask("PUT", &format!("listeners/{limited}"), group).await.0, 200);
    let path = format!("/v2.0/lbaas/listeners/{limited}");
    let (_, shown) = scene.v2("GET", &path, Value::Null).await;
    assert_eq!(shown["listener"]["allowed_cidrs"], json!(["10.0.0.0/8"]));

    // And the other way round, in both dialects.
    let change = json!({"member": {"weight": 0}});
    let path = format!("pools/{pool}/members/{member}");
    assert_eq!(scene.ask("PUT", &path, change).await.0, 200);
    scene.store.reach(Reached { applied: u64::MAX, refused: None });
    scene.members_are(&[(member.parse().unwrap(), OperatingStatus::Online)]);
    for (prefix, status, kind) in [
        ("/v2.0/lbaas".to_owned(), "DRAINING", "UDP-CONNECT"),
        ("/v2/lbaas".to_owned(), "DRAINING", "UDP-CONNECT"),
        (format!("/v2/{PROJECT}/elb"), "ONLINE", "UDP_CONNECT"),
    ] {
        let (code, shown) = scene.v2("GET", &format!("{prefix}/{path}"), Value::Null).await;
        let shown = &shown["member"];
        assert_eq!(
            (code, &shown["weight"], &shown["operating_status"]),
            (200, &json!(0), &json!(status))
        );
        assert_eq!(shown["provisioning_status"], "ACTIVE");
        let (_, shown) =
            scene.v2("GET", &format!("{prefix}/healthmonitors/{monitor}"), Value::Null).await;
        assert_eq!(shown["healthmonitor"]["type"], kind);
    }
    let (_, all) = scene.v2("GET", "/v2.0/lbaas/members?address=10.0.0.1", Value::Null).await;
    assert_eq!(all["members"][0]["pool_id"], pool);
}

#[tokio::test]
async fn a_service_is_changed_and_taken_apart_in_order() {
    let scene = Scene::new();
    let [lb, listener, pool, member, monitor] = service(&scene).await;
    let at = |rest: String| format!("/v2.0/lbaas/{rest}");
    let change = json!({"loadbalancer": {"description": "d", "tags": ["a", "b=c"]}});
    let (status, shown) = scene.v2("PUT", &at(format!("loadbalancers/{lb}")), change).await;
    let shown = &shown["loadbalancer"];
    assert_eq!(
        (status, &shown["tags"], &shown["description"]),
        (200, &json!(["a", "b=c"]), &json!("d"))
    );
    let change = json!({"loadbalancer": {"tags": []}});
    let (_, shown) = scene.v2("PUT", &at(format!("loadbalancers/{lb}")), change).await;
    assert_eq!(shown["loadbalancer"]["tags"], json!([]));

    let member_path = format!("pools/{pool}/members/{member}");
    for path in
        [format!("loadbalancers/{lb}"), format!("listeners/{listener}"), format!("pools/{pool}")]
    {
        let (status, said) = scene.v2_refused("DELETE", &at(path), Value::Null).await;
        assert_eq!(status, 409, "{said}");
        assert!(said.contains("delete it"), "{said}");
    }
    let (status, tree) =
        scene.v2("GET", &at(format!("loadbalancers/{lb}/status")), Value::Null).await;
    let pools = &tree["statuses"]["loadbalancer"]["listeners"][0]["pools"];
    assert_eq!((status, &pools[0]["members"][0]["id"]), (200, &json!(member)));
    assert_eq!(pools[0]["health_monitor"]["type"], "UDP-CONNECT");
    for path in [
        member_path,
        format!("healthmonitors/{monitor}"),
        format!("listeners/{listener}"),
        format!("pools/{pool}"),
        format!("loadbalancers/{lb}"),
    ] {
        assert_eq!(scene.v2("DELETE", &at(path.clone()), Value::Null).await, (204, Value::Null));
        assert_eq!(scene.v2_refused("GET", &at(path), Value::Null).await.0, 404);
    }
    let [lb, ..] = service(&scene).await;
    let path = at(format!("loadbalancers/{lb}?cascade=True"));
    assert_eq!(scene.v2("DELETE", &path, Value::Null).await.0, 204);
    let (_, all) = scene.v2("GET", "/v2.0/lbaas/pools", Value::Null).await;
    assert_eq!(all, json!({"pools": []}));
}

#[tokio::test]
async fn what_is_not_to_be_had_is_refused_by_name() {
    let scene = Scene::new();
    let [lb, listener, pool, ..] = service(&scene).await;
    let misspelt = json!({"pool": {"protcol": "TCP"}});
    let without_address = json!({"loadbalancer": {"vip_subnet_id": lb}});
    let wrong_address = json!({"loadbalancer": {"vip_address": "x"}});
    let ping = json!({"healthmonitor": {
        "pool_id": pool, "type": "PING", "delay": 1, "timeout": 1, "max_retries": 1,
    }});
    let networks = json!({"listener": {"allowed_cidrs": ["::/0"]}});
    let lbs = || "loadbalancers".to_owned();
    for (method, path, body, code, part) in [
        ("POST", "pools".to_owned(), misspelt, 400, "'protcol', use of"),
        ("POST", "pools".to_owned(), json!({}), 400, "no object \"pool\""),
        ("POST", lbs(), without_address, 501, "from vip_subnet_id: set vip_address"),
        ("POST", lbs(), wrong_address, 400, "vip_address \"x\" is no IPv4 address"),
        ("POST", "healthmonitors".to_owned(), ping, 400, "UDP-CONNECT"),
        ("PUT", format!("listeners/{listener}"), networks, 501, "IP group"),
        ("GET", format!("loadbalancers/{lb}/stats"), Value::Null, 501, "elb status"),
        ("PUT", format!("loadbalancers/{lb}/failover"), Value::Null, 501, "failover"),
        ("POST", "l7policies".to_owned(), json!({}), 501, "HTTP"),
        ("GET", "loadbalancers?nmae=x".to_owned(), Value::Null, 400, "'nmae', use of"),
        ("GET", "nothing".to_owned(), Value::Null, 404, "has no nothing"),
        ("PUT", "quotas/x".to_owned(), json!({}), 501, "sizes of this host's maps"),
        ("PATCH", "pools".to_owned(), json!({}), 501, "PATCH is not supported"),
        ("GET", "loadbalancers/x".to_owned(), Value::Null, 404, "x could not be found"),
        ("GET", format!("pools/{lb}/members"), Value::Null, 404, "could not be found"),
    ] {
        let (status, said) = scene.v2_refused(method, &format!("/v2.0/lbaas/{path}"), body).await;
        assert_eq!(status, code, "{method} {path}: {said}");
        assert!(said.contains(part), "{method} {path}: {said}");
    }
}

#[tokio::test]
async fn the_cloud_s_sdk_reads_errors_of_v3() {
    let scene = Scene::new();
    let (status, said) = scene.v2("GET", &format!("/v2/{PROJECT}/elb/pools/x"), Value::Null).await;
    assert_eq!((status, &said["error_code"]), (404, &json!("ELB.8904")), "{said}");
    let (status, _) = scene.v2("GET", "/v2/other/elb/pools", Value::Null).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn who_asks_sees_and_changes_what_their_key_may() {
    let scene = Scene::new();
    let [lb, ..] = service(&scene).await;
    let path = format!("/v2.0/lbaas/loadbalancers/{lb}");
    for (token, method, code) in [
        (&*scene.read_only, "GET", 200),
        (&*scene.read_only, "DELETE", 403),
        (&*scene.other, "GET", 404),
        (&*scene.other, "DELETE", 404),
        ("wrong", "GET", 401),
        ("", "GET", 401),
    ] {
        let (status, said) = scene.v2_as(token, method, &path, Value::Null).await;
        assert_eq!(status, code, "{said}");
        assert!(code == 200 || said["faultstring"].is_string(), "{said}");
    }
    let (_, all) = scene.v2_as(&scene.other, "GET", "/v2.0/lbaas/loadbalancers", Value::Null).await;
    assert_eq!(all, json!({"loadbalancers": []}));
    // It is the key that is refused, whatever the body has.
    for (method, path) in [
        ("POST", "/v2.0/lbaas/pools".to_owned()),
        ("PUT", path),
        ("PUT", format!("/v2.0/{PROJECT}/loadbalancers/{lb}/tags")),
        ("DELETE", "/v2.0/lbaas/quotas/x".to_owned()),
    ] {
        let (status, said) = scene.v2_as(&scene.read_only, method, &path, json!({"x": 1})).await;
        assert_eq!(status, 403, "{method} {path}: {said}");
    }
    // Versions are found without a key, and say nothing of anyone.
    let (status, all) = scene.v2_as("", "GET", "/", Value::Null).await;
    assert_eq!((status, &all["versions"][0]["links"][0]["href"]), (200, &json!("http://h:1/v2.0")));
    let (status, one) = scene.v2_as("", "GET", "/v2", Value::Null).await;
    assert_eq!((status, &one["version"]["id"]), (200, &json!("v2.0")));
}

#[tokio::test]
async fn what_clients_ask_for_besides_resources_is_there() {
    let scene = Scene::new();
    let [lb, ..] = service(&scene).await;
    let get = async |path: &str| {
        let (status, reply) = scene.v2("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {reply}");
        reply
    };
    assert_eq!(get("/v2.0/lbaas/providers").await["providers"][0]["name"], "vlb");
    assert_eq!(get("/v2.0/lbaas/flavors?name=host").await["flavors"][0]["enabled"], true);
    assert_eq!(
        get("/v2.0/lbaas/availabilityzones/host").await["availability_zone"]["name"],
        "host"
    );
    assert_eq!(get("/v2.0/lbaas/l7policies").await["l7policies"], json!([]));
    assert_eq!(get("/v2.0/lbaas/l7policies?name=x").await["l7policies"], json!([]));
    assert_eq!(get("/v2.0/octavia/amphorae").await["amphorae"], json!([]));
    assert_eq!(get("/v2.0/lbaas/quotas/defaults").await["quota"]["listener"], 100);
    assert_eq!(get("/v2.0/lbaas/quotas").await["quotas"][0]["project_id"], PROJECT);
    // A name of a subnet has an id, which is its own.
    let subnet = get("/v2.0/subnets?name=front").await["subnets"][0].clone();
    let again = get(&format!("/v2.0/subnets/{}", id(&subnet))).await;
    assert_eq!(again["subnet"]["id"], subnet["id"]);
    let with_subnet = json!({"vip_address": "192.0.2.11", "vip_subnet_id": subnet["id"]});
    scene.v2_make("/v2.0/lbaas/loadbalancers", "loadbalancer", with_subnet).await;
    // Tags of the cloud's version 2.
    let tags = format!("/v2.0/{PROJECT}/loadbalancers/{lb}/tags");
    let (status, _) = scene.v2("POST", &tags, json!({"tag": {"key": "k", "value": "v"}})).await;
    assert_eq!(status, 204);
    assert_eq!(get(&tags).await["tags"].as_array().unwrap().len(), 2);
    assert_eq!(scene.v2("DELETE", &format!("{tags}/k"), Value::Null).await.0, 204);
    assert_eq!(get(&tags).await["tags"][0]["key"], "env");
}

/// Tags are changed by requests of their own: what they may not be is said before anything else is done.
#[tokio::test]
async fn a_change_with_wrong_tags_changes_nothing() {
    let scene = Scene::new();
    let [lb, ..] = service(&scene).await;
    let path = format!("/v2.0/lbaas/loadbalancers/{lb}");
    for tags in [json!(["a=1", "a=2"]), json!(["k".repeat(37)]), json!([""]), json!("env")] {
        let body = json!({"loadbalancer": {"name": "other", "tags": tags}});
        let (status, said) = scene.v2_refused("PUT", &path, body).await;
        assert_eq!(status, 400, "{said}");
    }
    let (_, all) = scene.v2("GET", &path, Value::Null).await;
    let found = &all["loadbalancer"];
    assert_eq!((&found["name"], &found["tags"]), (&json!("web"), &json!(["env=prod"])));
}

/// Ids are those of resources in whatever letters; encoded, they are none.
#[tokio::test]
async fn ids_are_found_in_upper_case() {
    let scene = Scene::new();
    let [lb, listener, pool, ..] = service(&scene).await;
    let upper = lb.to_uppercase();
    let path = format!("/v2.0/lbaas/listeners?loadbalancer_id={upper}");
    let (_, found) = scene.v2("GET", &path, Value::Null).await;
    assert_eq!(found["listeners"][0]["id"], json!(listener));
    let path = format!("/v2.0/lbaas/loadbalancers?limit=1&marker={upper}");
    let (status, found) = scene.v2("GET", &path, Value::Null).await;
    assert_eq!((status, &found["loadbalancers"]), (200, &json!([])));
    let encoded = format!("%{:02x}{}", pool.as_bytes()[0], &pool[1..]);
    let before = scene.store.read().revision;
    let member = json!({"member": {"address": "10.0.0.9", "protocol_port": 53}});
    let path = format!("/v2.0/lbaas/pools/{encoded}/members");
    let (status, said) = scene.v2_refused("POST", &path, member).await;
    assert_eq!((status, scene.store.read().revision), (404, before), "{said}");
}
