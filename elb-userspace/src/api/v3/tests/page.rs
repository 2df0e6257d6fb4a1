//! The document and its page, for everyone; the operations, for those with a key; and answers that are not what the
//! document says.

use axum::body::Body as HttpBody;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::super::call::Reply;
use super::super::openapi::openapi_document;
use super::super::server::judged;
use super::super::table::TABLE;
use super::{PROJECT, Scene};

impl Scene {
    /// What everyone gets.
    async fn fetched(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().uri(path).body(HttpBody::empty()).unwrap();
        let response = TowerToHyperService::new(self.router.clone()).call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes().to_vec();
        (parts.status, parts.headers, String::from_utf8(text).unwrap())
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_for_everyone() {
    let scene = Scene::new();
    let (status, headers, text) = scene.fetched("/docs/openapi.json").await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), openapi_document());
    assert!(!text.contains(PROJECT) && !text.contains(env!("CARGO_PKG_VERSION")), "of this host");
    let (status, headers, page) = scene.fetched("/docs/").await;
    assert_eq!(status, StatusCode::OK);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe")
    );
    assert_eq!(headers["x-content-type-options"], "nosniff");
    // All that it asks for is here, and next to it.
    let named = |attribute: &'static str| {
        let rest = page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
        rest.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(named("src=\""), ["page.js"]);
    for name in [named("src=\""), named("href=\"")].concat() {
        let (status, headers, _) = scene.fetched(&format!("/docs/{name}")).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        assert!(headers.contains_key("content-security-policy"), "{name}");
    }
    assert!(
        !page.contains("<style") && !page.contains("onclick") && !page.contains("://"),
        "{page}"
    );
    let (_, _, script) = scene.fetched("/docs/page.js").await;
    assert!(!script.contains("innerHTML") && !script.contains("eval(") && !script.contains("://"));
    let (status, headers, _) = scene.fetched("/docs").await;
    assert_eq!(
        (status, &headers["location"]),
        (StatusCode::PERMANENT_REDIRECT, &"/docs/".parse().unwrap())
    );
    assert_eq!(scene.fetched("/docs/keys").await.0, StatusCode::UNAUTHORIZED);
}

/// A few are enough: all go one way, and requests without a key wait longer each time.
#[tokio::test]
async fn operations_are_for_those_with_a_key() {
    let scene = Scene::new();
    for name in ["list_load_balancers", "create_pool", "list_api_versions", "upgrade_loadbalancer"]
    {
        let operation = TABLE.operations.iter().find(|one| one.name == name).unwrap();
        let path =
            operation.path.join("/").replace("{project_id}", PROJECT).replace(['{', '}'], "");
        let (status, reply) = scene.raw("", &operation.method, &path, "{}").await;
        assert_eq!(
            (status, &reply["error_code"]),
            (StatusCode::UNAUTHORIZED, &json!("APIGW.0301")),
            "{name}"
        );
    }
}

/// In builds for tests, an answer is compared with the table: its status, what it has, and what it must have.
#[test]
fn an_answer_that_is_not_what_the_table_says_is_an_error() {
    let operation = |name: &str| TABLE.operations.iter().find(|one| one.name == name).unwrap();
    let tags =
        |status, value| judged(Reply::new(status, "tags", value), operation("list_listener_tags"));
    assert!(tags(StatusCode::OK, json!([{"key": "a", "values": ["b"]}])).is_ok());
    for (status, value, said) in [
        (StatusCode::CREATED, json!([]), "its status is 201"),
        (StatusCode::OK, json!({}), "tags is {}"),
        (StatusCode::OK, json!([{"key": 1}]), "tags[0].key is 1"),
        (StatusCode::OK, json!([{"more": 1}]), "Unrecognized attribute(s) 'more'"),
    ] {
        let refusal = tags(status, value).unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.code), (500, "ELB.8906"));
        assert!(refusal.message.contains(said), "{refusal:?}");
    }
    let quota = judged(Reply::new(StatusCode::OK, "quota", json!({})), operation("show_quota"));
    assert!(quota.unwrap_err().message.contains("quota.certificate is missing"));
    assert!(judged(Reply::nothing(), operation("delete_pool")).is_ok());
    assert!(judged(Reply::nothing(), operation("show_pool")).is_err());
}
