//! Every filter of every list, one value at a time, repeated and with others; and pages.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::field::{Field, FieldType};
use super::super::query::rules;
use super::super::table::TABLE;
use super::{Scene, certificates};

/// A network, by the form of its id.
const NET: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
/// Lists, by their operations and paths below `elb`.
const LISTS: [(&str, &str); 13] = [
    ("list_load_balancers", "loadbalancers"),
    ("list_listeners", "listeners"),
    ("list_pools", "pools"),
    ("list_members", "pools/POOL/members"),
    ("list_all_members", "members"),
    ("list_health_monitors", "healthmonitors"),
    ("list_ip_groups", "ipgroups"),
    ("list_security_policies", "security-policies"),
    ("list_logtanks", "logtanks"),
    ("list_certificates", "certificates"),
    ("list_master_slave_pools", "master-slave-pools"),
    ("list_flavors", "flavors"),
    ("list_jobs", "jobs"),
];
/// Keys that choose no resources by a value of theirs.
const OTHERS: [&str; 6] =
    ["limit", "marker", "page_reverse", "include_recycle_bin", "list_all", "begin_time"];
/// What no resource here has: public addresses, ports of a network, devices, and what layer 7 needs.
#[rustfmt::skip]
const OF_NOTHING: [&str; 24] = [
    "autoscaling", "az_affinity", "billing_info", "client_ca_tls_container_ref", "client_timeout",
    "default_tls_container_ref", "eips", "elb_virsubnet_type", "enable_member_retry", "error_code", "global_eips",
    "instance_id", "ipv6_vip_port_id", "l4_scale_flavor_id", "l7_flavor_id", "l7_scale_flavor_id",
    "member_device_id", "member_instance_id", "member_timeout", "publicips", "scm_certificate_id", "source", "tls_ciphers_policy",
    "vip_port_id",
];

impl Scene {
    /// Something of everything, with a value for each attribute that there is here: the pool of the members.
    async fn everything(&self) -> String {
        let [lb, listener, pool, _] = self.service().await;
        let name = |one: &str| json!({"name": one, "description": format!("of {one}")});
        let with = |mut of: Value, more: Value| {
            of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            of
        };
        for (path, key, change) in [
            (format!("listeners/{listener}"), "listener", name("http")),
            (
                format!("pools/{pool}"),
                "pool",
                with(
                    name("web"),
                    json!({
                "connection_drain": {"enable": true, "timeout": 300}, "type": "instance", "vpc_id": NET,
                "pool_health": {"minimum_healthy_member_count": 1}}),
                ),
            ),
        ] {
            let (status, reply) = self.ask("PUT", &path, json!({key: change})).await;
            assert_eq!(status, 200, "{reply}");
        }
        let second = json!({"vip_address": "192.0.2.11", "vip_subnet_cidr_id": NET, "vpc_id": NET,
            "ipv6_vip_address": "2001:db8::2", "ipv6_vip_virsubnet_id": NET, "availability_zone_list": ["az2"]});
        self.make("loadbalancers", "loadbalancer", with(second, name("second"))).await;
        let quic = json!({"loadbalancer_id": lb, "protocol": "UDP", "lb_algorithm": "QUIC_CID"});
        self.make("pools", "pool", with(quic, name("quic"))).await;
        let member = json!({"address": "10.0.0.2", "protocol_port": 80, "weight": 7, "name": "b",
            "subnet_cidr_id": NET, "availability_zone": "az2"});
        self.make(&format!("pools/{pool}/members"), "member", member).await;
        let monitor = json!({"pool_id": pool, "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2,
            "name": "m", "domain_name": "x.example", "monitor_port": 8080});
        self.make("healthmonitors", "healthmonitor", monitor).await;
        let group = json!({"ip_list": [{"ip": "10.0.0.0/8"}, {"ip": "192.0.2.0/24"}]});
        self.make("ipgroups", "ipgroup", with(group, name("g"))).await;
        let policy = json!({"protocols": ["TLSv1.2"], "ciphers": ["AES128-GCM-SHA256"]});
        self.make("security-policies", "security_policy", with(policy, name("p"))).await;
        let tank = json!({"loadbalancer_id": lb, "log_group_id": "lg", "log_topic_id": "lt"});
        self.make("logtanks", "logtank", tank).await;
        self.certificates().await;
        let served = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 90});
        let served = self.make("listeners", "listener", served).await;
        let pair = json!({
            "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "instance", "vpc_id": NET,
            "listener_id": served, "connection_drain": {"enable": true, "timeout": 30},
            "members": [
                {"address": "10.9.9.1", "protocol_port": 90, "role": "master"},
                {"address": "10.9.9.2", "protocol_port": 90, "role": "slave"}],
            "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3},
        });
        self.make("master-slave-pools", "pool", with(pair, name("pair"))).await;
        let target =
            json!({"target_loadbalancer_param": {"name": "copy", "vip_address": "192.0.2.12"}});
        let (status, reply) = self.ask("POST", &format!("loadbalancers/{lb}/clone"), target).await;
        assert_eq!(status, 202, "{reply}");
        pool
    }

    /// One of each type.
    async fn certificates(&self) {
        let (certificate, key) = certificates::made("a.example");
        let server = json!({"name": "c", "description": "of c", "certificate": certificate, "private_key": key,
            "domain": "a.example", "protection_reason": "in use"});
        self.make("certificates", "certificate", server).await;
        let authority = json!({"name": "ca", "description": "of ca", "certificate": certificate, "type": "client"});
        self.make("certificates", "certificate", authority).await;
    }

    async fn listed(&self, path: &str, query: &str) -> Vec<Value> {
        let (status, reply) = self.ask("GET", &format!("{path}?{query}"), Value::Null).await;
        assert_eq!(status, 200, "{path}?{query}: {reply}");
        let list = reply.as_object().unwrap().values().find_map(Value::as_array);
        list.unwrap().clone()
    }

    /// What a filter finds is what has one of the values; the rest of a query narrows it.
    async fn finds(&self, path: &str, all: &[Value], (key, field): (&str, &Field)) -> bool {
        let values: BTreeSet<String> =
            all.iter().flat_map(|item| values_of(path, item, key)).collect();
        let has = |item: &&Value, wanted: &[&String]| {
            values_of(path, item, key).iter().any(|value| wanted.contains(&value))
        };
        let other = other(&rules(field, key));
        let pairs = |wanted: &[&String]| {
            let pair =
                |value: &&String| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
            wanted.iter().map(pair).collect::<Vec<_>>().join("&")
        };
        for value in &values {
            let expected: Vec<_> = all.iter().filter(|item| has(item, &[value])).cloned().collect();
            assert_eq!(self.listed(path, &pairs(&[value])).await, expected, "{path}?{key}={value}");
            if !field.is_list() {
                let (status, reply) = self
                    .ask("GET", &format!("{path}?{}", pairs(&[value, value])), Value::Null)
                    .await;
                assert_eq!(status, 400, "{path}: {key} twice: {reply}");
            }
        }
        if field.is_list() {
            let wanted: Vec<&String> = values.iter().chain([&other]).collect();
            let expected: Vec<_> = all.iter().filter(|item| has(item, &wanted)).cloned().collect();
            assert_eq!(self.listed(path, &pairs(&wanted)).await, expected, "{path}: all of {key}");
        }
        let expected: Vec<_> = all.iter().filter(|item| has(item, &[&other])).cloned().collect();
        assert_eq!(self.listed(path, &pairs(&[&other])).await, expected, "{path}?{key}={other}");
        !values.is_empty()
    }
}

/// The values that a resource has for a key, by what it shows and what belongs to it; not what asks for nothing.
fn values_of(path: &str, item: &Value, key: &str) -> Vec<String> {
    let belongs = |addresses: [&str; 2]| addresses.map(str::to_owned).to_vec();
    let named = |item: &Value, name: &str| item["name"] == name;
    let all = match (path, key) {
        ("loadbalancers", "member_address") if named(item, "web") => {
            return [belongs(["10.0.0.1", "10.0.0.2"]), belongs(["10.9.9.1", "10.9.9.2"])].concat();
        }
        ("loadbalancers", "member_address") if named(item, "copy") => {
            return [belongs(["10.0.0.1", "10.0.0.2"]), belongs(["10.9.9.1", "10.9.9.2"])].concat();
        }
        ("listeners", "member_address") if item["protocol_port"] == 80 => {
            return belongs(["10.0.0.1", "10.0.0.2"]);
        }
        ("listeners", "member_address") => return belongs(["10.9.9.1", "10.9.9.2"]),
        ("pools", "member_address") if named(item, "web") => {
            return belongs(["10.0.0.1", "10.0.0.2"]);
        }
        ("master-slave-pools", "member_address") => return belongs(["10.9.9.1", "10.9.9.2"]),
        ("master-slave-pools", "healthmonitor_id") => &item["healthmonitor"]["id"],
        ("loadbalancers", "ip_version") => {
            let versions = [("4", &item["vip_address"]), ("6", &item["ipv6_vip_address"])];
            return versions
                .iter()
                .filter(|(_, address)| address.is_string())
                .map(|(one, _)| (*one).to_owned())
                .collect();
        }
        ("logtanks", "loadbalancer_id") => &item["loadbalancer_id"],
        (_, "enterprise_project_id") => return vec!["0".to_owned()],
        (_, "loadbalancer_id") => &item["loadbalancers"],
        (_, "listener_id") => &item["listeners"],
        (_, "quic_cid_len") => &item["quic_cid_hash_strategy"]["len"],
        (_, "quic_cid_offset") => &item["quic_cid_hash_strategy"]["offset"],
        (_, "connection_drain") if item["connection_drain"].is_null() => &Value::Bool(false),
        (_, "connection_drain") => &item["connection_drain"]["enable"],
        (_, "pool_health") => {
            let count = item["pool_health"]["minimum_healthy_member_count"].as_u64();
            return count
                .map(|count| format!("minimum_healthy_member_count={count}"))
                .into_iter()
                .collect();
        }
        (_, key) => &item[key],
    };
    let one = |value: &Value| {
        let text = [Some(value), value.get("id"), value.get("ip")].into_iter().flatten();
        text.filter_map(Value::as_str).next().map_or_else(|| value.to_string(), str::to_owned)
    };
    let values: Vec<String> = match all.as_array() {
        Some(all) => all.iter().map(one).collect(),
        None => [all].into_iter().filter(|value| !value.is_null()).map(one).collect(),
    };
    values.into_iter().filter(|value| !value.is_empty()).collect()
}

/// A value that a key may have.
fn other(field: &Field) -> String {
    if let Some(last) = field.choices.last() {
        return last.clone();
    }
    match field.of {
        FieldType::Flag => "true".to_owned(),
        FieldType::Number => field.numbers.first().map_or(3, |range| *range.end()).to_string(),
        FieldType::Text | FieldType::Model(_) | FieldType::List(_) => "none".to_owned(),
    }
}

#[tokio::test]
async fn every_filter_of_every_list_finds_what_has_the_value() {
    let scene = Scene::new();
    let pool = scene.everything().await;
    let mut found = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for (operation, path) in LISTS {
        let path = path.replace("POOL", &pool);
        let operation = TABLE.operations.iter().find(|one| one.name == operation).unwrap();
        let all = scene.listed(&path, "").await;
        assert!(!all.is_empty(), "{path}");
        for (key, field) in
            operation.query.iter().filter(|(key, _)| !OTHERS.contains(&key.as_str()))
        {
            asked.insert(key.as_str());
            if scene.finds(&path, &all, (key, field)).await {
                found.insert(key.as_str());
            }
        }
    }
    let nothing: Vec<&str> = asked.difference(&found).copied().collect();
    assert_eq!(nothing, OF_NOTHING, "what no resource has");
    assert_eq!(scene.listed("pools", "name=web&name=quic&protocol=UDP").await[0]["name"], "quic");
    assert_eq!(scene.listed("jobs", "begin_time=2000-01-01T00:00:00Z").await.len(), 1);
    assert_eq!(scene.listed("jobs", "begin_time=2100-01-01T00:00:00Z").await.len(), 0);
}

/// The page before a marker, the last page, nothing on a page, and what `page_info` says of each.
#[tokio::test]
async fn pages_go_forwards_and_back() {
    let scene = Scene::new();
    let mut ids = Vec::new();
    for n in 1..=5 {
        let group = json!({"name": n.to_string(), "ip_list": [{"ip": "10.0.0.0/8"}]});
        ids.push(scene.make("ipgroups", "ipgroup", group).await);
    }
    ids.sort();
    let page = async |query: String| {
        let (status, reply) = scene.ask("GET", &format!("ipgroups?{query}"), Value::Null).await;
        assert_eq!(status, 200, "{query}: {reply}");
        let all = reply["ipgroups"].as_array().unwrap().iter();
        let at = |id: &Value| ids.iter().position(|one| id == one);
        let info = &reply["page_info"];
        let shown: Vec<_> = all.filter_map(|one| at(&one["id"])).collect();
        assert_eq!(info["current_count"], shown.len(), "{query}");
        (shown, at(&info["previous_marker"]), at(&info["next_marker"]))
    };
    let [_, second, _, fourth, last] = &ids[..] else { panic!("{ids:?}") };
    assert_eq!(page("limit=2".to_owned()).await, (vec![0, 1], Some(0), Some(1)));
    assert_eq!(page(format!("limit=2&marker={second}")).await, (vec![2, 3], Some(2), Some(3)));
    assert_eq!(page(format!("limit=2&marker={fourth}")).await, (vec![4], Some(4), None));
    assert_eq!(page(format!("limit=2&marker={last}")).await, (vec![], None, None));
    let before = format!("limit=2&marker={fourth}&page_reverse=true");
    assert_eq!(page(before).await, (vec![1, 2], Some(1), Some(2)));
    let forwards = format!("limit=2&marker={second}&page_reverse=false");
    assert_eq!(page(forwards).await, (vec![2, 3], Some(2), Some(3)));
    assert_eq!(page("limit=2&page_reverse=true".to_owned()).await, (vec![3, 4], Some(3), None));
    assert_eq!(page("limit=0".to_owned()).await, (vec![], None, None));
    assert_eq!(page("limit=5".to_owned()).await, (vec![0, 1, 2, 3, 4], Some(0), None));
    for wrong in [
        "limit=-1",
        "limit=2001",
        "limit=",
        "limit=2&limit=3",
        "limit=2&marker=",
        "limit=2&marker=none",
        "page_reverse=true",
        "limit=2&page_reverse=1",
    ] {
        let (status, code, _) =
            scene.refused("GET", &format!("ipgroups?{wrong}"), Value::Null).await;
        assert_eq!((status, &*code), (400, "ELB.8902"), "{wrong}");
    }
}
