//! A store that a file was applied to serves what the file says, whatever it held before.

mod gone;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::ResourceId;
use crate::source::file::{self, SourceText};
use crate::source::store::Store;

const AGENT: &str = "[agent]\ninterfaces = [\"eth0\"]\n";

const FILE: &str = r#"
    [[ipgroup]]
    name = "office"
    ip_list = ["10.0.0.0/8", { ip = "192.0.2.1", description = "gate" }]
    [[load_balancer]]
    name = "web"
    vip_address = "192.0.2.10"
    ipv6_vip_address = "2001:db8::10"
    [[load_balancer.listener]]
    name = "http"
    protocol = "TCP"
    protocol_port = 80
    default_pool = "web"
    cps = 7
    max_connection = 9
    keepalive_timeout = 60
    ipgroup = { ipgroup = "office", type = "black" }
    [[load_balancer.listener]]
    name = "many"
    protocol = "UDP"
    port_ranges = [{ start_port = 1000, end_port = 1999 }]
    default_pool = "quic"
    [[load_balancer]]
    name = "api"
    vip_address = "192.0.2.11"
    admin_state_up = false
    [[load_balancer.listener]]
    name = "plain"
    protocol = "TCP"
    protocol_port = 80
    default_pool = "web"
    [[pool]]
    name = "web"
    protocol = "TCP"
    forwarding = "ipip"
    lb_algorithm = "ROUND_ROBIN"
    connection_drain = { enable = true, timeout = 30 }
    session_persistence = { timeout = 1200 }
    pool_health = { minimum_healthy_member_count = 1 }
    healthmonitor = { type = "HTTP", delay = 2, timeout = 1, url_path = "/up", expected_codes = "200,204" }
    member = [
        { address = "10.0.0.1", protocol_port = 80, weight = 3 },
        { address = "10.0.0.2", protocol_port = 80 },
    ]
    [[pool]]
    name = "quic"
    protocol = "UDP"
    forwarding = "ipip"
    any_port_enable = true
    lb_algorithm = "QUIC_CID"
    quic_cid_hash_strategy = { offset = 1, len = 9 }
    healthmonitor = { type = "UDP_CONNECT", monitor_port = 1000 }
    member = [{ address = "2001:db8::1" }]
"#;

struct Scene {
    store: Store,
    settings: ApiSettings,
    _folder: tempfile::TempDir,
}

fn by() -> Applicant {
    Applicant {
        actor: "local:test".to_owned(),
        project: "p".to_owned(),
        request: "r".to_owned(),
        now: "2026-01-01T00:00:00Z".to_owned(),
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn model(text: &str) -> Model {
    let config = file::parse("file", &format!("{AGENT}{text}"));
    config.unwrap_or_else(|errors| panic!("{errors}")).model
}

/// A model as a value, in an order that does not depend on the source.
fn comparable(model: &Model) -> Value {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Array(all) => {
                let mut all: Vec<_> = all.into_iter().map(sorted).collect();
                all.sort_by_key(ToString::to_string);
                Value::Array(all)
            }
            Value::Object(all) => {
                Value::Object(all.into_iter().map(|(key, value)| (key, sorted(value))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
        }
    }
    sorted(serde_json::to_value(model).unwrap())
}

impl Scene {
    fn new() -> Self {
        Self::on(AGENT)
    }

    /// On a host with these settings.
    fn on(agent: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{agent}[api]\nforwarding = \"ipip\"\n");
        let settings = file::parse("elb.toml", &text).unwrap().api.unwrap();
        let path = folder.path().join("store.db");
        let source = std::sync::Arc::new(std::sync::RwLock::new(SourceText::of("elb.toml", &text)));
        let check = text::check(path.clone(), settings.clone(), source);
        let store = Store::open(&path, check).unwrap();
        Self { store, settings, _folder: folder }
    }

    fn apply(&self, text: &str) -> Result<Vec<AppliedChange>, String> {
        let (settings, model) = (self.settings.clone(), model(text));
        let done = self.store.write(move |transaction| {
            let applied = apply(transaction, &settings, &model, &by())?;
            assert_eq!(applied.records.len(), applied.changes.len());
            Ok(applied.changes)
        });
        run(done).unwrap()
    }

    /// Changes a document as the API would.
    fn set(&self, kind: DocumentKind, id: ResourceId, attributes: &Value) {
        let attributes = attributes.as_object().unwrap().clone();
        let done = self.store.write(move |transaction| {
            let mut document = (**transaction.documents().get(kind, id).unwrap()).clone();
            document.body.extend(attributes.clone());
            document.tags.insert("team".to_owned(), "edge".to_owned());
            transaction.put(document);
            Ok::<_, ()>(())
        });
        run(done).unwrap().unwrap();
    }

    fn served(&self) -> Model {
        text::model(&self.store.read(), &self.settings)
    }

    fn text(&self) -> String {
        text::text(&self.store.read(), &self.settings)
    }
}

/// Kind, action and attributes of what changes.
fn said(changes: &[AppliedChange]) -> Vec<String> {
    let one = |change: &AppliedChange| {
        let names: Vec<_> = change.attributes.iter().map(|one| one.name.as_str()).collect();
        format!("{:?} {} {} {}", change.action, change.kind, change.name, names.join(","))
    };
    changes.iter().map(|change| one(change).trim_end().to_owned()).collect()
}

#[test]
fn the_store_serves_what_the_file_says_under_the_same_ids() {
    let scene = Scene::new();
    let changes = scene.apply(FILE).unwrap();
    assert_eq!(changes.len(), 13, "{:?}", said(&changes));
    assert!(changes.iter().all(|change| change.action == AppliedAction::Add));
    assert_eq!(comparable(&scene.served()), comparable(&model(FILE)));
    assert_eq!(said(&scene.apply(FILE).unwrap()), [""; 0], "a second time there is nothing to do");
    let exported = scene.text();
    assert_eq!(said(&scene.apply(&exported).unwrap()), [""; 0], "{exported}");
    let revision = scene.store.read().revision;
    let other = Scene::new();
    other.apply(&exported).unwrap();
    assert_eq!(comparable(&other.served()), comparable(&model(FILE)), "ids go along");
    assert_eq!(revision, 1, "one commit, and none for nothing");
}

#[test]
fn what_changes_is_said_and_what_the_file_has_no_word_for_stays() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let web = ResourceId::of_load_balancer("web");
    let pool = ResourceId::of_pool("web");
    scene.set(DocumentKind::LoadBalancer, web, &json!({"description": "mine"}));
    scene.set(DocumentKind::Pool, pool, &json!({"description": "ours"}));
    let file = FILE
        .replace("weight = 3", "weight = 5")
        .replace("cps = 7", "cps = 8")
        .replace("{ address = \"10.0.0.2\", protocol_port = 80 },", "")
        .replace("timeout = 30", "timeout = 40")
        .replace("type = \"black\"", "type = \"white\"");
    let changes = scene.apply(&file).unwrap();
    let expected = [
        "Change pool web connection_drain",
        "Change listener http cps,ipgroup",
        "Change member 10.0.0.1 weight",
        "Remove member 10.0.0.2",
    ];
    assert_eq!(said(&changes), expected);
    assert_eq!(comparable(&scene.served()), comparable(&model(&file)));
    let documents = scene.store.read();
    let kept = documents.get(DocumentKind::Pool, pool).unwrap();
    assert_eq!((kept.text("description"), kept.tags["team"].as_str()), ("ours", "edge"));
    // A member of it is gone; what the API alone says of it stays.
    let above = documents.get(DocumentKind::LoadBalancer, web).unwrap();
    assert_eq!((above.text("description"), above.revision), ("mine", documents.revision));
}

/// Kinds that no file has stay whatever is applied.
#[test]
fn what_is_of_the_api_alone_stays() {
    let scene = Scene::new();
    let alone = DocumentKind::ALL.iter().copied().filter(|kind| !kind.is_in_files());
    let alone: Vec<DocumentKind> = alone.collect();
    assert!(alone.contains(&DocumentKind::SecurityPolicy), "{alone:?}");
    for kind in alone.clone() {
        let id = ResourceId::of_pool(kind.as_str());
        let document = Document {
            kind,
            id,
            project: by().project,
            body: Body::new(),
            tags: BTreeMap::new(),
            created: String::new(),
            updated: String::new(),
            first: 0,
            revision: 0,
        };
        let done = scene.store.write(move |transaction| {
            transaction.put(document.clone());
            Ok::<_, ()>(())
        });
        run(done).unwrap().unwrap();
    }
    for file in [FILE, &FILE.replace("cps = 7", "cps = 8")] {
        assert!(!scene.apply(file).unwrap().is_empty());
        let documents = scene.store.read();
        assert!(alone.iter().all(|kind| documents.of(*kind).count() == 1));
    }
}

/// A slave is a backup in the file, and goes back as what it is; the pool's memory of its clients, too.
#[test]
fn what_the_api_has_other_words_for_goes_back_as_it_was() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let pool = ResourceId::of_pool("web");
    let kept =
        |key: &str| scene.store.read().get(DocumentKind::Pool, pool).unwrap().body[key].clone();
    let minutes = json!({"type": "SOURCE_IP", "persistence_timeout": 20, "cookie_name": ""});
    assert_eq!(kept("session_persistence"), minutes);
    let slave = ResourceId::of_member(pool, "10.0.0.2:80".parse().unwrap());
    scene.set(DocumentKind::Member, slave, &json!({"role": "slave"}));
    scene.set(DocumentKind::Pool, pool, &json!({"master_slave": true}));
    let exported = scene.text();
    assert!(
        exported.contains("backup = true") && exported.contains("timeout = 1200"),
        "{exported}"
    );
    assert_eq!(said(&scene.apply(&exported).unwrap()), [""; 0]);
    let shorter = exported.replace("timeout = 1200", "timeout = 60");
    assert_eq!(said(&scene.apply(&shorter).unwrap()), ["Change pool web session_persistence"]);
    let without = exported.replace("[pool.session_persistence]\ntimeout = 1200\n", "");
    assert_eq!(said(&scene.apply(&without).unwrap()), ["Change pool web session_persistence"]);
    assert_eq!(kept("session_persistence"), Value::Null);
}

/// What was made by the API has ids of its own, which a file does not know.
#[test]
fn names_are_matched_where_the_file_has_no_ids() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let own = scene.text();
    // The same resources under other ids, as the API makes them.
    let mut other = own.clone();
    let ids: BTreeSet<String> = own
        .lines()
        .filter_map(|line| {
            line.trim().strip_prefix("id = \"")?.strip_suffix('"').map(str::to_owned)
        })
        .collect();
    for (n, id) in ids.iter().enumerate() {
        other = other.replace(id, &format!("00000000-0000-4000-8000-{n:012}"));
    }
    let made = Scene::new();
    made.apply(&other).unwrap();
    let before = made.served();
    assert_ne!(comparable(&before), comparable(&model(FILE)));
    assert_eq!(said(&made.apply(FILE).unwrap()), [""; 0]);
    let renamed = made.apply(&other.replace("\"web\"", "\"www\"")).unwrap();
    assert!(renamed.iter().all(|change| change.action == AppliedAction::Change), "{renamed:?}");
    assert_eq!(made.served().pools().len(), before.pools().len());
}

#[test]
fn addresses_are_exchanged_in_one_go() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let file = FILE.replace("192.0.2.10", "other").replace("192.0.2.11", "192.0.2.10");
    let file = file.replace("other", "192.0.2.11");
    assert_eq!(
        said(&scene.apply(&file).unwrap()),
        ["Change loadbalancer web vip_address", "Change loadbalancer api vip_address"]
    );
}

#[test]
fn what_the_api_has_no_word_for_is_refused_by_name_and_changes_nothing() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let before = scene.store.read().clone();
    let http = "url_path = \"/up\"";
    for (from, to, named) in [
        ("weight = 3", "backup = true", "member \"10.0.0.1:80\": backup = true"),
        ("forwarding = \"ipip\"\n    lb", "forwarding = \"gue\"\n    lb", "forwarding = \"gue\""),
        ("cps = 7", "fallback_pool = \"web2\"", "fallback_pool"),
        ("cps = 7", "no_member = \"reset\"", "no_member = \"reset\""),
        ("delay = 2", "delay = 0.5", "delay is no whole number"),
        ("timeout = 1200", "timeout = 90", "session_persistence of 90 s"),
        ("timeout = 1200", "timeout = 7200", "session_persistence of 7200 s"),
        ("timeout = 1200", "timeout = 60, prefix = 24", "session_persistence of 60 s by /24"),
        (http, "probe_path = \"direct\"", "probe_path = \"direct\""),
        ("type = \"black\"", "cut = true", "ipgroup.cut = true"),
        ("name = \"api\"", "name = \"api\"\nannounce = \"none\"", "announce = \"none\""),
    ] {
        let web2 = "[[pool]]\nname = \"web2\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
                    lb_algorithm = \"ROUND_ROBIN\"\nmember = \
                    [{ address = \"10.0.0.9\", protocol_port = 80 }]\n";
        let file = FILE.replacen(from, to, 1);
        let file = if to.contains("web2") { format!("{file}{web2}") } else { file };
        let why = scene.apply(&file).unwrap_err();
        assert!(why.contains("no word") && why.contains(named), "{to}: {why}");
        assert_eq!(*scene.store.read(), before);
    }
}

#[test]
fn what_is_protected_is_not_taken_away_and_what_has_no_pool_is_left_alone() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let web = ResourceId::of_load_balancer("web");
    let many = ResourceId::of_listener(web, "many");
    scene.set(DocumentKind::Listener, many, &json!({"default_pool_id": null}));
    let from = FILE.find("    [[load_balancer.listener]]\n    name = \"many\"").unwrap();
    let to = FILE.find("    [[load_balancer]]\n    name = \"api\"").unwrap();
    let without_many = [&FILE[..from], &FILE[to..]].concat();
    let changes = scene.apply(&without_many);
    assert_eq!(said(&changes.unwrap()), [""; 0]);
    assert!(scene.store.read().get(DocumentKind::Listener, many).is_some());
    scene.set(DocumentKind::LoadBalancer, web, &json!({"deletion_protection_enable": true}));
    let pools = &FILE[FILE.find("[[pool]]").unwrap()..];
    let why = scene.apply(pools).unwrap_err();
    assert!(why.contains("protected from deletion"), "{why}");
}

/// A file of some of three pools and two load balancers.
#[derive(Clone, Debug)]
struct Draw {
    /// Whether it is there, its algorithm, and the weights of those of its members that are there.
    pools: Vec<(bool, u8, Vec<Option<u32>>)>,
    /// Whether it is there and up, and the pools of its listeners.
    balancers: Vec<(bool, bool, Vec<Option<usize>>)>,
    /// Whether the two have each other's address.
    exchanged: bool,
}

fn draws() -> impl Strategy<Value = Draw> {
    let weights = prop::collection::vec(prop::option::of(0_u32..5), 4);
    let pools = prop::collection::vec((any::<bool>(), 0_u8..3, weights), 3);
    let listeners = prop::collection::vec(prop::option::of(0_usize..3), 2);
    let balancers = prop::collection::vec((any::<bool>(), any::<bool>(), listeners), 2);
    (pools, balancers, any::<bool>()).prop_map(|(pools, balancers, exchanged)| Draw {
        pools,
        balancers,
        exchanged,
    })
}

fn drawn(draw: &Draw) -> String {
    let mut text = String::new();
    for (n, (_, is_up, listeners)) in draw.balancers.iter().enumerate().filter(|(_, one)| one.0) {
        let address = if draw.exchanged { 1 - n } else { n };
        text += &format!(
            "[[load_balancer]]\nname = \"lb{n}\"\nvip_address = \"192.0.2.{address}\"\n\
             admin_state_up = {is_up}\n"
        );
        for (port, pool) in listeners.iter().enumerate() {
            let there = |pool: &usize| draw.pools[*pool].0 && pool % 2 == port;
            let Some(pool) = pool.filter(there) else { continue };
            text += &format!(
                "[[load_balancer.listener]]\nname = \"l{n}{port}\"\nprotocol = \"TCP\"\n\
                 protocol_port = {}\ndefault_pool = \"p{pool}\"\n",
                80 + port
            );
        }
    }
    for (n, (_, algorithm, members)) in draw.pools.iter().enumerate().filter(|(_, one)| one.0) {
        let algorithm = ["ROUND_ROBIN", "SOURCE_IP", "5_TUPLE_HASH"][usize::from(*algorithm)];
        text += &format!(
            "[[pool]]\nname = \"p{n}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
             lb_algorithm = \"{algorithm}\"\n"
        );
        // Packets keep their port: a member's is that of the listeners of its pool.
        for (at, weight) in members.iter().enumerate() {
            if let Some(weight) = weight {
                text += &format!(
                    "[[pool.member]]\naddress = \"10.0.0.{at}\"\nprotocol_port = {}\n\
                     weight = {weight}\n",
                    80 + n % 2
                );
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever a store held, it serves the file that was applied last, under the ids that the file has.
    #[test]
    fn a_store_serves_the_file_that_was_applied_last(draws in prop::collection::vec(draws(), 1..4)) {
        let scene = Scene::new();
        for draw in &draws {
            let text = drawn(draw);
            let (wanted, errors) = file::parse_lenient("file", &format!("{AGENT}{text}"));
            prop_assume!(!errors.has_errors());
            scene.apply(&text).map_err(TestCaseError::fail)?;
            let wanted = wanted.map(|config| config.model).unwrap_or_default();
            prop_assert_eq!(comparable(&scene.served()), comparable(&wanted));
            prop_assert_eq!(said(&scene.apply(&text).map_err(TestCaseError::fail)?), [""; 0]);
        }
    }
}
