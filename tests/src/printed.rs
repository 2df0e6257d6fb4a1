//! What `elb … -o json` prints, each time held against the schema of its command.

use std::{
    collections::HashMap,
    env, fs,
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use elb_userspace::api::shape::schema::Printed;
use jsonschema::Validator;
use serde_json::Value;

/// Longer texts are not held against their schema each time that a test asks: these are of thousands of
/// members, all alike.
const MOST: usize = 256 << 10;

static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// The one value that the command of these words printed.
pub fn value(words: &[&str], text: &str) -> Result<Value> {
    let command = command(words)?;
    keep(words, text)?;
    let value =
        serde_json::from_str(text).with_context(|| format!("{words:?}: no JSON: {text}"))?;
    if text.len() <= MOST {
        check(command, &value)?;
    }
    Ok(value)
}

/// The objects that the command of these words printed, one a line.
pub fn lines(words: &[&str], text: &str) -> Result<Vec<Value>> {
    let command = command(words)?;
    keep(words, text)?;
    let line = |line: &str| -> Result<Value> {
        let value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        check(command, &value).map(|()| value)
    };
    text.lines().map(line).collect()
}

/// What the command of these words said on standard error when it failed: the last line of it.
pub fn error(said: &str) -> Result<Value> {
    let last = said.lines().last().context("nothing was said")?;
    value(&["error"], last)
}

/// The command, which is one word or two.
fn command(words: &[&str]) -> Result<&'static str> {
    let found = (1..=2).rev().find_map(|count| Printed::by(&words.get(..count)?.join(" ")));
    found.map(|printed| printed.command).with_context(|| format!("no schema is of {words:?}"))
}

fn check(command: &str, value: &Value) -> Result<()> {
    let validator = validator(command)?;
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("at {:?}: {error}", error.instance_path().to_string()))
        .collect();
    if !wrong.is_empty() {
        bail!("elb {command} printed what its schema does not allow: {wrong:#?}\n{value:#}");
    }
    Ok(())
}

fn validator(command: &str) -> Result<Arc<Validator>> {
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = validators.get(command) {
        return Ok(Arc::clone(known));
    }
    let schema = Printed::by(command).context("a command with a schema")?.schema().to_value();
    let new = Arc::new(jsonschema::draft202012::new(&schema).map_err(|error| {
        anyhow::anyhow!("the schema of elb {command} is none: {error}\n{schema:#}")
    })?);
    validators.insert(command.to_owned(), Arc::clone(&new));
    Ok(new)
}

/// Writes a text into the folder that `ELB_LAB_PRINTED` names, to become a sample.
fn keep(words: &[&str], text: &str) -> Result<()> {
    let Some(folder) = env::var_os("ELB_LAB_PRINTED") else { return Ok(()) };
    let file = Path::new(&folder).join(format!("{}.json", words.join("-").replace('/', "_")));
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}
