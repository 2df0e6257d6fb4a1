//! The API as its clients meet it, on a real store, without an agent.

mod batches;
mod bounds;
mod certificates;
mod copies;
mod facts;
mod filters;
mod ids;
mod kept;
mod l7;
mod master_slave;
mod member_checks;
mod page;
mod persistence;
mod projects;
mod protection;
mod refusals;
mod removal;
mod revoked;
mod sequences;
mod subnets;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use axum::Extension;
use axum::body::Body as HttpBody;
use axum::http::{Request, StatusCode};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::keys::{ClientKeys, KeyRole};
use super::resources::{ApiHost, ApiLimits, MemberHealths};
use super::server::{ApiFiles, ApiServer};
use crate::api::Query;
use crate::api::tcp::Peer;
use crate::health::OperatingStatus;
use crate::model::ResourceId;
use crate::source::api::ApiSettings;
use crate::source::store::{DocumentKind, Pieces, Reached, Store};
use crate::source::subnet::Subnets;
use crate::source::{file, store};

pub(in crate::api) const PROJECT: &str = "0123456789abcdef0123456789abcdef";
const LIMITS: ApiLimits =
    ApiLimits { listeners: 100, members: 1000, connections: 1 << 20, hides_clients: false };

/// An API with a store of its own, and tokens for it.
pub(in crate::api) struct Scene {
    router: axum::Router,
    pub(in crate::api) server: ApiServer,
    pub(in crate::api) store: Store,
    pub(in crate::api) token: String,
    pub(in crate::api) read_only: String,
    pub(in crate::api) other: String,
    health: MemberHealths,
    settings: ApiSettings,
    keys_file: PathBuf,
    _folder: tempfile::TempDir,
}

/// What is this host's own, whatever host runs this.
fn own_addresses() -> BTreeSet<IpAddr> {
    [IpAddr::from([192, 0, 2, 2])].into()
}

/// An agent that knows what keeps a member from working.
fn agent() -> mpsc::Sender<Query> {
    let (queries, mut asked) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(query) = asked.recv().await {
            if let Query::Diagnose(request, answer) = query {
                drop(answer.send(member_checks::found(request)));
            }
        }
    });
    queries
}

impl Scene {
    pub(in crate::api) fn new() -> Self {
        Self::with("")
    }

    /// With more in `[api]`.
    pub(in crate::api) fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text =
            format!("[agent]\ninterfaces = [\"eth0\"]\n[api]\nforwarding = \"ipip\"\n{more}");
        let settings: ApiSettings = file::parse("elb.toml", &text).unwrap().api.unwrap();
        let (path, own) = (folder.path().join("store.db"), settings.clone());
        let known = Mutex::new(Pieces::new(settings.clone()));
        let store = Store::open(
            &path,
            Box::new(move |documents| {
                let pieces = known.lock().unwrap().of(documents);
                assert_eq!(pieces, store::text::pieces(documents, &own), "whatever changed");
                let source = file::SourceText::of("elb.toml", &text);
                let source = source.with_store("store".as_ref(), pieces);
                let (_, errors) = file::parse_source(&source, &file::Host::default());
                if errors.has_errors() { Err(errors.to_string()) } else { Ok(()) }
            }),
        );
        let store = store.unwrap();
        let mut keys = ClientKeys::default();
        let mut make = |name: &str, project: &str, role| {
            keys.create(name, Some(project), role, String::new()).unwrap().token
        };
        let token = make("full", PROJECT, KeyRole::Full);
        let read_only = make("reader", PROJECT, KeyRole::ReadOnly);
        let other = make("other", &PROJECT.replace('0', "9"), KeyRole::Full);
        let keys_file = folder.path().join("keys.json");
        keys.write(&keys_file).unwrap();
        let (health, queries) = (MemberHealths::default(), agent());
        let subnets = Subnets::new(&settings.subnets, own_addresses);
        let host = ApiHost { limits: LIMITS, subnets, health: health.clone() };
        let kept = keys_file.clone();
        let files = ApiFiles { keys: keys_file, signed: folder.path().join("signed.json") };
        let server = ApiServer::new(settings.clone(), host, files, Ok(store.clone()), queries);
        let peer = Extension(Peer::of(IpAddr::from([127, 0, 0, 1])));
        let router = server.clone().router().layer(peer);
        Self {
            router,
            server,
            store,
            token,
            read_only,
            other,
            health,
            settings,
            keys_file: kept,
            _folder: folder,
        }
    }

    /// From now on, the agent knows that members are so.
    pub(in crate::api) fn members_are(&self, health: &[(ResourceId, OperatingStatus)]) {
        self.health.replace(health.iter().map(|(id, status)| (*id, (*status, None))));
    }

    async fn raw(&self, token: &str, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        use http_body_util::BodyExt as _;
        let request = Request::builder().method(method).uri(path).header("x-auth-token", token);
        let request = request.body(HttpBody::from(body.to_owned())).unwrap();
        let service = TowerToHyperService::new(self.router.clone());
        let response = service.call(request).await.unwrap();
        let status = response.status();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        assert!(body.is_null() || body["request_id"] == id, "{body}");
        (status, body)
    }

    pub(in crate::api) async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let path = format!("/v3/{PROJECT}/elb/{path}");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, body) = self.raw(&self.token, method, &path, &body).await;
        (status.as_u16(), body)
    }

    /// Makes a resource, and returns its id.
    async fn make(&self, path: &str, key: &str, body: Value) -> String {
        let (status, reply) = self.ask("POST", path, json!({key: body})).await;
        assert_eq!(status, 201, "{reply}");
        reply[key]["id"].as_str().unwrap().to_owned()
    }

    async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String, String) {
        let (status, reply) = self.ask(method, path, body).await;
        let text = |key: &str| reply[key].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned();
        (status, text("error_code"), text("error_msg"))
    }

    /// A load balancer, a listener, and its pool with a member.
    async fn service(&self) -> [String; 4] {
        let lb =
            json!({"name": "web", "vip_address": "192.0.2.10", "availability_zone_list": ["az"]});
        let lb = self.make("loadbalancers", "loadbalancer", lb).await;
        let listener = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 80});
        let listener = self.make("listeners", "listener", listener).await;
        let pool =
            json!({"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
        let pool = self.make("pools", "pool", pool).await;
        let member = json!({"address": "10.0.0.1", "protocol_port": 80});
        let member = self.make(&format!("pools/{pool}/members"), "member", member).await;
        [lb, listener, pool, member]
    }
}

#[tokio::test]
async fn a_service_is_made_shown_changed_and_taken_apart_in_order() {
    let scene = Scene::new();
    let [lb, listener, pool, member] = scene.service().await;
    let (_, shown) = scene.ask("GET", &format!("loadbalancers/{lb}"), Value::Null).await;
    let shown = &shown["loadbalancer"];
    assert_eq!(shown["provisioning_status"], "PENDING_CREATE", "nothing serves it");
    assert_eq!(
        (&shown["pools"][0]["id"], &shown["listeners"][0]["id"]),
        (&json!(pool), &json!(listener))
    );
    let (_, shown) = scene.ask("GET", &format!("pools/{pool}/members/{member}"), Value::Null).await;
    assert_eq!(shown["member"]["operating_status"], "NO_MONITOR");
    let monitor =
        json!({"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2});
    let monitor = scene.make("healthmonitors", "healthmonitor", monitor).await;
    let change = json!({"member": {"weight": 7, "name": "b1"}});
    let (status, shown) = scene.ask("PUT", &format!("pools/{pool}/members/{member}"), change).await;
    assert_eq!((status, &shown["member"]["weight"]), (200, &json!(7)));
    assert_eq!(
        shown["member"]["operating_status"], "INITIAL",
        "it is probed, and there is no result"
    );
    scene.store.reach(Reached { applied: u64::MAX, refused: None });
    let (_, shown) = scene.ask("GET", &format!("loadbalancers/{lb}"), Value::Null).await;
    assert_eq!(shown["loadbalancer"]["provisioning_status"], "ACTIVE");

    for path in
        [format!("loadbalancers/{lb}"), format!("listeners/{listener}"), format!("pools/{pool}")]
    {
        let (status, code, message) = scene.refused("DELETE", &path, Value::Null).await;
        assert_eq!((status, &*code), (409, "ELB.8907"), "{message}");
        assert!(message.contains("delete it"), "{message}");
    }
    for path in [
        format!("pools/{pool}/members/{member}"),
        format!("healthmonitors/{monitor}"),
        format!("listeners/{listener}"),
        format!("pools/{pool}"),
        format!("loadbalancers/{lb}"),
    ] {
        let (status, reply) = scene.ask("DELETE", &path, Value::Null).await;
        assert_eq!((status, reply), (204, Value::Null), "{path}");
        assert_eq!(scene.refused("GET", &path, Value::Null).await.1, "ELB.8904");
    }
    assert_eq!(scene.store.read().of(DocumentKind::Pool).count(), 0);
}

#[tokio::test]
async fn projects_roles_and_tokens_are_kept_apart() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    let path = format!("/v3/{PROJECT}/elb/loadbalancers/{lb}");
    assert_eq!(scene.raw(&scene.read_only, "GET", &path, "").await.0, StatusCode::OK);
    assert_eq!(scene.raw(&scene.read_only, "DELETE", &path, "").await.1["error_code"], "SYS.0403");
    assert_eq!(scene.raw(&scene.other, "GET", &path, "").await.0, StatusCode::FORBIDDEN);
    let theirs = path.replace(PROJECT, &PROJECT.replace('0', "9"));
    assert_eq!(scene.raw(&scene.other, "GET", &theirs, "").await.1["error_code"], "ELB.8904");
    let unnamed = path.replace(PROJECT, "%7Bproject_id%7D");
    assert_eq!(scene.raw(&scene.token, "GET", &unnamed, "").await.0, StatusCode::OK);
    let (status, reply) = scene.raw("wrong", "GET", &path, "").await;
    assert_eq!((status, &reply["error_code"]), (StatusCode::UNAUTHORIZED, &json!("APIGW.0301")));
    let (_, reply) = scene.raw(&scene.token, "GET", "/v3/projects?name=local-1", "").await;
    assert_eq!(
        (&reply["projects"][0]["id"], &reply["projects"][1]),
        (&json!(PROJECT), &Value::Null)
    );
    let (_, reply) = scene.raw(&scene.token, "GET", "/versions", "").await;
    assert_eq!(reply["versions"][0]["id"], "v3");
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let scene = Scene::new();
    for n in 1..=5 {
        let address = format!("192.0.2.{n}");
        let lb = json!({"name": format!("lb-{}", n % 2), "vip_address": address, "availability_zone_list": [],
                        "tags": [{"key": "n", "value": n.to_string()}]});
        scene.make("loadbalancers", "loadbalancer", lb).await;
    }
    let list = async |query: &str| {
        scene.ask("GET", &format!("loadbalancers?{query}"), Value::Null).await.1
    };
    let found = list("name=lb-1&vip_address=192.0.2.1&vip_address=192.0.2.2").await;
    assert_eq!(found["page_info"]["current_count"], 1);
    assert_eq!(found["loadbalancers"][0]["tags"], json!([{"key": "n", "value": "1"}]));
    let first = list("limit=3").await;
    let marker = first["page_info"]["next_marker"].as_str().unwrap();
    let rest = list(&format!("limit=3&marker={marker}")).await;
    assert_eq!(
        (&rest["page_info"]["current_count"], rest["page_info"].get("next_marker")),
        (&json!(2), None)
    );
    let members = scene.ask("GET", "members?limit=1", Value::Null).await.1;
    assert_eq!(members["members"], json!([]));
}

#[tokio::test]
async fn ip_groups_keep_clients_out_and_are_kept_while_they_do() {
    let scene = Scene::new();
    let [_, listener, ..] = scene.service().await;
    let group = json!({"name": "g", "ip_list": [{"ip": "10.0.0.0/8", "description": "a"}]});
    let group = scene.make("ipgroups", "ipgroup", group).await;
    let list = json!({"ipgroup": {"ip_list": [{"ip": "10.0.0.0/8", "description": "b"}, {"ip": "192.0.2.1"}]}});
    let path = format!("ipgroups/{group}/iplist");
    let (_, shown) = scene.ask("POST", &format!("{path}/create-or-update"), list).await;
    assert_eq!(shown["ipgroup"]["ip_list"].as_array().unwrap().len(), 2, "{shown}");
    let gone = json!({"ipgroup": {"ip_list": [{"ip": "192.0.2.1/32"}]}});
    let (_, shown) = scene.ask("POST", &format!("{path}/batch-delete"), gone).await;
    assert_eq!(shown["ipgroup"]["ip_list"], json!([{"ip": "10.0.0.0/8", "description": "b"}]));
    let access = json!({"listener": {"ipgroup": {"ipgroup_id": group, "type": "black"}}});
    let (status, shown) = scene.ask("PUT", &format!("listeners/{listener}"), access).await;
    let expected = json!({"ipgroup_id": group, "type": "black", "enable_ipgroup": true});
    assert_eq!((status, &shown["listener"]["ipgroup"]), (200, &expected));
    assert_eq!(scene.refused("DELETE", &format!("ipgroups/{group}"), Value::Null).await.0, 409);
    let path = format!("ipgroups/{group}/related-listeners");
    assert_eq!(
        scene.ask("GET", &path, Value::Null).await.1["listeners"],
        json!([{"id": listener}])
    );
    let (_, shown) = scene
        .ask("PUT", &format!("listeners/{listener}"), json!({"listener": {"ipgroup": null}}))
        .await;
    assert_eq!(shown["listener"]["ipgroup"], Value::Null);
    assert_eq!(scene.ask("DELETE", &format!("ipgroups/{group}"), Value::Null).await.0, 204);
}

#[tokio::test]
async fn protection_holds() {
    let scene = Scene::new();
    let [lb, _, pool, member] = scene.service().await;
    let protect = json!({"pool": {"member_deletion_protection_enable": true}});
    assert_eq!(scene.ask("PUT", &format!("pools/{pool}"), protect).await.0, 200);
    let path = format!("pools/{pool}/members/{member}");
    assert!(
        scene.refused("DELETE", &path, Value::Null).await.2.contains("member_deletion_protection")
    );
    let protect =
        json!({"loadbalancer": {"deletion_protection_enable": true, "ip_target_enable": true}});
    assert_eq!(scene.ask("PUT", &format!("loadbalancers/{lb}"), protect).await.0, 200);
    let path = format!("loadbalancers/{lb}");
    assert!(scene.refused("DELETE", &path, Value::Null).await.2.contains("deletion_protection"));
    let back = json!({"loadbalancer": {"ip_target_enable": false}});
    assert_eq!(scene.refused("PUT", &path, back).await.1, "ELB.8902");
}

/// One record for each call that would change something, refused or not, and none for one that reads.
#[tokio::test]
async fn every_call_that_changes_something_is_in_the_audit_log() {
    let scene = Scene::new();
    let [lb, ..] = scene.service().await;
    scene.ask("GET", "loadbalancers", Value::Null).await;
    scene.refused("POST", "loadbalancers", json!({"loadbalancer": {"nmae": "x"}})).await;
    scene.refused("DELETE", &format!("loadbalancers/{lb}"), Value::Null).await;
    let rename = json!({"loadbalancer": {"name": "new"}});
    scene.ask("PUT", &format!("loadbalancers/{lb}"), rename).await;
    let path = scene.store.path().to_owned();
    let Scene { router, server, store, _folder, .. } = scene;
    drop((router, server, store));
    let records = read_audit(&path).await;
    let expected = [
        ("createLoadbalancer", "ok"),
        ("createListener", "ok"),
        ("createPool", "ok"),
        ("createMember", "ok"),
        ("createLoadbalancer", "ELB.8902"),
        ("deleteLoadbalancer", "ELB.8907"),
        ("updateLoadbalancer", "ok"),
    ];
    let found: Vec<_> = records.iter().map(|(one, result, ..)| (&**one, &**result)).collect();
    assert_eq!(found, expected);
    let (_, _, actor, before, after) = &records[6];
    assert!(before.contains("\"web\"") && after.contains("\"new\""), "{before} {after}");
    assert_eq!(actor, "full");
}

/// Operation, result, actor, before and after of all records, once the thread of the store has let go of it.
async fn read_audit(path: &std::path::Path) -> Vec<(String, String, String, String, String)> {
    let sql = "SELECT operation, result, actor, coalesce(before, ''), coalesce(after, '')
               FROM audit ORDER BY number";
    for _ in 0..200 {
        let connection = rusqlite::Connection::open(path).unwrap();
        let records = connection.prepare(sql).and_then(|mut statement| {
            let row = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            };
            statement.query_map([], row)?.collect::<Result<Vec<_>, _>>()
        });
        match records {
            Ok(records) => return records,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
    panic!("the store stays locked");
}
