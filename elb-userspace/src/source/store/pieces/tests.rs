//! Whatever changes, what is known of before gives the same pieces as everything made anew.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::super::Document;
use super::super::tests::settings;
use super::super::text::pieces;
use super::*;

fn id(n: u8) -> ResourceId {
    ResourceId::of_pool(&n.to_string())
}

/// One document of a kind under a small number, with references to others of small numbers.
fn document(kind: DocumentKind, n: u8, name: u8, other: u8) -> Document {
    let other = id(other).to_string();
    let body = match kind {
        DocumentKind::LoadBalancer => {
            json!({"name": format!("lb-{name}"), "vip_address": format!("192.0.2.{n}")})
        }
        DocumentKind::Listener => json!({
            "name": format!("l-{name}"), "loadbalancer_id": other, "default_pool_id": id(name).to_string(),
            "protocol": "TCP", "protocol_port": 80,
            "ipgroup": {"ipgroup_id": other, "type": "white", "enable_ipgroup": true},
        }),
        DocumentKind::Pool => json!({"name": format!("p-{name}"), "protocol": "TCP"}),
        DocumentKind::Member => {
            json!({"pool_id": other, "address": format!("10.0.0.{name}"), "protocol_port": 80})
        }
        DocumentKind::HealthMonitor => json!({"pool_id": other, "type": "TCP", "delay": 5}),
        DocumentKind::IpGroup => {
            json!({"name": format!("g-{name}"), "ip_list": [{"ip": format!("10.0.0.{name}")}]})
        }
        DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings
        | DocumentKind::Job => json!({}),
    };
    let body = body.as_object().cloned().unwrap();
    let (project, created, updated) = (String::new(), String::new(), String::new());
    let tags = BTreeMap::new();
    Document { kind, id: id(n), project, body, tags, created, updated, first: 1, revision: 1 }
}

const KINDS: [DocumentKind; 6] = [
    DocumentKind::LoadBalancer,
    DocumentKind::Listener,
    DocumentKind::Pool,
    DocumentKind::Member,
    DocumentKind::HealthMonitor,
    DocumentKind::IpGroup,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn changes_are_seen(
        steps in prop::collection::vec((0..KINDS.len(), 0_u8..4, 0_u8..4, 0_u8..4, any::<bool>()), 1..40)
    ) {
        let mut documents = Documents::default();
        let mut known = Pieces::new(settings());
        for (kind, n, name, other, is_there) in steps {
            let kind = KINDS[kind];
            let new = is_there.then(|| Arc::new(document(kind, n, name, other)));
            documents.replace((kind, id(n)), new);
            prop_assert_eq!(known.of(&documents), pieces(&documents, &settings()));
        }
    }
}

#[test]
fn only_what_changed_is_made_again() {
    let mut documents = Documents::default();
    let mut put = |kind, n, name, other| {
        documents.replace((kind, id(n)), Some(Arc::new(document(kind, n, name, other))));
        documents.clone()
    };
    put(DocumentKind::LoadBalancer, 0, 0, 0);
    put(DocumentKind::LoadBalancer, 1, 1, 0);
    put(DocumentKind::Listener, 0, 2, 0);
    put(DocumentKind::Pool, 2, 2, 0);
    put(DocumentKind::Pool, 3, 3, 0);
    let before = put(DocumentKind::Member, 0, 1, 2);
    let renamed = put(DocumentKind::Pool, 2, 9, 0);
    let mut known = Pieces::new(settings());
    let was = known.of(&before);
    let now = known.of(&renamed);
    let is_same: Vec<bool> =
        was.iter().zip(&now).map(|(one, other)| Arc::ptr_eq(one, other)).collect();
    let of = |kind, n| renamed.of(kind).position(|one| one.id == id(n)).unwrap();
    let (balancers, pool) = (renamed.count(DocumentKind::LoadBalancer), of(DocumentKind::Pool, 2));
    let mut expected = vec![true; 4];
    // The pool, and the load balancer whose listener names it.
    expected[of(DocumentKind::LoadBalancer, 0)] = false;
    expected[balancers + pool] = false;
    assert_eq!(is_same, expected);
}
