//! What is wrong with a request is said with the code that clients know.

use serde_json::{Value, json};

use super::Scene;

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[tokio::test]
async fn what_is_wrong_is_refused_with_the_code_that_clients_know() {
    let scene = Scene::new();
    let [lb, listener, pool, _] = scene.service().await;
    let none = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
    let members = format!("pools/{pool}/members");
    let with_port = |protocol: &str, port: u16| json!({"listener": {"loadbalancer_id": lb, "protocol": protocol, "protocol_port": port}});
    let monitor = |of: &str| json!({"healthmonitor": {"pool_id": pool, "type": of, "delay": 5, "timeout": 3, "max_retries": 2}});
    let cases = [
        (
            "POST",
            "loadbalancers",
            json!({"loadbalancer": {"availability_zone_list": []}}),
            "ELB.8902",
            "set vip_address",
        ),
        (
            "POST",
            "loadbalancers",
            json!({"loadbalancer": {"availability_zone_list": [], "vip_address": "192.0.2.10"}}),
            "ELB.8907",
            "192.0.2.10 is that of",
        ),
        (
            "POST",
            "loadbalancers",
            json!({"loadbalancer": {"availability_zone_list": [], "vip_subnet_cidr_id": none}}),
            "ELB.8903",
            "assigns no addresses",
        ),
        (
            "POST",
            "loadbalancers",
            json!({"loadbalancer": {"availability_zone_list": [], "vip_address": "x"}}),
            "ELB.8902",
            "no IPv4 address",
        ),
        (
            "POST",
            "loadbalancers",
            json!({"loadbalancer": {"availability_zone_list": [], "vip_address": "192.0.2.11", "l4_flavor_id": none}}),
            "ELB.8903",
            "l4_flavor_id",
        ),
        (
            "POST",
            "loadbalancers",
            json!({"loadbalancer": {"availability_zone_list": [], "vip_address": "192.0.2.11", "guaranteed": false}}),
            "ELB.8902",
            "guaranteed",
        ),
        ("POST", "listeners", with_port("TCP", 80), "ELB.8907", "port 80 is that of listener"),
        ("POST", "listeners", with_port("TCP", 0), "ELB.8902", "protocol_port"),
        ("POST", "listeners", with_port("HTTP", 80), "ELB.8907", "port 80 is that of listener"),
        ("POST", "listeners", with_port("HTTP", 81), "ELB.8903", "TCP and UDP"),
        ("POST", "listeners", with_port("UDP", 4789), "ELB.8902", "reserved for VXLAN"),
        ("POST", "listeners", with_port("SCTP", 81), "ELB.8902", "use TCP or UDP or"),
        (
            "PUT",
            &format!("listeners/{listener}"),
            json!({"listener": {"protocol_port": 81}}),
            "ELB.8902",
            "Unrecognized attribute(s) 'protocol_port'",
        ),
        (
            "PUT",
            &format!("listeners/{listener}"),
            json!({"listener": {"name": null}}),
            "ELB.8902",
            "name is null",
        ),
        (
            "PUT",
            &format!("listeners/{listener}"),
            json!({"listener": {"default_pool_id": none}}),
            "ELB.8904",
            none,
        ),
        (
            "POST",
            "pools",
            json!({"pool": {"protocol": "UDP", "lb_algorithm": "ROUND_ROBIN"}}),
            "ELB.8902",
            "set listener_id",
        ),
        (
            "POST",
            "pools",
            json!({"pool": {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "listener_id": listener}}),
            "ELB.8907",
            "has the default pool",
        ),
        (
            "POST",
            &*members,
            json!({"member": {"address": "10.0.0.1", "protocol_port": 80}}),
            "ELB.8907",
            "are those of member",
        ),
        (
            "POST",
            &*members,
            json!({"member": {"address": "10.0.0.2", "protocol_port": 80, "weight": 101}}),
            "ELB.8902",
            "weight is 101",
        ),
        (
            "POST",
            &*members,
            json!({"member": {"address": "10.0.0.2", "protocol_port": 81}}),
            "ELB.8902",
            "80",
        ),
        (
            "POST",
            &*members,
            json!({"member": {"address": "10.0.0.2"}}),
            "ELB.8902",
            "protocol_port is missing",
        ),
        (
            "POST",
            "healthmonitors",
            monitor("UDP_CONNECT"),
            "ELB.8902",
            "cannot probe a pool of protocol TCP",
        ),
        (
            "POST",
            "ipgroups",
            json!({"ipgroup": {"ip_list": [{"ip": "10.0.0.1-10.0.0.9"}]}}),
            "ELB.8903",
            "range",
        ),
        ("GET", "loadbalancers?nmae=x", Value::Null, "ELB.8902", "nmae"),
        ("GET", &format!("pools/{none}/members"), Value::Null, "ELB.8904", none),
        ("GET", "recycle-bin", Value::Null, "ELB.8903", "show_recycle_bin"),
        ("GET", "nothing", Value::Null, "APIGW.0101", "nothing"),
    ];
    let before = scene.store.read().revision;
    for (method, path, body, code, said) in cases {
        let (status, found, message) = scene.refused(method, path, body.clone()).await;
        assert_eq!(found, code, "{method} {path} {body}: {status} {message}");
        assert!(message.contains(said), "{method} {path} {body}: {message}");
    }
    assert_eq!(scene.store.read().revision, before, "nothing changed");
}
