//! Keys that are taken away while their requests are under way.

use axum::body::{Body as HttpBody, Bytes};
use axum::http::Request;
use futures_util::{StreamExt as _, stream};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::sync::oneshot;

use super::{ClientKeys, PROJECT, Scene};

/// What is asked for by both ways of changing something: one resource, and several.
#[tokio::test]
async fn a_change_whose_key_is_revoked_meanwhile_is_not_made() {
    let scene = Scene::new();
    let [lb, listener, pool, _] = scene.service().await;
    let member = json!({"address": "10.0.0.9", "protocol_port": 80});
    let under_way = [
        ("PUT", format!("loadbalancers/{lb}"), json!({"loadbalancer": {"name": "other"}})),
        ("DELETE", format!("listeners/{listener}/force"), json!({})),
        ("POST", format!("pools/{pool}/members/batch-add"), json!({"members": [member]})),
    ];
    let before = scene.store.read().clone();
    let mut answers = Vec::new();
    for (method, path, body) in under_way {
        let (begun, is_begun) = oneshot::channel();
        let (more, rest) = oneshot::channel::<Bytes>();
        // It is known who asks once the body is looked at.
        let first = async move {
            let _ = begun.send(());
            Bytes::from_static(b" ")
        };
        let rest = async move { rest.await.unwrap() };
        let body_read = stream::once(first).chain(stream::once(rest)).map(Ok::<_, std::io::Error>);
        let uri = format!("/v3/{PROJECT}/elb/{path}");
        let request =
            Request::builder().method(method).uri(uri).header("x-auth-token", &scene.token);
        let request = request.body(HttpBody::from_stream(body_read)).unwrap();
        let service = TowerToHyperService::new(scene.router.clone());
        let answer = tokio::spawn(async move { service.call(request).await.unwrap().status() });
        is_begun.await.unwrap();
        answers.push((more, body, answer));
    }
    ClientKeys::change(&scene.keys_file, |keys| keys.revoke("full")).unwrap();
    for (more, body, answer) in answers {
        more.send(body.to_string().into()).unwrap();
        assert_eq!(answer.await.unwrap(), 401);
    }
    assert!(*scene.store.read() == before, "something was changed");
}
