//! What earlier versions printed is still what the schemas say: fields are added, never renamed or removed.
//!
//! `samples` has, for each version, what `elb status -o json` and `elb status MEMBER -o json` printed in a lab
//! (`ELB_LAB_PRINTED=FOLDER`, tests/src/printed.rs). A version that is released adds its own.

use std::fs;
use std::path::Path;

use elb_userspace::api::shape::schema::Printed;
use elb_userspace::api::shape::status::{MemberStatus, Status};
use serde_json::Value;

fn sample(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn errors(command: &str, value: &Value) -> Vec<String> {
    let schema = Printed::by(command).expect("a command").schema().to_value();
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    validator.iter_errors(value).map(|error| error.to_string()).collect()
}

#[test]
fn the_status_of_before_is_what_the_schema_says() {
    for name in ["status-2026-11-29.json", "status-member-2026-11-29.json"] {
        let value: Value = serde_json::from_str(&sample(name)).unwrap();
        assert_eq!(errors("status", &value), [""; 0], "{name}");
    }
    // The command line reads what an agent of before says.
    let status: Status = serde_json::from_str(&sample("status-2026-11-29.json")).unwrap();
    assert!(!status.pools.is_empty() && !status.load_balancers.is_empty());
    let members: Vec<MemberStatus> =
        serde_json::from_str(&sample("status-member-2026-11-29.json")).unwrap();
    assert!(members.iter().all(|one| !one.member.pool.is_empty() && one.health.is_some()));
}

/// Everything that was printed before is still printed, under the same name.
#[test]
fn a_status_that_is_read_and_written_again_lost_nothing() {
    let before: Value = serde_json::from_str(&sample("status-2026-11-29.json")).unwrap();
    let read: Status = serde_json::from_value(before.clone()).unwrap();
    let after = serde_json::to_value(&read).unwrap();
    lost("", &before, &after);
}

fn lost(path: &str, before: &Value, after: &Value) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                let path = format!("{path}.{name}");
                lost(&path, value, after.get(name).unwrap_or_else(|| panic!("{path} is gone")));
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len(), "{path}");
            before.iter().zip(after).for_each(|(before, after)| lost(path, before, after));
        }
        (before, after) => assert_eq!(before, after, "{path}"),
    }
}

#[test]
fn what_is_wrong_is_noticed() {
    let mut status: Value = serde_json::from_str(&sample("status-2026-11-29.json")).unwrap();
    status["agent"]["more"] = "later versions add fields".into();
    assert_eq!(errors("status", &status), [""; 0]);
    status["pools"][0]["members"][0]["slots"] = "many".into();
    assert!(!errors("status", &status).is_empty());
    status["pools"][0]["members"][0].as_object_mut().unwrap().remove("slots");
    assert!(!errors("status", &status).is_empty());
    assert!(!errors("drain", &serde_json::json!({})).is_empty());
    let error = serde_json::json!({ "code": "busy", "message": "ask again", "more": 1 });
    assert_eq!(errors("error", &error), [""; 0]);
}
