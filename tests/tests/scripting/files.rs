//! A configuration of several files: `include = "conf.d/*.toml"`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    client::{Load, http_requests},
    printed, status,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::scene::{LIMIT, Scene, WEB};

impl Scene {
    /// The folder of included files.
    fn folder(&self) -> Result<PathBuf> {
        let folder = self.agent.file().parent().context("a folder")?.join("conf.d");
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn reload_files(&self) -> Result<(Option<i32>, Value)> {
        let ended = self.agent.end(&["reload", "--wait", "-o", "json"], LIMIT)?;
        let value = printed::value(&["reload"], &ended.printed);
        Ok((ended.code, value.with_context(|| format!("{ended:?}"))?))
    }

    fn request(&self) -> Result<usize> {
        let load = Load::on(self.lab.service(Family::V4, HTTP_PORT));
        Ok(http_requests(self.lab.client(), load, 20)?.answered())
    }
}

/// The pools of a text, as a file of their own, and the rest.
fn split(text: &str) -> (String, String) {
    let at = text.find("[[pool]]").expect("there are pools");
    let balancers = text.find("[[load_balancer]]").expect("there is a load balancer");
    let (agent, rest) = text.split_at(at.min(balancers));
    (format!("include = \"conf.d/*.toml\"\n{agent}"), rest.to_owned())
}

#[test]
fn a_reload_takes_several_files_or_none_of_them() -> Result<()> {
    let mut scene = Scene::start(2)?;
    let (main, resources) = split(&scene.config.text()?);
    let folder = scene.folder()?;
    fs::write(folder.join("10-all.toml"), &resources)?;
    scene.agent.write(&main)?;
    let (code, said) = scene.reload_files()?;
    assert_eq!((code, said["effects"].as_array().map(Vec::len)), (Some(0), Some(0)), "{said}");
    let generation = said["generation"].clone();
    assert_eq!(scene.request()?, 20);

    // A name that is there twice, in another file.
    let second = folder.join("20-more.toml");
    fs::write(
        &second,
        "# more\n[[pool]]\nname = \"web\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n",
    )?;
    let (code, said) = scene.reload_files()?;
    assert_eq!(
        (code, &said["accepted"], &said["generation"]),
        (Some(1), &false.into(), &generation)
    );
    let mut errors = said["errors"].as_array().context("errors")?.iter();
    let error = errors.find(|one| one["severity"] == "error").context("an error")?;
    let (file, line) = (second.display().to_string(), 3);
    assert_eq!((&error["file"], &error["line"]), (&file.into(), &line.into()), "{error}");
    let first = folder.join("10-all.toml").display().to_string();
    assert!(error["what"].as_str().context("words")?.contains(&first), "{error}");
    let file = scene.agent.file().display().to_string();
    let checked = scene.agent.end(&["check", "--config", &file], LIMIT)?;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.printed.contains(&format!("{}:3:8: ", second.display())), "{checked:?}");
    assert_eq!(scene.request()?, 20);

    // A file that is wrong when the agent starts: the last good configuration serves.
    fs::write(folder.join("10-all.toml"), "[[pool]\n")?;
    scene.agent.restart()?;
    for _ in 0..2 {
        let all = scene.agent.wait_status("the last good files", LIMIT, status::all_serve)?;
        assert_eq!(status::pools(&all).len(), 2, "{all}");
        assert!(all["agent"]["problems"].to_string().contains("10-all.toml:1:"), "{all}");
        assert_eq!(scene.request()?, 20);
        // The next agent has it, too: this one writes down nothing in its place.
        assert!(scene.agent.terminate()?.success());
        scene.agent.restart()?;
    }
    scene.agent.wait_status("the last good files", LIMIT, status::all_serve)?;
    assert_eq!(scene.request()?, 20);

    // One of two files is changed.
    scene.config.pool_mut(WEB).members.truncate(1);
    let (_, resources) = split(&scene.config.text()?);
    fs::write(folder.join("10-all.toml"), resources)?;
    fs::remove_file(second)?;
    let plan = scene.agent.ask(&["check", "--against-running", "--config", &file])?;
    assert_eq!(plan["accepted"], true, "{plan}");
    assert!(plan["effects"].as_array().is_some_and(|all| !all.is_empty()), "{plan}");
    let (code, said) = scene.reload_files()?;
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(said["generation"], generation, "{said}");
    assert_eq!(scene.request()?, 20);
    Ok(())
}
