//! Writes are judged by the file as it was read last, not by one that says nothing.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use super::*;
use crate::agent::now;
use crate::model::ResourceId;
use crate::source::store::{Document, DocumentKind};

/// A file of a host, with these settings of its agent.
fn host(more: &str) -> String {
    format!("[agent]\ninterfaces = [\"eth0\"]\n{more}[api]\nforwarding = \"ipip\"\n")
}

fn put(
    loaded: &LoadedFile,
    name: &str,
    of: (DocumentKind, serde_json::Value),
) -> Result<(), String> {
    let document = Document {
        kind: of.0,
        id: ResourceId::of_pool(name),
        project: "p".to_owned(),
        body: of.1.as_object().cloned().unwrap(),
        tags: BTreeMap::new(),
        created: String::new(),
        updated: String::new(),
        first: 0,
        revision: 0,
    };
    let store = loaded.stored.as_ref().unwrap().store.as_ref().unwrap();
    let done = store.write(move |transaction| {
        transaction.put(document.clone());
        transaction.check()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(done).unwrap()
}

fn lb(address: &str) -> (DocumentKind, serde_json::Value) {
    (DocumentKind::LoadBalancer, json!({"name": address, "vip_address": address}))
}

fn listener(port: u16) -> (DocumentKind, serde_json::Value) {
    let id = |name: &str| ResourceId::of_pool(name).to_string();
    let body = json!({
        "name": port.to_string(), "loadbalancer_id": id("lb"), "protocol": "TCP", "protocol_port": port,
        "default_pool_id": id("pool"),
    });
    (DocumentKind::Listener, body)
}

#[test]
fn while_the_file_is_broken_writes_are_judged_by_the_last_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("elb.toml");
    let own = format!("state_dir = {:?}\n", folder.path().display().to_string());
    fs::write(&path, host(&own)).unwrap();
    let (source, stored) = begin(SourceText::read(&path).unwrap());
    let mut file = LoadedFile { stored, ..LoadedFile::new(path, source.text, now()) };
    put(&file, "lb", lb("192.0.2.10")).unwrap();
    let pool = json!({"name": "web", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"});
    put(&file, "pool", (DocumentKind::Pool, pool)).unwrap();
    for n in 0..16 {
        put(&file, &n.to_string(), listener(80 + n)).unwrap();
    }
    let small = host(&format!("{own}max_listeners = 16\n"));
    fs::write(&file.path, &small).unwrap();
    file.read().unwrap();
    let full = |file: &LoadedFile, name: &str| put(file, name, listener(99)).unwrap_err();
    assert!(full(&file, "more").contains("17 listeners in all, of 16"));
    let broken = [
        small.replace("[agent]", "[agent"),
        small.replace("interfaces", "interface"),
        small.replace("\"ipip\"", "\"ipup\""),
        small.replace("[api]\nforwarding = \"ipip\"\n", ""),
        String::new(),
    ];
    for (n, text) in broken.iter().enumerate() {
        fs::write(&file.path, text).unwrap();
        file.read().unwrap();
        let why = put(&file, "other", lb("fe80::1")).unwrap_err();
        assert!(why.contains("vip_address"), "{why}");
        assert!(full(&file, "more").contains("17 listeners in all, of 16"), "{text}");
        // What is right is taken all the same, and served with the next file that can be read.
        put(&file, &format!("lb-{n}"), lb(&format!("192.0.2.2{n}"))).unwrap();
    }
    fs::remove_file(&file.path).unwrap();
    assert!(file.read().is_err());
    assert!(full(&file, "more").contains("17 listeners in all, of 16"));
    fs::write(&file.path, host(&own)).unwrap();
    file.read().unwrap();
    put(&file, "more", listener(99)).unwrap();
}

/// Who has an address that is of no subnet any more is named at each reload until that is put right.
#[test]
fn load_balancers_keep_addresses_that_subnets_have_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("elb.toml");
    let own = format!("state_dir = {:?}\n", folder.path().display().to_string());
    const ID: &str = "5e0b6a0e-0000-4000-8000-000000000001";
    let subnet = |cidr: &str| {
        format!("[[api.subnet]]\nid = \"{ID}\"\nname = \"front\"\ncidr = \"{cidr}\"\n")
    };
    let with = |subnets: &str| file::parse("elb.toml", &(host(&own) + subnets)).unwrap();
    fs::write(&path, host(&own) + &subnet("192.0.2.0/24")).unwrap();
    let (source, stored) = begin(SourceText::read(&path).unwrap());
    let mut file = LoadedFile { stored, ..LoadedFile::new(path, source.text, now()) };
    let web = json!({"name": "web", "vip_address": "192.0.2.10", "vip_subnet_cidr_id": ID});
    put(&file, "web", (DocumentKind::LoadBalancer, web)).unwrap();
    let label = json!({"name": "label", "vip_address": "192.0.2.200", "vip_subnet_cidr_id": "x"});
    put(&file, "label", (DocumentKind::LoadBalancer, label)).unwrap();
    let left = |file: &LoadedFile, config: &Config| {
        let left = file.left_subnets(config).into_iter().map(|(of, what)| format!("{of}: {what}"));
        left.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(left(&file, &with(&subnet("192.0.2.0/28"))), "", "it is in the rest");
    for fewer in [String::new(), subnet("192.0.2.64/26"), subnet("198.51.100.0/24")] {
        let fewer = with(&fewer);
        let said = left(&file, &fewer);
        assert!(said.starts_with("load balancer \"web\" ("), "{said}");
        let what = ": 192.0.2.10 is no address of subnet front any more; it keeps it";
        assert!(said.ends_with(what) && !said.contains("label"), "{said}");
        file.take_subnets(&fewer);
        assert_eq!(left(&file, &fewer), said, "until it is put right");
    }
    file.take_subnets(&with(&subnet("192.0.2.0/24")));
    assert_eq!(left(&file, &with(&subnet("192.0.2.0/24"))), "");
}
