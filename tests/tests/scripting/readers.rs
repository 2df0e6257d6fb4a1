//! A group that may ask, and change nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Result;
use elb_tests::{
    environment::elb_bin,
    process::{Ended, ended},
};

use crate::scene::{LIMIT, Scene};

/// The group: a number that no group of this host has.
const GROUP: &str = "54321";

/// Goes on as another user, in these groups, with the program `$1`, which may be where that one cannot look: it
/// is opened before.
const AS_OTHER: &str = r#"groups=$0; exec 9< "$1"; shift
exec setpriv --reuid 65534 --regid 65534 $groups -- /proc/self/fd/9 "$@""#;

impl Scene {
    /// How a command of another user ends.
    fn as_other(&self, groups: &str, words: &[&str]) -> Result<Ended> {
        let socket = self.config.agent.socket.display().to_string();
        let mut command = self.lab.lb().command("sh");
        command.args(["-c", AS_OTHER, groups]).arg(elb_bin()?);
        command.args(words).args(["--socket", &socket]);
        ended(command, LIMIT)
    }
}

#[test]
fn members_of_the_group_read_and_change_nothing() -> Result<()> {
    let group = format!("[agent]\nsocket_group = \"{GROUP}\"\n");
    let scene = Scene::start_as(2, |text| text.replacen("[agent]\n", &group, 1))?;
    for folder in scene.config.agent.socket.ancestors().skip(1).take(2) {
        if folder.starts_with("/tmp") && folder != std::path::Path::new("/tmp") {
            fs::set_permissions(folder, Permissions::from_mode(0o711))?;
        }
    }
    let member = scene.lab.member_addr(0, elb_tests::address::Family::V4).to_string();
    let in_group = format!("--groups {GROUP}");
    for words in [
        &["status"][..],
        &["status", "--check"],
        &["status", "--ready"],
        &["events"],
        &["drops", "--interval", "0s"],
        &["flows"],
    ] {
        let ended = scene.as_other(&in_group, words)?;
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    }
    let rule = format!(
        "uid 65534 may ask the agent and change nothing ([agent] socket_group = {GROUP:?})"
    );
    let make = ["lb", "create", "x", "--vip-address", "192.0.2.9"];
    let costly = [&["trace", "--count", "1"][..], &["diagnose"], &make];
    for words in [&["reload"][..], &["drain", &member]].into_iter().chain(costly) {
        let ended = scene.as_other(&in_group, words)?;
        assert!(ended.code != Some(0) && ended.said.contains(&rule), "{words:?}: {ended:?}");
        let ended = scene.as_other("--clear-groups", words)?;
        assert!(ended.said.contains("you may not ask the agent at "), "{words:?}: {ended:?}");
    }
    let ended = scene.as_other("--clear-groups", &["status", "--ready"])?;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let said = scene.agent.status()?;
    assert_eq!(said["agent"]["problems"], serde_json::json!([]));
    let root = scene.agent.end(&["reload", "--wait"], LIMIT)?;
    assert_eq!(root.code, Some(0), "{root:?}");
    Ok(())
}
