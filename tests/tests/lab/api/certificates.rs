//! Certificates, by the unmodified SDK: kept across a kill and a file that is applied, with private keys that only the
//! store has.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A certificate for a name, and its private key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn made(name: &str) -> Result<Self> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(2049, 12, 31);
        Ok(Self { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    /// A part of the private key that nothing else has.
    fn secret(&self) -> Result<&str> {
        self.key.lines().nth(2).context("a key of three lines")
    }
}

/// What the store holds, as a file.
fn exported(scene: &ApiScene) -> Result<String> {
    let mut export = scene.lab.lb().command(elb_bin()?);
    export.args(["export", "--config"]).arg(scene.agent.file());
    output(export, STUCK)
}

/// What the agent says and prints, and what is in the files of its folder but for the store: none of it has a key.
fn is_nowhere(scene: &ApiScene, pairs: &[&Pair]) -> Result<()> {
    let mut all = vec![("its log".to_owned(), scene.agent.log())];
    for words in [&["audit"][..], &["audit", "-o", "json"], &["status", "-o", "json"]] {
        all.push((words.join(" "), scene.agent.run(words)?));
    }
    all.push(("elb export".to_owned(), exported(scene)?));
    let state = scene.lab.files().join("state");
    for entry in fs::read_dir(&state)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("store.db") {
            let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
            ensure!(mode == 0o600, "{name}: {mode:o}");
        } else if path.is_file() {
            all.push((name, String::from_utf8_lossy(&fs::read(&path)?).into_owned()));
        }
    }
    for (name, text) in &all {
        for pair in pairs {
            ensure!(!text.contains(pair.secret()?), "{name} has a private key");
        }
    }
    Ok(())
}

impl Session<'_> {
    fn certificate(&mut self, id: &str) -> Result<Value> {
        self.get("show_certificate", json!({"certificate_id": id}), "certificate")
    }

    /// The names of the certificates that a list has.
    fn certificates(&mut self, args: Value) -> Result<Vec<String>> {
        let found = self.get("list_certificates", args, "certificates")?;
        let all = found.as_array().context("a list")?.iter();
        Ok(all.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect())
    }
}

#[test]
fn certificates_are_kept_and_their_keys_are_nowhere_else() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let Key { access, secret, project, .. } = &scene.key;
    let client = Box::new(Sdk::start(&scene.lab, [ENDPOINT, access, secret, project])?);
    let mut session = Session { client, scene: &mut scene };
    make_service(&mut session)?;
    let (first, second) = (Pair::made("a.example")?, Pair::made("b.example")?);
    let pairs = [&first, &second];
    let none = || json!({});
    let server = json!({"name": "web", "certificate": first.certificate, "private_key": first.key, "domain": "a.example"});
    let id = session.make("create_certificate", none(), "certificate", server)?;
    let authority = json!({"name": "ca", "certificate": second.certificate, "type": "client"});
    let authority = session.make("create_certificate", none(), "certificate", authority)?;
    let shown = session.certificate(&id)?;
    ensure!(shown["private_key"] == "*****" && shown["common_name"] == "a.example", "{shown}");
    ensure!(shown["expire_time"] == "2049-12-31T00:00:00Z", "{shown}");
    for (args, names) in [
        (json!({"type": ["client"]}), vec!["ca"]),
        (json!({"common_name": ["a.example"]}), vec!["web"]),
        (json!({"fingerprint": [shown["fingerprint"]]}), vec!["web"]),
        (json!({"name": ["other"]}), vec![]),
    ] {
        let found = session.certificates(args.clone())?;
        ensure!(found == names, "{args}: {found:?}");
    }
    let args = json!({"certificate_id": id});
    let put = |session: &mut Session<'_>, body: Value| {
        session.call("update_certificate", args.clone(), json!({"certificate": body}))
    };
    let (status, why) = put(&mut session, json!({"private_key": second.key}))?;
    let said = why["error_msg"].as_str().unwrap_or_default();
    ensure!(status == 400 && said.contains("private_key is not that of certificate"), "{why}");
    ensure!(!said.contains(second.secret()?), "{said}");
    let both = json!({"certificate": second.certificate, "private_key": second.key});
    let (status, reply) = put(&mut session, both)?;
    ensure!(status == 200 && reply["certificate"]["common_name"] == "b.example", "{reply}");
    ensure!(reply["certificate"]["private_key"] == "*****", "{reply}");
    is_nowhere(session.scene, &pairs)?;

    // Neither a kill nor a file, which has no word for them, takes any away.
    session.scene.agent.kill()?;
    session.scene.agent.restart()?;
    let file = session.scene.lab.files().join("whole.toml");
    fs::write(&file, exported(session.scene)?)?;
    session.scene.agent.run(&["apply", "-f", file.to_str().context("a path")?])?;
    let shown = session.certificate(&id)?;
    ensure!(shown["common_name"] == "b.example", "{shown}");

    for (is_on, key) in [(true, &*second.key), (false, "*****")] {
        let body = json!({"private_key_echo": is_on});
        let (status, reply) = session.call("create_certificate_private_key_echo", none(), body)?;
        ensure!(status == 201 && reply["private_key_echo"] == is_on, "{reply}");
        let found = session.get("show_certificate_private_key_echo", none(), "private_key_echo")?;
        ensure!(found == is_on && session.certificate(&id)?["private_key"] == key, "{found}");
    }
    is_nowhere(session.scene, &pairs)?;
    let given = json!({"certificates": [authority, "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"]});
    let (status, reply) = session.call("batch_delete_certificates", none(), given)?;
    let said = [0, 1].map(|n| reply["certificates"][n]["ret_status"].clone());
    ensure!(status == 200 && said == ["successful", "not found"], "{reply}");
    session.deletes("delete_certificate", json!({"certificate_id": id}))?;
    ensure!(session.certificates(none())?.is_empty());
    is_nowhere(session.scene, &pairs)
}

/// The SDKs of version 2 have the same ones, without an object around them.
#[test]
fn certificates_of_version_2_are_the_same() -> Result<()> {
    let scene = ApiScene::start()?;
    let Key { access, secret, token, project } = &scene.key;
    let mut own = Sdk::version_2(&scene.lab, [ENDPOINT, access, secret, project])?;
    let mut openstack = Sdk::openstack(&scene.lab, ["elb", ENDPOINT, token, project])?;
    let (first, second) = (Pair::made("a.example")?, Pair::made("b.example")?);
    let server = json!({"name": "web", "certificate": first.certificate, "private_key": first.key, "type": "server"});
    let (status, made) = own.call("create_certificate", &json!({}), &server)?;
    ensure!(status == 201 && made["private_key"] == "*****", "{status} {made}");
    ensure!(made["expire_time"] == "2049-12-31 00:00:00", "{made}");
    let args = json!({"certificate_id": made["id"]});
    let server = json!({"certificate": {"name": "api", "content": second.certificate, "private_key": second.key}});
    let (status, reply) = openstack.call("create_certificate", &json!({}), &server)?;
    ensure!(status == 201 && reply["certificate"]["domain"] == "", "{status} {reply}");
    for client in [&mut own, &mut openstack] {
        let (status, found) =
            client.call("list_certificates", &json!({"name": "web"}), &Value::Null)?;
        ensure!(status == 200 && found["certificates"][0]["id"] == made["id"], "{found}");
        ensure!(found["certificates"][1].is_null(), "{found}");
        let (status, found) = client.call("show_certificate", &args, &Value::Null)?;
        ensure!(status == 200 && found.to_string().contains("*****"), "{found}");
    }
    let change = json!({"certificate": {"description": "x"}});
    let (status, changed) = openstack.call("update_certificate", &args, &change)?;
    ensure!(status == 200 && changed["certificate"]["description"] == "x", "{changed}");
    let (status, _) = own.call("delete_certificate", &args, &Value::Null)?;
    ensure!(status == 204);
    let (status, reply) = own.call("show_certificate", &args, &Value::Null)?;
    ensure!(status == 404 && reply["error_code"] == "ELB.8904", "{reply}");
    is_nowhere(&scene, &[&first, &second])
}

/// No listener can have one.
#[test]
fn a_policy_is_refused_for_its_listener() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let Key { access, secret, project, .. } = &scene.key;
    let client = Box::new(Sdk::start(&scene.lab, [ENDPOINT, access, secret, project])?);
    let mut session = Session { client, scene: &mut scene };
    let Made { listener, pool, .. } = make_service(&mut session)?;
    let policy = json!({"l7policy": {"listener_id": listener, "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool}});
    let (status, reply) = session.call("create_l7_policy", json!({}), policy)?;
    let said = reply["error_msg"].as_str().unwrap_or_default();
    let why = format!("listener {listener} has protocol TCP, use one of HTTP or HTTPS");
    ensure!(status == 400 && said.contains(&why), "{status} {reply}");
    let found =
        session.get("list_l7_policies", json!({"listener_id": [listener]}), "l7policies")?;
    ensure!(found == json!([]), "{found}");
    let found = session.get("list_all_l7_rules", json!({"type": ["PATH"]}), "rules")?;
    ensure!(found == json!([]), "{found}");
    let args = json!({"l7policy_id": listener});
    let (status, reply) = session.call("show_l7_policy", args, Value::Null)?;
    ensure!(status == 404 && reply["error_code"] == "ELB.8904", "{status} {reply}");
    session.scene.is_served_by(&[0, 1])
}
