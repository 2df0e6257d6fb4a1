//! The document of the API: served with its page, accepted by the validators of others, and true of the agent, by
//! requests that schemathesis makes of it.

use std::{fs, process::Command, sync::LazyLock};

use anyhow::{Context as _, Result, ensure};
use elb_tests::{
    environment::{elb_bin, number, python},
    lab::Lab,
    process::{ended, output},
    wait::STUCK,
};
use serde_json::{Value, json};

use super::{ApiScene, ENDPOINT, Session, whole::ids};

/// The document that the agent serves, for one project, with examples of what there is. Requests that take something
/// away have none: the others need it.
fn document(session: &mut Session<'_>) -> Result<Value> {
    let ids = ids(session)?;
    let scene = &session.scene;
    let mut document = scene.fetched("/docs/openapi.json")?;
    let paths = document["paths"].as_object_mut().context("paths")?;
    let in_project = |path: &str| path.replace("{project_id}", &scene.key.project);
    *paths = std::mem::take(paths)
        .into_iter()
        .map(|(path, methods)| (in_project(&path), methods))
        .collect();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object_mut().context("methods")? {
            let takes_away = method == "delete" || path.contains("delete");
            let own = ids.get(operation["operationId"].as_str().unwrap_or_default());
            let all = operation["parameters"].as_array_mut().context("parameters")?;
            all.retain(|one| one["name"] != "project_id");
            for one in all.iter_mut().filter(|_| !takes_away) {
                let name = one["name"].as_str().unwrap_or_default();
                if let Some(id) = own.and_then(|own| own.get(name)).or_else(|| ids.get(name)) {
                    one["example"] = id.clone();
                }
            }
        }
    }
    let schemas = document["components"]["schemas"].as_object_mut().context("schemas")?;
    for (_, schema) in schemas.iter_mut().filter(|(name, _)| !name.contains("Delete")) {
        for (name, attribute) in schema["properties"].as_object_mut().into_iter().flatten() {
            if let Some(value) = ids.get(name).or_else(|| examples(name)) {
                attribute["examples"] = json!([value]);
            }
        }
    }
    Ok(document)
}

/// Values that something can be made of.
fn examples(attribute: &str) -> Option<&'static Value> {
    static ALL: LazyLock<Value> = LazyLock::new(|| {
        json!({
            "vip_address": "192.0.2.77", "ipv6_vip_address": "fd00::77", "address": "10.9.8.7",
            "ip": "10.0.0.0/8", "protocol": "TCP", "protocol_port": 80, "vpc_id": "net",
        })
    });
    ALL.get(attribute)
}

impl ApiScene {
    /// What everyone gets at a path.
    fn fetched(&self, path: &str) -> Result<Value> {
        let mut command = self.lab.lb().command("curl");
        command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "20"]);
        command.arg(format!("{ENDPOINT}{path}"));
        Ok(serde_json::from_str(&output(command, STUCK)?)?)
    }
}

/// What is done one after the other: the phases of schemathesis, and of which operations. Those that take something
/// away come at last: the others need it.
const RUNS: [(&str, &[&str]); 3] = [
    (
        "examples,coverage,fuzzing",
        &["--exclude-method", "DELETE", "--exclude-path-regex", "delete"],
    ),
    ("coverage,fuzzing", &["--include-method", "DELETE", "--include-path-regex", "delete"]),
    ("stateful", &[]),
];

/// What is right by the document may be refused, since the address is taken or the resource in use. Other methods of
/// a path are answered with 404, as the cloud does, and wrong credentials wait longer each time.
const NOT_CHECKED: &str = "positive_data_acceptance,unsupported_method,allow_header_conformance,ignored_auth,\
                           missing_required_header";

/// Requests that schemathesis makes of documents.
struct Requests<'a> {
    lab: &'a Lab,
    token: &'a str,
    seed: usize,
    count: usize,
}

impl Requests<'_> {
    /// What it says of the answers, and whether all of them are as the document says.
    fn of(&self, document: &Value, phases: &str, operations: &[&str]) -> Result<(bool, String)> {
        let folder = self.lab.files();
        fs::write(folder.join("openapi.json"), document.to_string())?;
        let configuration = "[phases.coverage]\nunexpected-methods = []\n";
        fs::write(folder.join("schemathesis.toml"), configuration)?;
        let mut command = self.lab.lb().command(python()?);
        command.args(["-m", "schemathesis.cli", "run", "openapi.json", "--url", ENDPOINT]);
        command.args(["--header", &format!("X-Auth-Token:{}", self.token), "--phases", phases]);
        command.args(["--max-examples", &self.count.to_string(), "--seed", &self.seed.to_string()]);
        command.args(["--continue-on-failure", "--no-color", "--suppress-health-check", "all"]);
        command.args(["--generation-database", "none", "--request-timeout", "60"]);
        command.args(["--exclude-checks", NOT_CHECKED]).args(operations);
        command.args(["--exclude-by", "/x-elb-supported == false"]);
        command.current_dir(folder).env("HOME", folder);
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        let ended = ended(command, STUCK * u32::try_from(self.count)?)?;
        let said = format!("seed {}, {phases}: {}{}", self.seed, ended.printed, ended.said);
        Ok((ended.code == Some(0), said))
    }
}

/// No request is answered with an error of the agent or by what the document does not say, and none is accepted that
/// is wrong by it. `ELB_LAB_REQUESTS` is how many are made at random of each operation, from `ELB_LAB_SEED`.
#[test]
fn requests_of_the_document_are_answered_as_it_says() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let client = scene.curl()?;
    let mut session = Session { client, scene: &mut scene };
    let document = document(&mut session)?;
    let (count, seed) = (number("ELB_LAB_REQUESTS", 4)?, number("ELB_LAB_SEED", 1)?);
    let requests = Requests { lab: &scene.lab, token: &scene.key.token, seed, count };
    for (phases, operations) in RUNS {
        let (is_right, said) = requests.of(&document, phases, operations)?;
        println!("{said}");
        ensure!(is_right, "{said}\n{}", scene.agent.log());
    }
    // What is untrue is noticed: a rule that the agent does not have, a type, and a status.
    let (document, operations) = untrue(document)?;
    let operations = operations.map(|name| ["--include-operation-id", name]).concat();
    let (is_right, said) = requests.of(&document, "coverage", &operations)?;
    ensure!(!is_right, "{said}");
    for found in ["schema-violating request", "violates schema", "Undocumented HTTP status code"] {
        ensure!(said.contains(found), "{found}: {said}");
    }
    Ok(())
}

/// The document with what is not true of the agent, and the operations that have it.
fn untrue(mut document: Value) -> Result<(Value, [&'static str; 3])> {
    let names = ["list_ip_groups", "show_quota", "list_flavors"];
    let limit =
        json!({"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 9}});
    let paths = document["paths"].as_object_mut().context("paths")?;
    for (path, methods) in paths {
        match path.rsplit('/').next().unwrap_or_default() {
            "ipgroups" => methods["get"]["parameters"] = json!([limit]),
            "flavors" => {
                let text = json!({"type": "object", "properties": {"flavors": {"type": "string"}}});
                methods["get"]["responses"]["200"]["content"]["application/json"]["schema"] = text;
            }
            "quotas" => {
                methods["get"]["responses"].as_object_mut().context("responses")?.remove("200");
            }
            _ => {}
        }
    }
    Ok((document, names))
}

/// It is OpenAPI 3.1 by the validator of others, as JSON and as YAML, which say the same.
#[test]
fn the_form_of_the_document_is_openapi() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for form in ["json", "yaml"] {
        let mut command = Command::new(elb_bin()?);
        command.args(["api", "openapi", "-o", form]);
        fs::write(folder.path().join(form), output(command, STUCK)?)?;
        let mut validator = Command::new(python()?);
        validator.args([
            "-m",
            "openapi_spec_validator",
            "--schema",
            "3.1",
            "--errors",
            "all",
            form,
        ]);
        validator.current_dir(folder.path()).env("HOME", folder.path());
        output(validator, STUCK)?;
    }
    let same = "import json, yaml; assert yaml.safe_load(open('yaml')) == json.load(open('json'))";
    let mut command = Command::new(python()?);
    command.args(["-c", same]).current_dir(folder.path());
    output(command, STUCK).map(drop)
}
