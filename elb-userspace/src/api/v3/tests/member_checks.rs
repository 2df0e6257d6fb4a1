//! Jobs that find out what keeps a member from working.

use serde_json::{Value, json};

use super::{PROJECT, Scene};
use crate::api::Answer;
use crate::api::shape::diagnose::{DiagnoseRequest, Diagnosis};
use crate::api::shape::error::Error;
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome, Report};

/// What the agent finds of each member.
pub(super) fn found(request: DiagnoseRequest) -> Answer<Diagnosis> {
    let target = request.target.unwrap();
    if !target.starts_with("member:") {
        return Err(Error::from(format!("{target} is no member")));
    }
    let findings = vec![
        Finding::seen(Check::Attached, Outcome::Pass, "it is"),
        Finding::seen(Check::Listening, Outcome::Fail, "nothing listens").fix("start it"),
        Finding::inferred(Check::SecurityGroup, Outcome::Pass, "answers come"),
        Finding::inferred(Check::NetworkAcl, Outcome::Unknown, "it cannot be known from here"),
        Finding::seen(Check::Decapsulation, Outcome::NotApplicable, "l2"),
    ];
    Ok(Diagnosis::new(vec![Report::new("pool/member", false, findings)], Vec::new(), 0))
}

/// Asks for a job, and waits for its end.
async fn check(scene: &Scene, member: &str, listener: &str, subject: &str) -> Value {
    let body = json!({"member_check": {"listener_id": listener, "subject": subject}});
    let (status, reply) = scene.ask("POST", &format!("members/{member}/health-check"), body).await;
    assert_eq!(status, 202, "{reply}");
    let path = format!("members/check/jobs/{}", reply["member_check"]["job_id"].as_str().unwrap());
    let over = async {
        loop {
            let (status, reply) = scene.ask("GET", &path, Value::Null).await;
            assert_eq!(status, 200, "{reply}");
            if reply["member_check"]["status"] != "processing" {
                return reply["member_check"].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, over).await.expect("the job ends")
}

#[tokio::test]
async fn a_check_says_what_keeps_a_member_from_working() {
    let scene = Scene::new();
    let [_, listener, _, member] = scene.service().await;
    let all = check(&scene, &member, &listener, "all").await;
    assert_eq!((&all["status"], &all["member_id"]), (&json!("processed"), &json!(member)));
    let counts = [&all["check_item_total_num"], &all["check_item_finished_num"]];
    assert_eq!(counts, [&json!(4); 2], "what does not apply is not counted");
    let group = |key: &str| all["result"][key].clone();
    assert_eq!(
        group("security_group"),
        json!({"check_result": true, "check_items": [], "check_status": "processed"})
    );
    assert_eq!(
        (&group("acl")["check_result"], &group("config")["check_result"]),
        (&json!(true), &json!(false))
    );
    let item = &group("config")["check_items"][0];
    assert_eq!(
        (&item["reason"], &item["severity"]),
        (&json!("nothing listens; start it"), &json!("Major"))
    );
    assert_eq!(group("acl")["check_items"][0]["severity"], "Tips");
    let config = check(&scene, &member, &listener, "config").await;
    let groups: Vec<&str> =
        config["result"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((&*groups, &config["check_item_total_num"]), (&["config"][..], &json!(2)));
}

#[tokio::test]
async fn a_check_is_of_a_member_that_serves_the_listener_and_of_its_project() {
    let scene = Scene::new();
    let [lb, listener, _, member] = scene.service().await;
    let other = json!({"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 81});
    let other = scene.make("listeners", "listener", other).await;
    let path = format!("members/{member}/health-check");
    let body = |listener: &str, subject: &str| json!({"member_check": {"listener_id": listener, "subject": subject}});
    for (path, body, code) in [
        (&*path, json!({}), "ELB.8902"),
        (&*path, body(&listener, "weather"), "ELB.8902"),
        (&*path, body(&other, "all"), "ELB.8902"),
        (&*path, body(&member, "all"), "ELB.8904"),
        (&*format!("members/{listener}/health-check"), body(&listener, "all"), "ELB.8904"),
    ] {
        let (_, found, message) = scene.refused("POST", path, body.clone()).await;
        assert_eq!(found, code, "{path} {body}: {message}");
    }
    let job = check(&scene, &member, &listener, "all").await["job_id"].as_str().unwrap().to_owned();
    let theirs = format!("/v3/{}/elb/members/check/jobs/{job}", PROJECT.replace('0', "9"));
    assert_eq!(scene.raw(&scene.other, "GET", &theirs, "").await.0, 404);
    let path = format!("/v3/{PROJECT}/elb/{path}");
    let read_only =
        scene.raw(&scene.read_only, "POST", &path, &body(&listener, "all").to_string()).await;
    assert_eq!(read_only.1["error_code"], "SYS.0403");
}
