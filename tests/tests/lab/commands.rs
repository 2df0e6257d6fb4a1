//! Commands whose readers leave, whose files are missing, and who may not ask.

use std::io::{Seek as _, pipe, read_to_string};

use anyhow::Result;
use elb_tests::{
    config::Forwarding,
    environment::elb_bin,
    process::{Process, ended},
};

use crate::scene::{LIMIT, Scene};

#[test]
fn a_reader_that_leaves_ends_a_command_without_a_word() -> Result<()> {
    let scene = Scene::start(1, Forwarding::L2, |pool| pool)?;
    let socket = scene.config.agent.socket.display().to_string();
    for words in [
        &["status"][..],
        &["status", "-o", "json"],
        &["diagnose"],
        &["drops", "--interval", "0s"],
        &["flows", "-o", "json"],
        &["events"],
    ] {
        let (reader, writer) = pipe()?;
        drop(reader);
        let mut said = tempfile::tempfile()?;
        let mut command = scene.lab.lb().command(elb_bin()?);
        command.args(words).args(["--socket", &socket]).stdout(writer).stderr(said.try_clone()?);
        let code = Process::start(&words.join(" "), command)?.wait(LIMIT)?.code();
        said.rewind()?;
        assert_eq!((code, read_to_string(said)?.as_str()), (Some(0), ""), "{words:?}");
    }
    Ok(())
}

/// Goes on as another user with the program `$0`, which may be where that one cannot look: it is opened
/// before.
const AS_NOBODY: &str = r#"exec 9< "$0"
exec setpriv --reuid 65534 --regid 65534 --clear-groups -- /proc/self/fd/9 "$@""#;

#[test]
fn what_keeps_a_command_from_the_agent_is_reported() -> Result<()> {
    let scene = Scene::start(1, Forwarding::L2, |pool| pool)?;
    let elb = elb_bin()?.display().to_string();
    let socket = scene.config.agent.socket.display().to_string();
    let unprivileged = ["sh", "-c", AS_NOBODY, &elb, "status", "--socket", &socket];
    let missing = [&elb, "status", "--config", "/nonexistent/elb.toml"];
    for (words, is_shown) in [
        (&unprivileged[..], "you may not ask the agent at "),
        (&missing[..], "/nonexistent/elb.toml: cannot be read"),
    ] {
        let mut command = scene.lab.lb().command(words[0]);
        command.args(&words[1..]);
        let ended = ended(command, LIMIT)?;
        assert!(ended.code == Some(1) && ended.said.contains(is_shown), "{words:?}: {ended:?}");
    }
    Ok(())
}
