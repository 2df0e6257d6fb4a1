//! What a file leaves out: what goes with it, what stays for others, and what may not go by itself.

use super::*;
use crate::source::store::dangling;

/// Without these, the first text in [`FILE`] after which nothing is left out.
fn without(parts: &[&str]) -> String {
    parts.iter().fold(FILE.to_owned(), |file, part| {
        assert!(file.contains(part), "{part}");
        file.replacen(part, "", 1)
    })
}

const GROUP: &str = "    [[ipgroup]]\n    name = \"office\"\n    ip_list = [\"10.0.0.0/8\", { ip = \"192.0.2.1\", description = \"gate\" }]\n";
const ACCESS: &str = "    ipgroup = { ipgroup = \"office\", type = \"black\" }\n";
const MANY: &str = "    [[load_balancer.listener]]\n    name = \"many\"\n    protocol = \"UDP\"\n    port_ranges = [{ start_port = 1000, end_port = 1999 }]\n    default_pool = \"quic\"\n";
const API: &str = "    [[load_balancer]]\n    name = \"api\"\n    vip_address = \"192.0.2.11\"\n    admin_state_up = false\n    [[load_balancer.listener]]\n    name = \"plain\"\n    protocol = \"TCP\"\n    protocol_port = 80\n    default_pool = \"web\"\n";

/// A listener without a pool keeps its access list, so that it has it once it gets a pool.
#[test]
fn a_group_stays_for_a_listener_that_the_file_has_no_word_for() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let web = ResourceId::of_load_balancer("web");
    let (many, group) = (ResourceId::of_listener(web, "many"), ResourceId::of_ip_group("office"));
    let access = json!({"ipgroup_id": group.to_string(), "type": "white", "enable_ipgroup": true});
    let idle = json!({"default_pool_id": null, "ipgroup": access});
    scene.set(DocumentKind::Listener, many, &idle);
    let file = without(&[GROUP, ACCESS, MANY]);
    assert_eq!(said(&scene.apply(&file).unwrap()), ["Change listener http ipgroup"]);
    assert_eq!(said(&scene.apply(&file).unwrap()), [""; 0], "and a second time as well");
    assert_eq!(dangling(&scene.store.read()), [""; 0]);
    let pool = ResourceId::of_pool("quic").to_string();
    scene.set(DocumentKind::Listener, many, &json!({"default_pool_id": pool}));
    let served = scene.served();
    let (_, listener) = served.listeners().find(|(_, one)| one.id == many).unwrap();
    assert_eq!(listener.ipgroup.as_ref().map(|one| one.ipgroup.as_str()), Some("office"));
    scene.set(DocumentKind::Listener, many, &json!({"default_pool_id": null, "ipgroup": null}));
    assert_eq!(said(&scene.apply(&file).unwrap()), ["Remove ipgroup office"]);
}

/// A load balancer takes its log tank along, and no pool is of one that is gone.
#[test]
fn what_belongs_to_a_load_balancer_lets_go_of_it() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let (api, web) = (ResourceId::of_load_balancer("api"), ResourceId::of_pool("web"));
    let quic = ResourceId::of_pool("quic");
    for pool in [web, quic] {
        let of = json!({"loadbalancer_id": api.to_string(), "type": ""});
        scene.set(DocumentKind::Pool, pool, &of);
    }
    for lb in [api, ResourceId::of_load_balancer("web")] {
        let tank = json!({
            "loadbalancer_id": lb.to_string(), "log_group_id": "g", "log_topic_id": "t",
        });
        let tank = Document {
            kind: DocumentKind::LogTank,
            id: ResourceId::of_pool(&lb.to_string()),
            project: by().project,
            body: tank.as_object().cloned().unwrap(),
            tags: BTreeMap::new(),
            created: String::new(),
            updated: String::new(),
            first: 0,
            revision: 0,
        };
        let put = move |transaction: &mut Transaction<'_>| {
            transaction.put(tank.clone());
            Ok::<_, ()>(())
        };
        run(scene.store.write(put)).unwrap().unwrap();
    }
    // One pool serves a listener of another load balancer, and one none any more.
    let file = without(&[API, MANY]);
    let changes = scene.apply(&file).unwrap();
    let mut found = said(&changes);
    found.sort();
    let expected = [
        "Change pool quic loadbalancer_id,type",
        "Change pool web loadbalancer_id",
        "Remove listener many",
        "Remove listener plain",
        "Remove loadbalancer api",
        "Remove logtank",
    ];
    assert_eq!(found, expected);
    let documents = scene.store.read();
    assert_eq!(dangling(&documents), [""; 0]);
    assert_eq!(documents.of(DocumentKind::LogTank).count(), 1, "the other one has its own");
    let of = |pool| documents.get(DocumentKind::Pool, pool).unwrap().reference("loadbalancer_id");
    assert_eq!((of(web), of(quic)), (Some(ResourceId::of_load_balancer("web")), None));
}

/// The parts of a pool of a master and a slave are changed with it or not at all.
#[test]
fn the_parts_of_a_pair_stay_as_they_are() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let pool = ResourceId::of_pool("web");
    let slave = ResourceId::of_member(pool, "10.0.0.2:80".parse().unwrap());
    scene.set(DocumentKind::Member, slave, &json!({"role": "slave"}));
    scene.set(DocumentKind::Pool, pool, &json!({"master_slave": true}));
    let file = FILE.replace(
        "{ address = \"10.0.0.2\", protocol_port = 80 }",
        "{ address = \"10.0.0.2\", protocol_port = 80, backup = true }",
    );
    assert_eq!(said(&scene.apply(&file).unwrap()), [""; 0]);
    let before = scene.store.read().clone();
    let slave = "        { address = \"10.0.0.2\", protocol_port = 80, backup = true },\n";
    let monitor = "    healthmonitor = { type = \"HTTP\", delay = 2, timeout = 1, url_path = \"/up\", expected_codes = \"200,204\" }\n";
    for (from, to) in [
        ("weight = 3", "weight = 4"),
        (slave, ""),
        (slave, "{ address = \"10.0.0.3\", protocol_port = 80 },"),
        (
            "protocol_port = 80, weight = 3 },",
            "protocol_port = 80, weight = 3 }, { address = \"10.0.0.4\", protocol_port = 80 },",
        ),
        ("delay = 2", "delay = 3"),
        (monitor, ""),
    ] {
        let other = file.replacen(from, to, 1);
        assert_ne!(other, file, "{from}");
        let why = scene.apply(&other).unwrap_err();
        assert!(why.contains("pool \"web\" (") && why.contains("a master and a slave"), "{why}");
        assert!(why.contains("elb export") && why.contains("delete_master_slave_pool"), "{why}");
        assert_eq!(*scene.store.read(), before, "{to}");
    }
    let named = file.replace("connection_drain = { enable = true, timeout = 30 }\n", "");
    assert_eq!(said(&scene.apply(&named).unwrap()), ["Change pool web connection_drain"]);
    // As a whole, it may go.
    let from = FILE.find("    [[pool]]\n    name = \"web\"").unwrap();
    let to = FILE.find("    [[pool]]\n    name = \"quic\"").unwrap();
    let gone = [&FILE[..from], &FILE[to..]].concat().replace("pool = \"web\"", "pool = \"new\"");
    let new = "    [[pool]]\n    name = \"new\"\n    protocol = \"TCP\"\n    forwarding = \"ipip\"\n    lb_algorithm = \"ROUND_ROBIN\"\n";
    scene.apply(&(gone + new)).unwrap();
    assert_eq!(dangling(&scene.store.read()), [""; 0]);
    assert!(scene.store.read().get(DocumentKind::Pool, pool).is_none());
}

/// A member that is protected goes to no other pool either.
#[test]
fn a_protected_member_stays_in_its_pool() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let pool = ResourceId::of_pool("web");
    scene.set(DocumentKind::Pool, pool, &json!({"member_deletion_protection_enable": true}));
    let member = ResourceId::of_member(pool, "10.0.0.2:80".parse().unwrap());
    let line = "        { address = \"10.0.0.2\", protocol_port = 80 },\n";
    let there = format!("{line}    ]\n    [[pool]]\n    name = \"quic\"");
    let new =
        "    [[pool]]\n    name = \"new\"\n    protocol = \"TCP\"\n    forwarding = \"ipip\"\n";
    let moved = line.replace("{ address", &format!("{{ id = \"{member}\", address"));
    for file in [
        without(&[line]),
        FILE.replace(&there, &there.replace(line, "")) + new + "member = [\n" + &moved + "]\n",
    ] {
        assert_ne!(file, FILE);
        let why = scene.apply(&file).unwrap_err();
        assert!(
            why.contains("protected from deletion") && why.contains(&member.to_string()),
            "{why}"
        );
    }
    let heavier = FILE.replace("weight = 3", "weight = 4");
    assert_eq!(said(&scene.apply(&heavier).unwrap()), ["Change member 10.0.0.1 weight"]);
}

/// What has modification protection is as it is in the file, or the file is refused.
#[test]
fn a_protected_pool_stays_as_it_is() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let pool = ResourceId::of_pool("web");
    scene.set(DocumentKind::Pool, pool, &json!({"protection_status": "consoleProtection"}));
    let new = "{ address = \"10.0.0.2\", protocol_port = 80 },";
    let more = format!("{new} {}", new.replace(".2\"", ".9\""));
    for file in [
        without(&[&format!("        {new}\n")]),
        FILE.replace(new, &more),
        FILE.replacen("lb_algorithm = \"ROUND_ROBIN\"", "lb_algorithm = \"LEAST_CONNECTIONS\"", 1),
    ] {
        assert_ne!(file, FILE);
        let why = scene.apply(&file).unwrap_err();
        assert!(why.contains(&format!("pool {pool} has protection_status")), "{why}");
    }
    let heavier = FILE.replace("weight = 3", "weight = 4");
    assert_eq!(said(&scene.apply(&heavier).unwrap()), ["Change member 10.0.0.1 weight"]);
}

/// On a host that made room for them, what the API made stays as it is, however much there is.
#[test]
fn many_members_are_compared_as_the_host_serves_them() {
    let agent = format!("{AGENT}max_backends = 20000\nmax_listeners = 20000\n");
    let scene = Scene::on(&agent);
    let pool = |name: &str, net: u32| {
        let member = |n: u32| {
            format!(
                "{{ address = \"10.{net}.{}.{}\", protocol_port = 80 }},\n",
                n / 250,
                n % 250 + 1
            )
        };
        let members: String = (0..2_200).map(member).collect();
        format!(
            "[[pool]]\nname = \"{name}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\nmember = [\n{members}]\n"
        )
    };
    let lb = |n: u32| {
        format!(
            "[[load_balancer]]\nname = \"lb{n}\"\nvip_address = \"192.0.2.{n}\"\n\
             [[load_balancer.listener]]\nname = \"l{n}\"\nprotocol = \"TCP\"\nprotocol_port = 80\n\
             default_pool = \"p{n}\"\n"
        )
    };
    let file = [lb(1), lb(2), pool("p1", 1), pool("p2", 2)].concat();
    let wanted = file::parse("file", &format!("{agent}{file}")).unwrap().model;
    let (settings, by) = (scene.settings.clone(), by());
    let apply = |model: Model| {
        let (settings, by) = (settings.clone(), by.clone());
        let done = scene.store.write(move |transaction| {
            apply(transaction, &settings, &model, &by).map(|applied| applied.changes)
        });
        run(done).unwrap().unwrap()
    };
    assert_eq!(apply(wanted).len(), 4_406);
    // One pool is down, and two have one name.
    let down = json!({"admin_state_up": false, "name": "p1"});
    scene.set(DocumentKind::Pool, ResourceId::of_pool("p2"), &down);
    let exported = file::parse("file", &format!("{agent}{}", scene.text())).unwrap().model;
    assert_eq!(exported.pools().iter().map(|pool| pool.members.len()).sum::<usize>(), 4_400);
    assert_eq!(said(&apply(exported)), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever files are applied, and whatever listeners lose their pools in between, nothing refers to what is gone,
    /// and a listener that had an access list has it when it gets a pool again.
    #[test]
    fn no_listener_loses_its_access_list(
        draws in prop::collection::vec((draws(), any::<bool>(), 0_usize..4), 1..5),
    ) {
        let scene = Scene::new();
        let group = ResourceId::of_ip_group("g");
        let access = json!({
            "ipgroup_id": group.to_string(), "type": "white", "enable_ipgroup": true,
        });
        for (draw, has_group, which) in draws {
            let text = drawn(&draw);
            let group_text = "[[ipgroup]]\nname = \"g\"\nip_list = [\"10.0.0.0/8\"]\n";
            let text = if has_group { format!("{text}{group_text}") } else { text };
            let (_, errors) = file::parse_lenient("file", &format!("{AGENT}{text}"));
            prop_assume!(!errors.has_errors());
            scene.apply(&text).map_err(TestCaseError::fail)?;
            prop_assert_eq!(dangling(&scene.store.read()), Vec::<String>::new());
            let documents = scene.store.read().clone();
            let pool = documents.of(DocumentKind::Pool).next().map(|pool| pool.id.to_string());
            let idle: Vec<_> = documents
                .of(DocumentKind::Listener)
                .filter(|one| one.text("default_pool_id").is_empty())
                .map(|one| one.id)
                .collect();
            let serve = |pool: Value| {
                for one in &idle {
                    scene.set(DocumentKind::Listener, *one, &json!({"default_pool_id": pool}));
                }
            };
            if let Some(pool) = pool {
                serve(pool.into());
                for (_, listener) in scene.served().listeners() {
                    prop_assert_eq!(listener.ipgroup.is_some(), idle.contains(&listener.id));
                }
                serve(Value::Null);
            }
            if documents.get(DocumentKind::IpGroup, group).is_some()
                && let Some(one) = documents.of(DocumentKind::Listener).nth(which)
            {
                let idle = json!({"default_pool_id": null, "ipgroup": access});
                scene.set(DocumentKind::Listener, one.id, &idle);
            }
        }
    }
}

/// What has no pool is in no file, and keeps its port.
#[test]
fn a_listener_takes_no_port_of_one_that_the_file_has_no_word_for() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let web = ResourceId::of_load_balancer("web");
    let many = ResourceId::of_listener(web, "many");
    scene.set(DocumentKind::Listener, many, &json!({"default_pool_id": null}));
    let other = MANY.replace("\"many\"", "\"other\"").replace("1000", "1999");
    let other = other.replace("end_port = 1999", "end_port = 2000");
    let file = FILE.replacen(MANY, &other, 1);
    let revision = scene.store.read().revision;
    let why = scene.apply(&file).unwrap_err();
    assert!(why.contains("takes a port of listener \"many\""), "{why}");
    assert_eq!(scene.store.read().revision, revision);
    scene.apply(&file.replace("1999", "2000")).unwrap();
}

/// A load balancer of which something is taken away is not served as it is until the maps know.
#[test]
fn what_is_above_a_part_that_goes_is_touched() {
    let scene = Scene::new();
    scene.apply(FILE).unwrap();
    let revision = |name: &str| {
        let documents = scene.store.read();
        let lb = documents.get(DocumentKind::LoadBalancer, ResourceId::of_load_balancer(name));
        (lb.unwrap().revision, documents.revision)
    };
    let (web, all) = revision("web");
    assert!(web == all, "it is new");
    scene.apply(&without(&[MANY])).unwrap();
    let ((web, all), (api, _)) = (revision("web"), revision("api"));
    assert!(web == all && api < all, "{web} {api} {all}");
}
