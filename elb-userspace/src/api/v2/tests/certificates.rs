//! Certificates of version 2 are those of V3, without an object around them.

use serde_json::{Value, json};

use super::super::super::v3::tests::{PROJECT, Scene};
use super::id;

#[tokio::test]
async fn certificates_are_those_of_v3_and_flat() {
    let scene = Scene::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let path = "/v2.0/lbaas/certificates";
    let given = json!({"name": "web", "certificate": certificate, "private_key": key.serialize_pem(),
        "type": "server", "tenant_id": PROJECT, "domain": "a.example", "source": null});
    let (status, made) = scene.v2("POST", path, given.clone()).await;
    assert_eq!(
        (status, &made["name"], &made["private_key"]),
        (201, &json!("web"), &json!("*****"))
    );
    let text = made["create_time"].as_str().unwrap();
    assert!(text.len() == 19 && text.as_bytes()[10] == b' ', "{made}");
    let own = format!("{path}/{}", id(&made));
    let (_, v3) = scene.ask("GET", &format!("certificates/{}", id(&made)), Value::Null).await;
    assert_eq!(v3["certificate"]["domain"], "a.example");
    for (query, count) in
        [("", 1), ("?name=web&type=server", 1), ("?name=x", 0), ("?domain=a.example", 1)]
    {
        for begin in [path.to_owned(), format!("/v2/{PROJECT}/elb/certificates")] {
            let (status, all) = scene.v2("GET", &format!("{begin}{query}"), Value::Null).await;
            assert_eq!((status, &all["instance_num"]), (200, &json!(count)), "{begin}{query}");
        }
    }
    let change = json!({"description": "x", "admin_state_up": true});
    let (status, changed) = scene.v2("PUT", &own, change).await;
    assert_eq!(
        (status, &changed["description"], &changed["name"]),
        (200, &json!("x"), &json!("web"))
    );
    assert_eq!(scene.v2("GET", &own, Value::Null).await.1, changed);
    let other = |more: Value| {
        let mut all = given.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for (method, path, body, code, part) in [
        ("POST", path, json!({"certificate": {"name": "x"}}), 400, "as the body"),
        ("POST", path, other(json!({"nmae": "x"})), 400, "'nmae', use of"),
        ("POST", path, other(json!({"private_key": "x"})), 400, "private_key is none"),
        ("POST", path, other(json!({"source": "scm"})), 501, "source"),
        ("POST", path, other(json!({"tenant_id": "x"})), 403, "project"),
        ("PUT", &own, json!({"type": "client"}), 400, "type"),
        ("PATCH", &own, json!({}), 501, "PATCH"),
        ("GET", "/v2.0/lbaas/certificates/x", Value::Null, 404, "x could not be found"),
        ("GET", "/v2.0/lbaas/certificates?nmae=x", Value::Null, 400, "'nmae'"),
    ] {
        let (status, said) = scene.v2_refused(method, path, body).await;
        assert_eq!(status, code, "{method} {path}: {said}");
        assert!(said.contains(part), "{method} {path}: {said}");
    }
    let (status, _) = scene.v2_as(&scene.read_only, "DELETE", &own, Value::Null).await;
    assert_eq!(status, 403);
    assert_eq!(scene.v2("DELETE", &own, Value::Null).await, (204, Value::Null));
    assert_eq!(scene.v2("GET", &own, Value::Null).await.0, 404);
}
