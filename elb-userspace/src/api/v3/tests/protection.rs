//! Modification protection: what has it stays as it is until it is taken off.

use serde_json::{Value, json};

use super::Scene;

const ON: &str = "consoleProtection";
const OFF: &str = "nonProtection";

impl Scene {
    /// Protects a resource, or takes that off.
    async fn protect(&self, path: &str, key: &str, status: &str) {
        let (found, reply) =
            self.ask("PUT", path, json!({key: {"protection_status": status}})).await;
        assert_eq!(found, 200, "{path}: {reply}");
    }

    async fn is_protected(&self, method: &str, path: &str, body: Value) {
        let before = self.store.read().revision;
        let (status, code, message) = self.refused(method, path, body).await;
        assert_eq!((status, &*code), (409, "ELB.8907"), "{method} {path}: {message}");
        assert!(message.contains("has protection_status consoleProtection"), "{message}");
        assert_eq!(self.store.read().revision, before, "nothing changed");
    }
}

#[tokio::test]
async fn a_protected_resource_is_neither_changed_nor_deleted() {
    let scene = Scene::new();
    let [lb, listener, pool, member] = scene.service().await;
    let (lb, listener, pool) =
        (format!("loadbalancers/{lb}"), format!("listeners/{listener}"), format!("pools/{pool}"));
    for (path, key) in [(&lb, "loadbalancer"), (&listener, "listener"), (&pool, "pool")] {
        scene.protect(path, key, ON).await;
        scene.is_protected("PUT", path, json!({key: {"name": "other"}})).await;
        let both = json!({key: {"name": "other", "protection_status": ON}});
        scene.is_protected("PUT", path, both).await;
        // What changes nothing may be asked for again.
        scene.protect(path, key, ON).await;
        scene.is_protected("DELETE", &format!("{lb}/force-elb"), Value::Null).await;
        let free = json!({key: {"name": "free", "protection_status": OFF}});
        let (status, shown) = scene.ask("PUT", path, free).await;
        assert_eq!((status, &shown[key]["name"]), (200, &json!("free")), "in one request");
    }
    scene.protect(&listener, "listener", ON).await;
    scene.is_protected("DELETE", &format!("{listener}/force"), Value::Null).await;
    scene.protect(&listener, "listener", OFF).await;

    scene.protect(&pool, "pool", ON).await;
    let id = pool.trim_start_matches("pools/");
    let monitor = json!({"pool_id": id, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2});
    scene.is_protected("POST", "healthmonitors", json!({"healthmonitor": monitor})).await;
    let new = json!({"address": "10.0.0.9", "protocol_port": 80});
    scene.is_protected("POST", &format!("{pool}/members"), json!({"member": new})).await;
    scene
        .is_protected("POST", &format!("{pool}/members/batch-add"), json!({"members": [new]}))
        .await;
    let member = format!("{pool}/members/{member}");
    scene.is_protected("DELETE", &member, Value::Null).await;
    scene.is_protected("DELETE", &format!("{pool}/delete-cascade"), Value::Null).await;
    // A member may be drained.
    let (status, reply) = scene.ask("PUT", &member, json!({"member": {"weight": 0}})).await;
    assert_eq!(status, 200, "{reply}");
    scene.protect(&pool, "pool", OFF).await;
    assert_eq!(scene.ask("DELETE", &member, Value::Null).await.0, 204);
}

/// What is below a protected load balancer is not what is protected.
#[tokio::test]
async fn a_protected_load_balancer_gets_listeners_and_loses_them() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    scene.protect(&format!("loadbalancers/{lb}"), "loadbalancer", ON).await;
    let listener = json!({"loadbalancer_id": lb, "protocol": "UDP", "protocol_port": 53});
    let listener = scene.make("listeners", "listener", listener).await;
    let (status, _) = scene.ask("DELETE", &format!("listeners/{listener}"), Value::Null).await;
    assert_eq!(status, 204);
}
