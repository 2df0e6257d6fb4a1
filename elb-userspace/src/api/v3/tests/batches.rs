//! Several members or load balancers at once.

use serde_json::{Value, json};

use super::{Scene, read_audit};

const NONE: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

#[tokio::test]
async fn members_are_made_changed_and_taken_away_together() {
    let scene = Scene::new();
    let [_, listener, pool, first] = scene.service().await;
    let path = |what: &str| format!("pools/{pool}/members/{what}");
    let add = json!({"members": [
        {"address": "10.0.0.1", "protocol_port": 80, "weight": 9},
        {"address": "10.0.0.2", "protocol_port": 80, "weight": 2, "name": "two"},
        {"address": "10.0.0.2", "protocol_port": 80},
    ]});
    let (status, reply) = scene.ask("POST", &path("batch-add"), add).await;
    assert_eq!(status, 201, "{reply}");
    let members = reply["members"].as_array().unwrap();
    let results: Vec<_> = members.iter().map(|one| one["ret_status"].as_str().unwrap()).collect();
    assert_eq!(results, ["existed", "successful", "existed"]);
    assert_eq!((&members[0]["id"], &members[0]["weight"]), (&json!(first), &json!(1)), "as it was");
    let second = members[1]["id"].as_str().unwrap().to_owned();
    assert_eq!((&members[2]["id"], &members[1]["name"]), (&json!(second), &json!("two")));
    assert_eq!(members[1]["status"][0]["listener_id"], listener);
    assert_eq!(members[1]["operating_status"], "NO_MONITOR");

    let change = json!({"members": [{"id": first, "weight": 0}, {"id": second, "weight": 100, "name": "b"}]});
    let (status, reply) = scene.ask("POST", &path("batch-update"), change).await;
    assert_eq!(status, 200, "{reply}");
    let weights = [&reply["members"][0]["weight"], &reply["members"][1]["weight"]];
    assert_eq!(weights, [&json!(0), &json!(100)]);

    let gone = json!({"members": [{"id": first}, {"id": NONE}, {"address": "10.0.0.2", "protocol_port": 80}]});
    let (status, reply) = scene.ask("POST", &path("batch-delete"), gone).await;
    let expected = json!([
        {"id": first, "ret_status": "successful"}, {"id": NONE, "ret_status": "not found"},
        {"id": second, "ret_status": "successful"},
    ]);
    assert_eq!((status, &reply["members"]), (200, &expected));
    let (_, left) = scene.ask("GET", &format!("pools/{pool}/members"), Value::Null).await;
    assert_eq!(left["members"], json!([]));
}

#[tokio::test]
async fn one_member_that_is_wrong_keeps_all_from_being_changed() {
    let scene = Scene::new();
    let [_, _, pool, member] = scene.service().await;
    let before = scene.store.read().revision;
    let many: Value =
        (0..201).map(|n| json!({"address": format!("10.1.0.{n}"), "protocol_port": 80})).collect();
    let good = json!({"address": "10.0.0.2", "protocol_port": 80});
    let cases = [
        ("batch-add", json!([good, {"address": "x", "protocol_port": 80}]), "ELB.8902"),
        ("batch-add", json!([good, {"address": "10.0.0.3", "protocol_port": 81}]), "ELB.8902"),
        (
            "batch-add",
            json!([good, {"address": "10.0.0.3", "protocol_port": 80, "weight": 101}]),
            "ELB.8902",
        ),
        ("batch-add", json!([]), "ELB.8902"),
        ("batch-add", many, "ELB.8902"),
        (
            "batch-update",
            json!([{"id": member, "weight": 5}, {"id": NONE, "weight": 5}]),
            "ELB.8904",
        ),
        ("batch-update", json!([{"id": member, "weight": 5, "protocol_port": 81}]), "ELB.8902"),
        ("batch-delete", json!([{"id": member}, {}]), "ELB.8902"),
    ];
    for (what, members, expected) in cases {
        let path = format!("pools/{pool}/members/{what}");
        let (_, code, message) = scene.refused("POST", &path, json!({"members": members})).await;
        assert_eq!(code, expected, "{what} {members}: {message}");
    }
    let path = format!("pools/{NONE}/members/batch-add");
    assert_eq!(scene.refused("POST", &path, json!({"members": [good]})).await.1, "ELB.8904");
    let protect = json!({"pool": {"member_deletion_protection_enable": true}});
    assert_eq!(scene.store.read().revision, before, "nothing changed");
    assert_eq!(scene.ask("PUT", &format!("pools/{pool}"), protect).await.0, 200);
    let path = format!("pools/{pool}/members/batch-delete");
    let gone = json!({"members": [{"id": member}]});
    assert_eq!(scene.refused("POST", &path, gone).await.1, "ELB.8907");
}

#[tokio::test]
async fn load_balancers_are_made_together_and_numbered() {
    let scene = Scene::new();
    let option = json!({"name": "web", "vpc_id": NONE, "number": 3, "availability_zone_list": [],
                        "tags": [{"key": "a", "value": "b"}]});
    let (status, reply) =
        scene.ask("POST", "loadbalancers/batch-create", json!({"loadbalancer": option})).await;
    assert_eq!(status, 202, "{reply}");
    let ids = reply["loadbalancer_ids"].as_array().unwrap();
    let mut names = Vec::new();
    for id in ids {
        let path = format!("loadbalancers/{}", id.as_str().unwrap());
        let (_, shown) = scene.ask("GET", &path, Value::Null).await;
        assert_eq!(shown["loadbalancer"]["tags"], json!([{"key": "a", "value": "b"}]));
        names.push(shown["loadbalancer"]["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["web-0001", "web-0002", "web-0003"]);
    let (_, job) =
        scene.ask("GET", &format!("jobs/{}", reply["job_id"].as_str().unwrap()), Value::Null).await;
    assert_eq!(job["job"]["job_type"], "batchCreateV3Loadbalancer");
    for (key, value, code) in [
        ("vip_address", json!("192.0.2.10"), "ELB.8902"),
        ("number", json!(11), "ELB.8902"),
        ("prepaid_options", json!({"period_type": "month"}), "ELB.8903"),
        ("ids", json!([NONE]), "ELB.8903"),
    ] {
        let mut option = option.clone();
        option[key] = value;
        let path = "loadbalancers/batch-create";
        assert_eq!(
            scene.refused("POST", path, json!({"loadbalancer": option})).await.1,
            code,
            "{key}"
        );
    }
    let one = json!({"name": "one", "vip_address": "192.0.2.10", "availability_zone_list": []});
    let (status, reply) =
        scene.ask("POST", "loadbalancers/batch-create", json!({"loadbalancer": one})).await;
    assert_eq!((status, reply["loadbalancer_ids"].as_array().unwrap().len()), (202, 1));
}

/// One record for a call, however many resources it changes: with all of them before and after.
#[tokio::test]
async fn a_batch_is_one_record_of_the_audit_log() {
    let scene = Scene::new();
    let [lb, _, pool, member] = scene.service().await;
    let add = json!({"members": [{"address": "10.0.0.2", "protocol_port": 80}]});
    scene.ask("POST", &format!("pools/{pool}/members/batch-add"), add).await;
    scene.refused("POST", "listeners/batch-delete", json!({"listener_ids": [NONE]})).await;
    scene.ask("DELETE", &format!("loadbalancers/{lb}/force-elb"), Value::Null).await;
    let path = scene.store.path().to_owned();
    let Scene { router, server, store, _folder, .. } = scene;
    drop((router, server, store));
    let records = read_audit(&path).await;
    let found: Vec<_> =
        records.iter().skip(4).map(|(one, result, ..)| (&**one, &**result)).collect();
    let expected =
        [("createMember", "ok"), ("deleteListener", "ELB.8904"), ("deleteLoadbalancer", "ok")];
    assert_eq!(found, expected);
    let (_, _, _, before, after) = &records[6];
    assert!(before.contains(&member) && before.contains(&lb) && after == "{}", "{before} {after}");
    assert!(records[4].4.contains("10.0.0.2") && !records[4].4.contains("10.0.0.1"));
}
