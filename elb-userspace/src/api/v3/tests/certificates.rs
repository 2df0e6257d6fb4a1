//! Certificates: kept by their rules, with private keys that no client sees.

use serde_json::{Value, json};

use super::{PROJECT, Scene};

/// A certificate for a name, and its key.
pub(super) fn made(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// What of a private key must be nowhere: the line in which its secret is.
fn secret(key: &str) -> &str {
    key.lines().nth(1).unwrap()
}

#[tokio::test]
async fn certificates_are_kept_by_their_rules() {
    let scene = Scene::new();
    let (certificate, key) = made("a.example");
    let server = json!({"name": "web", "certificate": certificate, "private_key": key, "domain": "a.example"});
    let id = scene.make("certificates", "certificate", server.clone()).await;
    let authority = json!({"name": "ca", "certificate": certificate, "type": "client"});
    scene.make("certificates", "certificate", authority).await;
    let path = format!("certificates/{id}");
    let (_, shown) = scene.ask("GET", &path, Value::Null).await;
    let first = &shown["certificate"];
    assert_eq!(
        (&first["common_name"], &first["private_key"]),
        (&json!("a.example"), &json!("*****"))
    );
    assert_eq!(first["subject_alternative_names"], json!(["a.example"]));
    for (query, count) in [
        ("type=server", 1),
        ("type=server&type=client", 2),
        ("name=ca", 1),
        ("common_name=b", 0),
        ("domain=a.example", 1),
    ] {
        let (_, all) = scene.ask("GET", &format!("certificates?{query}"), Value::Null).await;
        assert_eq!(all["page_info"]["current_count"], count, "{query}");
    }
    let (newer, other) = made("b.example");
    let put = async |body: Value| scene.ask("PUT", &path, json!({"certificate": body})).await;
    let (status, why) = put(json!({"certificate": newer})).await;
    assert_eq!(
        (status, &why["error_code"]),
        (400, &json!("ELB.8902")),
        "the key is that of the old one"
    );
    assert_eq!(put(json!({"type": "client"})).await.0, 400, "the type stays");
    assert_eq!(put(json!({"domain": "a b"})).await.0, 400);
    assert_eq!(put(json!({"description": "x"})).await.0, 200);
    let (status, shown) = put(json!({"certificate": newer, "private_key": other})).await;
    assert_eq!((status, &shown["certificate"]["common_name"]), (200, &json!("b.example")));
    assert_ne!(shown["certificate"]["fingerprint"], first["fingerprint"]);
    let theirs = format!("/v3/{}/elb/{path}", PROJECT.replace('0', "9"));
    assert_eq!(scene.raw(&scene.other, "GET", &theirs, "").await.0, 404);
    for (attribute, value) in [("scm_certificate_id", "s"), ("source", "scm")] {
        let mut given = server.clone();
        given[attribute] = json!(value);
        let refused = scene.refused("POST", "certificates", json!({"certificate": given})).await;
        assert_eq!(refused.1, "ELB.8903", "{}", refused.2);
    }
    assert_eq!(scene.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(scene.refused("GET", &path, Value::Null).await.1, "ELB.8904");
}

#[tokio::test]
async fn there_may_be_so_many_certificates_which_go_together() {
    let scene = Scene::new();
    let (certificate, _) = made("a.example");
    let authority = json!({"certificate": certificate, "type": "client"});
    let mut ids = Vec::new();
    for _ in 0..120 {
        ids.push(scene.make("certificates", "certificate", authority.clone()).await);
    }
    let one_more = json!({"certificate": authority});
    assert_eq!(scene.refused("POST", "certificates", one_more).await.1, "ELB.8905");
    let (_, quotas) = scene.ask("GET", "quotas/details?quota_key=certificate", Value::Null).await;
    let row = json!({"quota_key": "certificate", "quota_limit": 120, "used": 120, "unit": "count"});
    assert_eq!(quotas["quotas"], json!([row]));
    ids.truncate(2);
    ids[1] = ids[1].to_uppercase();
    let given = json!({"certificates": [ids[0], ids[1], PROJECT]});
    let (status, reply) = scene.ask("POST", "certificates/batch-delete", given).await;
    let results: Vec<_> = reply["certificates"].as_array().unwrap().iter().collect();
    let found = results.iter().map(|one| one["ret_status"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((status, &found[..]), (200, &["successful", "successful", "not found"][..]));
    let (_, all) = scene.ask("GET", "certificates", Value::Null).await;
    assert_eq!(all["page_info"]["current_count"], 118);
}

/// Not unless the project has them shown, and not to those who may only read.
#[tokio::test]
async fn private_keys_are_shown_where_that_is_asked_for() {
    let scene = Scene::new();
    let (certificate, key) = made("a.example");
    let server = json!({"certificate": certificate, "private_key": key});
    let id = scene.make("certificates", "certificate", server.clone()).await;
    let path = format!("certificates/{id}");
    let echo = "certificates/settings/private-key-echo";
    let shown = async |path: &str| scene.ask("GET", path, Value::Null).await.1;
    assert_eq!(shown(echo).await["private_key_echo"], false);
    let (status, reply) = scene.ask("POST", echo, json!({"private_key_echo": true})).await;
    assert_eq!((status, &reply["private_key_echo"]), (201, &json!(true)));
    assert_eq!(shown(echo).await["private_key_echo"], true);
    assert_eq!(shown(&path).await["certificate"]["private_key"], json!(key));
    assert_eq!(shown("certificates").await["certificates"][0]["private_key"], json!(key));
    let (_, made) = scene.ask("POST", "certificates", json!({"certificate": server})).await;
    assert_eq!(made["certificate"]["private_key"], json!(key));
    for path in [format!("/v3/{PROJECT}/elb/{path}"), format!("/v3/{PROJECT}/elb/certificates")] {
        let (status, reply) = scene.raw(&scene.read_only, "GET", &path, "").await;
        assert!(status == 200 && !reply.to_string().contains(secret(&key)), "{reply}");
    }
    assert_eq!(scene.ask("POST", echo, json!({"private_key_echo": false})).await.0, 201);
    assert_eq!(shown(&path).await["certificate"]["private_key"], "*****");
    assert_eq!(scene.refused("POST", echo, json!({})).await.1, "ELB.8902");
    assert_eq!(scene.refused("POST", echo, json!({"private_key_echo": "x"})).await.1, "ELB.8902");
}

/// Whatever becomes of a request with a private key, neither its answer nor its record has it.
#[tokio::test]
async fn private_keys_are_in_no_message_and_no_record() {
    let scene = Scene::new();
    let (certificate, key) = made("a.example");
    let (_, other) = made("b.example");
    let keys = [&*key, &*other];
    let is_clean = |reply: &Value| {
        let text = reply.to_string();
        assert!(keys.iter().all(|key| !text.contains(&secret(key)[..40])), "{text}");
    };
    let long = format!("{key}{}", "x".repeat(8192));
    let many = json!({"certificate": {"certificate": certificate, "private_key": key, "name": 5}});
    let nested =
        json!({"certificate": {"certificate": certificate, "private_key": [secret(&key)]}});
    let wrong =
        |key: &str| json!({"certificate": {"certificate": certificate, "private_key": key}});
    let sm = json!({"certificate": {"certificate": certificate, "private_key": key, "type": "server_sm",
        "enc_private_key": secret(&key)}});
    let bare = secret(&key).to_owned();
    for body in [wrong(&other), wrong(&long), wrong(&bare), many, nested, sm] {
        let (status, reply) = scene.ask("POST", "certificates", body).await;
        assert_eq!(status, 400, "{reply}");
        is_clean(&reply);
    }
    let server = json!({"name": "web", "certificate": certificate, "private_key": key});
    let id = scene.make("certificates", "certificate", server).await;
    let path = format!("certificates/{id}");
    is_clean(&scene.ask("PUT", &path, wrong(&other)).await.1);
    is_clean(&scene.ask("PUT", &path, wrong(&key)).await.1);
    is_clean(
        &scene.ask("POST", "certificates/batch-delete", json!({"certificates": [id]})).await.1,
    );
    let records = scene.records().await;
    let of = |operation: &str| records.iter().filter(|one| one.operation == operation).count();
    assert_eq!(
        (of("createCertificate"), of("updateCertificate"), of("deleteCertificate")),
        (7, 2, 1)
    );
    for record in &records {
        let bodies = json!([record.before, record.after]);
        is_clean(&bodies);
    }
    let masked = records.iter().filter_map(|one| one.after.as_ref()?.get("private_key")).count();
    assert_eq!(masked, 2, "that there is one is said");
}
