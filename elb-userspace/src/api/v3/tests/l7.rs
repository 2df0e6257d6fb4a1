//! Forwarding policies and rules, of which there are none while no listener can have one.

use serde_json::{Value, json};

use super::{PROJECT, Scene};

/// Of nothing.
const ID: &str = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b";

#[tokio::test]
async fn a_policy_is_judged_and_then_refused_for_its_listener() {
    let scene = Scene::new();
    let [_, listener, pool, _] = scene.service().await;
    let create = async |more: Value| {
        let mut policy = json!({"listener_id": listener, "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool});
        policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.refused("POST", "l7policies", json!({"l7policy": policy})).await
    };
    let (status, code, why) = create(json!({})).await;
    assert_eq!((status, &*code), (400, "ELB.8902"));
    let said = format!(
        "listener {listener} has protocol TCP, use one of HTTP or HTTPS, which this host does not serve yet"
    );
    assert!(why.ends_with(&said), "{why}");
    for (more, code, said) in [
        (
            json!({"nmae": "x", "priority": 10001}),
            "ELB.8902",
            "Unrecognized attribute(s) 'nmae'; l7policy.priority is 10001",
        ),
        (json!({"action": "FIXED_RESPONSE"}), "ELB.8902", "redirect_pool_id is for action"),
        (
            json!({"redirect_pool_id": null, "redirect_pools_config": [{"pool_id": pool, "weight": 101}]}),
            "ELB.8902",
            "weight is 101",
        ),
        (
            json!({"redirect_pool_id": null, "redirect_pools_config": [{"pool_id": pool, "weight": "x"}]}),
            "ELB.8902",
            "weight is \"x\"",
        ),
        (json!({"listener_id": PROJECT}), "ELB.8904", "listener"),
        (
            json!({"action": "FIXED_RESPONSE", "redirect_pool_id": null, "fixed_response_config": {"status_code": "302"}}),
            "ELB.8902",
            "status_code is \"302\"",
        ),
        (
            json!({"redirect_pool_id": null, "redirect_pools_config": [{"pool_id": pool, "weight": 7}]}),
            "ELB.8902",
            "has protocol TCP",
        ),
        (
            json!({"redirect_pool_id": null, "redirect_pools_config": [{"pool_id": pool, "weight": "7"}]}),
            "ELB.8902",
            "has protocol TCP",
        ),
    ] {
        let (_, found, why) = create(more.clone()).await;
        assert!(found == code && why.contains(said), "{more}: {found} {why}");
    }
    let records = scene.records().await;
    let refused = records.iter().filter(|one| one.operation == "createL7policy").count();
    assert_eq!(refused, 9);
}

#[tokio::test]
async fn there_is_no_policy_and_no_rule() {
    let scene = Scene::new();
    for (path, key) in [
        ("l7policies", "l7policies"),
        ("l7policies?action=FIXED_RESPONSE&limit=5&display_all_rules=true", "l7policies"),
        ("l7policies/rules?type=PATH", "rules"),
    ] {
        let (status, reply) = scene.ask("GET", path, Value::Null).await;
        let info = json!({"current_count": 0, "previous_marker": null});
        assert_eq!((status, &reply[key], &reply["page_info"]), (200, &json!([]), &info), "{path}");
    }
    assert_eq!(
        scene.refused("GET", "l7policies?limit=1&marker=x", Value::Null).await.1,
        "ELB.8902"
    );
    assert_eq!(scene.refused("GET", "l7policies?name=x&colour=y", Value::Null).await.1, "ELB.8902");
    let id = ID;
    let policy = format!("l7policies/{id}");
    let rule = format!("{policy}/rules/{id}");
    let given = json!({"rule": {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}});
    for (method, path, body) in [
        ("GET", policy.clone(), Value::Null),
        ("PUT", policy.clone(), json!({"l7policy": {"name": "x"}})),
        ("DELETE", policy.clone(), Value::Null),
        ("GET", format!("{policy}/rules"), Value::Null),
        ("POST", format!("{policy}/rules"), given),
        ("GET", rule.clone(), Value::Null),
        ("PUT", rule.clone(), json!({"rule": {"value": "/x"}})),
        ("DELETE", rule.clone(), Value::Null),
        (
            "POST",
            "l7policies/batch-update-priority".to_owned(),
            json!({"l7policies": [{"id": id, "priority": 3}]}),
        ),
    ] {
        let refused = scene.refused(method, &path, body).await;
        let why = format!("l7policy {id} could not be found.");
        assert_eq!(refused, (404, "ELB.8904".to_owned(), why), "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_wrong_by_itself_is_said_first() {
    let scene = Scene::new();
    let id = ID;
    let policy = format!("l7policies/{id}");
    let rule = format!("{policy}/rules/{id}");
    for (method, path, body) in [
        ("PUT", policy.clone(), json!({"l7policy": {"action": "FIXED_RESPONSE"}})),
        ("PUT", policy.clone(), json!({"l7policy": {"redirect_url_config": {"port": "x"}}})),
        (
            "POST",
            format!("{policy}/rules"),
            json!({"rule": {"type": "PATH", "compare_type": "EQUAL_TO", "value": "x"}}),
        ),
        ("PUT", rule, json!({"rule": {"type": "PATH"}})),
        (
            "POST",
            "l7policies/batch-update-priority".to_owned(),
            json!({"l7policies": [{"id": id}]}),
        ),
        (
            "POST",
            "l7policies/batch-update-priority".to_owned(),
            json!({"l7policies": [{"id": id, "priority": 1}, {"id": id, "priority": 2}]}),
        ),
    ] {
        let (status, _, why) = scene.refused(method, &path, body).await;
        assert_eq!(status, 400, "{method} {path}: {why}");
    }
    let nothing = json!({"l7policies": []});
    assert_eq!(scene.ask("POST", "l7policies/batch-update-priority", nothing).await.0, 202);
}
