//! What is kept for listeners that are not served yet: security policies and log tanks.

use serde_json::{Value, json};

use super::{PROJECT, Scene};
use crate::source::store::DocumentKind;

#[tokio::test]
async fn security_policies_are_kept_by_their_rules() {
    let scene = Scene::new();
    let policy = json!({"name": "strict", "protocols": ["TLSv1.2"], "ciphers": ["ECDHE-RSA-AES128-GCM-SHA256"]});
    let id = scene.make("security-policies", "security_policy", policy.clone()).await;
    let path = format!("security-policies/{id}");
    let newer = json!({"security_policy": {"protocols": ["TLSv1.3"]}});
    assert_eq!(scene.refused("PUT", &path, newer).await.1, "ELB.8902", "no suite of TLS 1.3");
    let newer = json!({"security_policy": {"protocols": ["TLSv1.3"], "ciphers": ["TLS_AES_128_GCM_SHA256"]}});
    let (status, shown) = scene.ask("PUT", &path, newer).await;
    assert_eq!((status, &shown["security_policy"]["listeners"]), (200, &json!([])), "{shown}");
    for (query, count) in [("name=strict", 1), ("protocols=TLSv1.3", 1), ("ciphers=AES128-SHA", 0)]
    {
        let (_, all) = scene.ask("GET", &format!("security-policies?{query}"), Value::Null).await;
        assert_eq!(all["page_info"]["current_count"], count, "{query}");
    }
    let mut wrong = policy.clone();
    wrong["ciphers"] = json!(["RC4-MD5"]);
    let wrong = json!({"security_policy": wrong});
    assert_eq!(scene.refused("POST", "security-policies", wrong).await.1, "ELB.8902");
    for _ in 1..50 {
        scene.make("security-policies", "security_policy", policy.clone()).await;
    }
    let one_more = json!({"security_policy": policy});
    assert_eq!(scene.refused("POST", "security-policies", one_more).await.1, "ELB.8905");
    let theirs = format!("/v3/{}/elb/{path}", PROJECT.replace('0', "9"));
    assert_eq!(scene.raw(&scene.other, "GET", &theirs, "").await.0, 404);
    assert_eq!(scene.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(scene.refused("GET", &path, Value::Null).await.1, "ELB.8904");
}

#[tokio::test]
async fn a_load_balancer_has_one_log_tank_which_goes_with_it() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    let tank = json!({"loadbalancer_id": lb, "log_group_id": "group", "log_topic_id": "topic"});
    let id = scene.make("logtanks", "logtank", tank.clone()).await;
    assert_eq!(scene.refused("POST", "logtanks", json!({"logtank": tank})).await.1, "ELB.8907");
    let mut elsewhere = tank.clone();
    elsewhere["loadbalancer_id"] = json!(PROJECT);
    assert_eq!(
        scene.refused("POST", "logtanks", json!({"logtank": elsewhere})).await.1,
        "ELB.8904"
    );
    let path = format!("logtanks/{id}");
    assert_eq!(
        scene.refused("PUT", &path, json!({"logtank": {"log_topic_id": ""}})).await.1,
        "ELB.8902"
    );
    let other = json!({"logtank": {"log_topic_id": "other"}});
    let (_, shown) = scene.ask("PUT", &path, other).await;
    assert_eq!(shown["logtank"]["log_topic_id"], "other");
    let (_, shown) = scene.ask("GET", &format!("loadbalancers/{lb}"), Value::Null).await;
    assert_eq!(shown["loadbalancer"]["log_topic_id"], "other");
    let (_, all) = scene.ask("GET", &format!("logtanks?loadbalancer_id={lb}"), Value::Null).await;
    assert_eq!(all["logtanks"][0]["id"], json!(id));
    let force = format!("loadbalancers/{lb}/force-elb");
    assert_eq!(scene.ask("DELETE", &force, Value::Null).await.0, 204);
    assert_eq!(scene.store.read().of(DocumentKind::LogTank).count(), 0);
}
