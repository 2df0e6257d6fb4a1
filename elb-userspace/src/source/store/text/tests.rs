//! What a store holds is a file that the same rules read, and nothing is served that refers to what is not there.

use std::path::Path;

use serde_json::{Value, json};

use super::super::tests::{document, settings};
use super::super::*;
use super::*;
use crate::model::{Forwarding, ResourceId};

/// A load balancer, a listener with an access list, its group, and its pool.
fn guarded() -> Documents {
    let id = ResourceId::of_pool;
    let mut documents = Documents::default();
    let mut put = |kind, name: &str, body: Value| {
        let body = body.as_object().cloned().unwrap();
        let document = Document { body, id: id(name), ..document(kind, name, 1) };
        documents.replace((kind, document.id), Some(document.into()));
    };
    put(DocumentKind::LoadBalancer, "lb", json!({"name": "web", "vip_address": "192.0.2.10"}));
    let pool = json!({"name": "web", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
    put(DocumentKind::Pool, "pool", pool);
    let listener = json!({
        "name": "http", "loadbalancer_id": id("lb").to_string(), "protocol": "TCP",
        "protocol_port": 80, "default_pool_id": id("pool").to_string(),
        "ipgroup": {"ipgroup_id": id("group").to_string(), "type": "white", "enable_ipgroup": true},
    });
    put(DocumentKind::Listener, "http", listener);
    put(
        DocumentKind::IpGroup,
        "group",
        json!({"name": "office", "ip_list": [{"ip": "10.0.0.0/8"}]}),
    );
    documents
}

fn check_with(file: &str) -> ModelCheck {
    let source = SourceText::of("elb.toml", file);
    check("store.db".into(), settings(), Arc::new(RwLock::new(source)))
}

const HOST: &str = "[agent]\ninterfaces = [\"e\"]\n[api]\nforwarding = \"ipip\"\n";

/// The figures of a flavor are those of each listener that says nothing lower, where its pool counts connections.
#[test]
fn a_flavor_limits_listeners() {
    let served = |algorithm: &str, own: Value| {
        let mut documents = guarded();
        let mut set = |kind, name: &str, more: Value| {
            let id = ResourceId::of_pool(name);
            let mut document = (**documents.get(kind, id).unwrap()).clone();
            document.body.extend(more.as_object().cloned().unwrap());
            documents.replace((kind, id), Some(document.into()));
        };
        set(DocumentKind::LoadBalancer, "lb", json!({"l4_flavor_id": FLAVORS[0].id}));
        set(DocumentKind::Pool, "pool", json!({"lb_algorithm": algorithm}));
        set(DocumentKind::Listener, "http", own);
        assert_eq!(check_with(HOST)(&documents), Ok(()));
        let model = model(&documents, &settings());
        let (_, listener) = model.listeners().next().unwrap();
        (listener.cps.get(), listener.max_connection.get())
    };
    assert_eq!(served("ROUND_ROBIN", json!({})), (10_000, 500_000));
    assert_eq!(served("ROUND_ROBIN", json!({"cps": 100, "connection": 600_000})), (100, 500_000));
    assert_eq!(served("SOURCE_IP", json!({})), (10_000, 0), "no connection is counted");
    let of = |kind, body: Value| Document {
        body: body.as_object().cloned().unwrap(),
        ..document(kind, "any", 1)
    };
    let balancer = of(DocumentKind::LoadBalancer, json!({"l4_flavor_id": FLAVORS[1].id}));
    let udp = of(DocumentKind::Listener, json!({"protocol": "UDP", "cps": 7}));
    assert_eq!(Flavor::limits(&balancer, &udp, false), (7, 0), "nor is a new one of UDP");
}

/// A listener that refers to what is not there is not served, and never without its access list.
#[test]
fn a_reference_to_what_is_not_there_is_an_error() {
    let id = ResourceId::of_pool;
    let check = check_with(HOST);
    let served = |documents: &Documents| {
        let model = model(documents, &settings());
        model.listeners().map(|(_, one)| one.ipgroup.is_some()).collect::<Vec<_>>()
    };
    assert_eq!((check(&guarded()), served(&guarded())), (Ok(()), vec![true]));
    let set = |documents: &mut Documents, of: (DocumentKind, &str), key: &str, value| {
        let mut document = (**documents.get(of.0, id(of.1)).unwrap()).clone();
        document.body.insert(key.to_owned(), value);
        documents.replace((of.0, document.id), Some(document.into()));
    };
    let listener = (DocumentKind::Listener, "http");
    let mut without = guarded();
    without.replace((DocumentKind::IpGroup, id("group")), None);
    // Nor is another one with the id as its name meant, nor one of another kind with the id.
    let mut others = without.clone();
    for name in [id("group").to_string(), id("group").to_string().to_uppercase()] {
        let body = json!({"name": name, "ip_list": []}).as_object().cloned().unwrap();
        let other = Document { body, ..document(DocumentKind::IpGroup, &name, 1) };
        others.replace((DocumentKind::IpGroup, other.id), Some(other.into()));
    }
    let mut pool = (**others.get(DocumentKind::Pool, id("pool")).unwrap()).clone();
    pool.id = id("group");
    pool.body.insert("name".to_owned(), id("group").to_string().into());
    others.replace((DocumentKind::Pool, pool.id), Some(pool.into()));
    let mut nameless = guarded();
    set(&mut nameless, listener, "ipgroup", json!({"ipgroup_id": "office"}));
    let mut poolless = guarded();
    poolless.replace((DocumentKind::Pool, id("pool")), None);
    for (documents, said) in [
        (without, "does not exist"),
        (others, "does not exist"),
        (nameless, "ipgroup"),
        (poolless, "default_pool"),
    ] {
        let why = check(&documents).unwrap_err();
        assert!(why.contains(said), "{why}");
        assert_eq!(served(&documents), [false; 0], "{said}");
    }
    let mut open = guarded();
    set(&mut open, listener, "ipgroup", Value::Null);
    assert_eq!((check(&open), served(&open)), (Ok(()), vec![false]), "null is for everyone");
}

/// Whatever is wrong with the file, what is wrong with the store is seen.
#[test]
fn a_file_with_errors_lets_nothing_through() {
    let mut wrong = guarded();
    wrong.replace((DocumentKind::IpGroup, ResourceId::of_pool("group")), None);
    let broken = [
        (format!("{HOST}[agent\n"), "cannot be read"),
        (HOST.replace("\"ipip\"", "\"ipip"), "cannot be read"),
        (HOST.replace("interfaces", "interface"), "interfaces"),
    ];
    for (file, said) in broken {
        for documents in [&guarded(), &wrong] {
            let why = check_with(&file)(documents).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
    }
    let both = format!("pool = []\n{HOST}");
    assert_eq!(check_with(&both)(&guarded()), Ok(()), "it is not the store's");
    assert!(check_with(&both)(&wrong).unwrap_err().contains("does not exist"));
    let noisy = (0..1_100).map(|n| format!("odd_{n} = 1\n")).collect::<String>() + HOST;
    assert_eq!(check_with(&noisy)(&guarded()), Ok(()), "it is not the store's");
    assert!(check_with(&noisy)(&wrong).unwrap_err().contains("does not exist"));
}

#[test]
fn the_text_is_a_file_that_the_same_rules_read() {
    let id = ResourceId::of_pool;
    let mut documents = Documents::default();
    let mut put = |kind, name: &str, body: Value| {
        let document = Document {
            body: body.as_object().cloned().unwrap(),
            id: id(name),
            ..document(kind, name, 1)
        };
        documents.replace((kind, document.id), Some(document.into()));
    };
    let lb = json!({"name": "web", "vip_address": "192.0.2.10", "ipv6_vip_address": null});
    put(DocumentKind::LoadBalancer, "lb", lb);
    let pool = json!({"name": "same", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
    put(DocumentKind::Pool, "two", pool.clone());
    let mut remembering = pool;
    remembering["session_persistence"] = json!({"type": "SOURCE_IP", "persistence_timeout": 20});
    put(DocumentKind::Pool, "one", remembering);
    let listener = json!({
        "name": "", "loadbalancer_id": id("lb").to_string(), "protocol": "TCP", "protocol_port": 80,
        "default_pool_id": id("one").to_string(), "connection": 5, "cps": 7,
        "ipgroup": {"ipgroup_id": id("g").to_string(), "type": "black", "enable_ipgroup": true},
    });
    put(DocumentKind::Listener, "listener", listener);
    let without = json!({"name": "w", "loadbalancer_id": id("lb").to_string(), "protocol": "UDP",
                         "protocol_port": 53, "default_pool_id": null});
    put(DocumentKind::Listener, "without", without);
    let group = json!({"name": "g", "ip_list": [{"ip": "10.0.0.0/8", "description": "x"}]});
    put(DocumentKind::IpGroup, "g", group);
    let member = json!({"name": "m", "pool_id": id("one").to_string(), "address": "10.0.0.1",
                        "protocol_port": 80, "weight": 3});
    put(DocumentKind::Member, "m", member);
    let monitor = json!({"pool_id": id("one").to_string(), "type": "TCP", "delay": 5, "timeout": 3,
                         "max_retries": 2, "max_retries_down": 4, "url_path": "/", "monitor_port": null});
    put(DocumentKind::HealthMonitor, "h", monitor);
    let (text, pieces) = (text(&documents, &settings()), pieces(&documents, &settings()));
    let source = SourceText::of("f", "[agent]\ninterfaces = [\"e\"]\n[api]\nforwarding = \"ipip\"");
    let (config, errors) =
        file::parse_source(&source.with_store(Path::new("s"), pieces), &Host::default());
    assert!(!errors.has_errors(), "{errors}\n{text}");
    let model = config.unwrap().model;
    let (lb, listener) = model.listeners().next().unwrap();
    assert_eq!((lb.name.as_str(), lb.id, model.listeners().count()), ("web", id("lb"), 1));
    assert_eq!(listener.default_pool.as_str(), id("one").to_string(), "two pools have one name");
    assert_eq!((listener.cps.get(), listener.max_connection.get()), (7, 5));
    assert!(listener.ipgroup.is_some());
    let pool = model.pool_with(id("one")).unwrap();
    assert_eq!((pool.members[0].id, pool.members[0].weight.get()), (id("m"), 3));
    assert_eq!(pool.healthmonitor.as_ref().map(|one| one.max_retries_down.get()), Some(4));
    assert_eq!(pool.forwarding, Forwarding::Ipip);
    assert_eq!(pool.session_persistence.map(|one| one.timeout.get()), Some(1200), "20 minutes");
}
