//! Tags, quotas, statuses, topology, and what is fixed on a host of one's own.

use serde_json::{Value, json};

use super::{PROJECT, Scene};
use crate::api::v3::resources::FLAVOR;
use crate::health::OperatingStatus;
use crate::source::store::Reached;

impl Scene {
    /// What a path has that is not of the service's own.
    async fn tags(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/v3/{PROJECT}/{path}");
        let (status, reply) = self.raw(&self.token, method, &path, &body).await;
        (status.as_u16(), reply)
    }

    async fn shown(&self, path: &str) -> Value {
        let (status, reply) = self.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {reply}");
        reply
    }
}

#[tokio::test]
async fn tags_are_added_overwritten_listed_and_taken_away() {
    let scene = Scene::new();
    let [lb, listener, ..] = scene.service().await;
    for (kind, id) in [("loadbalancers", &lb), ("listeners", &listener)] {
        let action = format!("{kind}/{id}/tags/action");
        let add = json!({"action": "create", "tags": [
            {"key": "env", "value": "test"}, {"key": "team", "value": "a"}]});
        assert_eq!(scene.tags("POST", &action, add).await, (204, Value::Null));
        let again = json!({"action": "create", "tags": [{"key": "env", "value": "live"}]});
        assert_eq!(scene.tags("POST", &action, again).await.0, 204);
        let (_, shown) = scene.tags("GET", &format!("{kind}/{id}/tags"), Value::Null).await;
        let live = json!({"key": "env", "value": "live"});
        assert_eq!(shown["tags"], json!([live, {"key": "team", "value": "a"}]));
        let (_, all) = scene.tags("GET", &format!("{kind}/tags"), Value::Null).await;
        let expected =
            json!([{"key": "env", "values": ["live"]}, {"key": "team", "values": ["a"]}]);
        assert_eq!(all["tags"], expected);
        let gone = json!({"action": "delete", "tags": [{"key": "team", "value": ""}]});
        assert_eq!(scene.tags("POST", &action, gone).await.0, 204);
        let (_, shown) = scene.ask("GET", &format!("{kind}/{id}"), Value::Null).await;
        assert_eq!(shown[kind.trim_end_matches('s')]["tags"], json!([live]));
    }
}

#[tokio::test]
async fn tags_have_limits_and_projects() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    let action = format!("loadbalancers/{lb}/tags/action");
    let of = |keys: Vec<String>| {
        let tags: Value = keys.iter().map(|key| json!({"key": key, "value": "v"})).collect();
        json!({"action": "create", "tags": tags})
    };
    let many = |from: u32, to: u32| of((from..to).map(|n| n.to_string()).collect());
    assert_eq!(scene.tags("POST", &action, many(0, 20)).await.0, 204);
    let (status, reply) = scene.tags("POST", &action, many(19, 21)).await;
    assert_eq!((status, &reply["error_code"]), (409, &json!("ELB.8905")), "a 21st: {reply}");
    for wrong in
        [of(vec!["a".into(), "a".into()]), of(vec!["k".repeat(37)]), of(vec![String::new()])]
    {
        let (status, reply) = scene.tags("POST", &action, wrong).await;
        assert_eq!((status, &reply["error_code"]), (400, &json!("ELB.8902")), "{reply}");
    }
    let wrong = json!({"action": "replace", "tags": []});
    assert_eq!(scene.tags("POST", &action, wrong).await.0, 400);
    let theirs = format!("/v3/{}/{action}", PROJECT.replace('0', "9"));
    let (status, _) =
        scene.raw(&scene.other, "POST", &theirs, &of(vec!["a".into()]).to_string()).await;
    assert_eq!(status, 404);
    let own = format!("/v3/{PROJECT}/{action}");
    let (_, reply) = scene.raw(&scene.read_only, "POST", &own, &many(0, 1).to_string()).await;
    assert_eq!(reply["error_code"], "SYS.0403");
}

#[tokio::test]
async fn quotas_are_shown_with_what_is_used_and_hold() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    let quota = scene.shown("quotas").await["quota"].clone();
    let expected =
        [("listener", 100), ("member", 1000), ("members_per_pool", 500), ("ipgroup", 50)];
    for (key, limit) in expected {
        assert_eq!(quota[key], limit, "{quota}");
    }
    assert_eq!((&quota["project_id"], &quota["listeners_per_pool"]), (&json!(PROJECT), &json!(-1)));
    let details = scene.shown("quotas/details?quota_key=member&quota_key=pool").await;
    let member = json!({"quota_key": "member", "quota_limit": 1000, "used": 1, "unit": "count"});
    assert!(details["quotas"].as_array().unwrap().contains(&member), "{details}");
    assert_eq!(details["quotas"].as_array().unwrap().len(), 2);
    assert_eq!(scene.shown("quotas/details").await["quotas"].as_array().unwrap().len(), 20);
    assert_eq!(scene.refused("GET", "quotas/details?quota_key=x", Value::Null).await.0, 400);
    // The 51st listener of a load balancer.
    for port in 81..130 {
        let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": port});
        scene.make("listeners", "listener", listener).await;
    }
    let one_more =
        json!({"listener": {"loadbalancer_id": lb, "protocol": "UDP", "protocol_port": 9}});
    assert_eq!(scene.refused("POST", "listeners", one_more).await.1, "ELB.8905");
    // The 101st listener of this host.
    let other = json!({"vip_address": "192.0.2.11", "availability_zone_list": []});
    let other = scene.make("loadbalancers", "loadbalancer", other).await;
    for port in 1..=50 {
        let listener = json!({"loadbalancer_id": other, "protocol": "TCP", "protocol_port": port});
        scene.make("listeners", "listener", listener).await;
    }
    let third = json!({"vip_address": "192.0.2.12", "availability_zone_list": []});
    let third = scene.make("loadbalancers", "loadbalancer", third).await;
    let listener =
        json!({"listener": {"loadbalancer_id": third, "protocol": "TCP", "protocol_port": 1}});
    let (status, code, message) = scene.refused("POST", "listeners", listener).await;
    assert_eq!((status, &*code), (409, "ELB.8905"), "{message}");
}

#[tokio::test]
async fn flavors_zones_features_and_addresses_are_those_of_one_host() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    let flavors = scene.shown("flavors?type=L4_elastic_max&limit=10").await;
    assert_eq!(
        (&flavors["flavors"][0]["id"], &flavors["flavors"][1]),
        (&json!(FLAVOR), &Value::Null)
    );
    assert_eq!(flavors["flavors"][0]["info"]["connection"], 1 << 20);
    let small = scene.shown("flavors?name=L4_flavor.elb.s1.small").await["flavors"].clone();
    assert_eq!(small[0]["info"], json!({"connection": 500_000, "cps": 10_000}), "{small}");
    assert_eq!(scene.shown("flavors?type=L4").await["flavors"].as_array().unwrap().len(), 2);
    let small = small[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(scene.shown(&format!("flavors/{small}")).await["flavor"]["type"], "L4");
    let change = json!({"loadbalancer": {"l4_flavor_id": small}});
    let (_, shown) = scene.ask("PUT", &format!("loadbalancers/{lb}"), change).await;
    assert_eq!(shown["loadbalancer"]["l4_flavor_id"], *small);
    assert_eq!(scene.shown("flavors?type=L7").await["flavors"], json!([]));
    assert_eq!(scene.shown(&format!("flavors/{FLAVOR}")).await["flavor"]["type"], "L4_elastic_max");
    assert_eq!(scene.refused("GET", "flavors/x", Value::Null).await.1, "ELB.8904");
    let named =
        json!({"vip_address": "192.0.2.11", "availability_zone_list": [], "l4_flavor_id": FLAVOR});
    let named = scene.make("loadbalancers", "loadbalancer", named).await;
    let shown = scene.shown(&format!("loadbalancers/{named}")).await;
    assert_eq!(shown["loadbalancer"]["l4_flavor_id"], FLAVOR);
    let zones = scene.shown(&format!("availability-zones?loadbalancer_id={lb}")).await;
    assert_eq!(zones["availability_zones"][0][0]["state"], "ACTIVE");
    let configs = scene.shown("feature/configs?feature=udp_listener").await;
    assert_eq!(
        (&configs["configs"][0]["value"], &configs["configs"][1]),
        (&json!("true"), &Value::Null)
    );
    let features = scene.shown(&format!("loadbalancers/{lb}/features")).await;
    assert!(features["features"].as_array().unwrap().len() > 5);
    assert_eq!(scene.shown(&format!("loadbalancers/{lb}/local-ports")).await["ports"], json!([]));
    assert_eq!(scene.shown("preoccupy-ip-num?ip_version=4").await["preoccupy_ip"]["total"], 0);
    let none = PROJECT;
    for path in [
        format!("availability-zones?loadbalancer_id={none}"),
        format!("loadbalancers/{none}/features"),
        format!("loadbalancers/{none}/local-ports"),
        format!("preoccupy-ip-num?loadbalancer_id={none}"),
        format!("loadbalancers/{none}/statuses"),
        format!("loadbalancers/{none}/topology"),
    ] {
        assert_eq!(scene.refused("GET", &path, Value::Null).await.1, "ELB.8904", "{path}");
    }
}

/// One member that is OFFLINE degrades all that is above it, and what is turned off is DISABLED.
#[tokio::test]
async fn statuses_roll_up() {
    let scene = Scene::new();
    let [lb, listener, pool, member] = scene.service().await;
    let monitor =
        json!({"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2});
    let monitor = scene.make("healthmonitors", "healthmonitor", monitor).await;
    let path = format!("loadbalancers/{lb}/statuses");
    let tree = async |health: Option<OperatingStatus>| {
        let health: Vec<_> =
            health.map(|status| (member.parse().unwrap(), status)).into_iter().collect();
        scene.members_are(&health);
        scene.shown(&path).await["statuses"]["loadbalancer"].clone()
    };
    let statuses = |lb: &Value| {
        let listener = &lb["listeners"][0];
        let all = [lb, listener, &listener["pools"][0], &lb["pools"][0]];
        all.map(|one| one["operating_status"].as_str().unwrap().to_owned())
    };
    let found = tree(Some(OperatingStatus::Online)).await;
    assert_eq!(statuses(&found), ["ONLINE"; 4]);
    let in_tree = &found["listeners"][0]["pools"][0];
    assert_eq!((&in_tree["id"], &in_tree["healthmonitor"]["id"]), (&json!(pool), &json!(monitor)));
    assert_eq!((&found["id"], &found["listeners"][0]["id"]), (&json!(lb), &json!(listener)));
    assert_eq!(found["provisioning_status"], "PENDING_CREATE");
    let found = tree(Some(OperatingStatus::Offline)).await;
    assert_eq!(statuses(&found), ["DEGRADED"; 4]);
    assert_eq!(found["pools"][0]["members"][0]["operating_status"], "OFFLINE");
    let shown = scene.shown(&format!("loadbalancers/{lb}")).await;
    assert_eq!(shown["loadbalancer"]["operating_status"], "ONLINE", "only the tree says DEGRADED");
    let off = json!({"loadbalancer": {"admin_state_up": false}});
    assert_eq!(scene.ask("PUT", &format!("loadbalancers/{lb}"), off).await.0, 200);
    assert_eq!(statuses(&tree(None).await), ["DISABLED", "ONLINE", "ONLINE", "ONLINE"]);
    scene.store.reach(Reached { applied: u64::MAX, refused: None });
    assert_eq!(tree(None).await["listeners"][0]["provisioning_status"], "ACTIVE");
}

#[tokio::test]
async fn the_topology_is_a_graph_of_what_is_asked_for() {
    let scene = Scene::new();
    let [lb, listener, pool, _] = scene.service().await;
    let other =
        json!({"loadbalancer_id": lb, "protocol": "UDP", "protocol_port": 53, "name": "dns"});
    let other = scene.make("listeners", "listener", other).await;
    let spare = json!({"loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "name": "spare"});
    let spare = scene.make("pools", "pool", spare).await;
    let path = format!("loadbalancers/{lb}/topology");
    let graph =
        async |query: &str| scene.shown(&format!("{path}?{query}")).await["topology"].clone();
    let ids = |graph: &Value, kind: &str| -> Vec<String> {
        let nodes = graph["nodes"][kind].as_array().unwrap().iter();
        nodes.map(|node| node["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = graph("").await;
    assert_eq!((ids(&all, "listeners").len(), ids(&all, "pools").len()), (2, 2));
    let to_pool = json!({"source": listener, "source_type": "listener", "target": pool, "target_type": "pool"});
    let edges = all["edges"].as_array().unwrap();
    assert!(edges.contains(&to_pool) && edges.len() == 3, "{all}");
    let one = graph("listener_protocol_port=80&listener_protocol=TCP").await;
    assert_eq!(
        (ids(&one, "listeners"), ids(&one, "pools")),
        (vec![listener.clone()], vec![pool.clone()])
    );
    let one = graph("listener_name=dns").await;
    assert_eq!((ids(&one, "listeners"), ids(&one, "pools").len()), (vec![other], 0));
    let one = graph("pool_name=spare").await;
    assert_eq!((ids(&one, "listeners").len(), ids(&one, "pools")), (0, vec![spare]));
    let one = graph(&format!("pool_id={pool}")).await;
    assert_eq!((ids(&one, "listeners"), ids(&one, "pools")), (vec![listener], vec![pool]));
}

/// A listener has the enterprise project of its load balancer.
#[tokio::test]
async fn listeners_are_of_the_enterprise_project_of_their_load_balancer() {
    let scene = Scene::new();
    let project = "0aad99bc-f5f6-4f78-8404-c598d76b0ed2";
    let lb = json!({"name": "web", "vip_address": "192.0.2.10", "availability_zone_list": ["az"],
        "enterprise_project_id": project});
    let lb = scene.make("loadbalancers", "loadbalancer", lb).await;
    let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80});
    let listener = scene.make("listeners", "listener", listener).await;
    let (_, shown) = scene.ask("GET", &format!("listeners/{listener}"), Value::Null).await;
    assert_eq!(shown["listener"]["enterprise_project_id"], project);
    for (query, count) in [(project, 1), ("0", 0)] {
        let path = format!("listeners?enterprise_project_id={query}");
        let (_, all) = scene.ask("GET", &path, Value::Null).await;
        assert_eq!(all["page_info"]["current_count"], count, "{query}");
    }
}
