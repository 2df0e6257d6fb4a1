//! The configuration file: TOML with the resource and field names of the ELB V3 API.
//!
//! All that is wrong is reported at once, each with its line and column. [`parse`] wants a file
//! that is right throughout; [`parse_lenient`] serves what is right in it, so that one bad listener
//! does not stop the others when the agent starts. `dist/elb.toml` explains every key, and [`mod@reference`]
//! lists them.
//!
//! `settings`, `file`, `ipgroup`, `monitor`, `port_range` and `tracking` read the pieces, `validate`
//! relates them.

mod capacity;
mod error;
mod fill;
mod host;
mod ipgroup;
mod keys;
mod monitor;
mod odd;
mod port;
mod port_range;
pub mod reference;
mod resources;
#[cfg(test)]
pub(crate) mod sample;
pub(super) mod table;
mod tracking;
mod validate;

use std::cell::RefCell;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;
use toml::de::DeTable;

use self::error::Report;
pub use self::error::{ConfigError, Errors, Severity};
pub use self::fill::{Filled, fill};
pub use self::host::Host;
pub use super::settings::{
    AgentSettings, AttachMode, MaxFlows, MaxRecords, PIN_DIR, ProbeMark, RingSlots, STATE_DIR,
};
use super::unreadable;
use crate::model::Model;

/// The configuration file that commands take if none is named.
pub const USUAL_FILE: &str = "/etc/elb/elb.toml";

/// What a file asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// How the agent works.
    pub agent: AgentSettings,
    /// What it serves.
    pub model: Model,
}

/// The largest file that is read, in bytes: room for 50 IP groups of 300 described networks.
pub const MAX_FILE_SIZE: u64 = 4 << 20;

/// Reads a file that must be right throughout.
pub fn load(path: &Path) -> Result<Config, Errors> {
    parse(&path.display().to_string(), &read(path)?)
}

/// Reads the valid parts of a file; see [`parse_lenient`].
pub fn load_lenient(path: &Path) -> (Option<Config>, Errors) {
    match read(path) {
        Ok(text) => parse_lenient(&path.display().to_string(), &text),
        Err(errors) => (None, errors),
    }
}

/// As [`load_lenient`], for a host of which something is known.
pub fn load_for(path: &Path, host: &Host) -> (Option<Config>, Errors) {
    match read(path) {
        Ok(text) => parse_for(&path.display().to_string(), &text, host),
        Err(errors) => (None, errors),
    }
}

/// Reads a text that must be right throughout; `name` is what messages call it.
pub fn parse(name: &str, text: &str) -> Result<Config, Errors> {
    match parse_lenient(name, text) {
        (Some(config), errors) if !errors.has_errors() => Ok(config),
        (_, errors) => Err(errors),
    }
}

/// Reads the valid parts of a text, and reports everything that is wrong or odd.
///
/// A load balancer, listener or pool with an error in it is left out, and so are the listeners of a
/// pool that is. Nothing is left if the text is not TOML or `[agent]` is wrong.
pub fn parse_lenient(name: &str, text: &str) -> (Option<Config>, Errors) {
    parse_for(name, text, &Host::default())
}

/// As [`parse_lenient`], for a host of which something is known.
pub fn parse_for(name: &str, text: &str, host: &Host) -> (Option<Config>, Errors) {
    let report = RefCell::new(Report::new(name, text));
    let config = parse_reporting(text, host, &report);
    (config, report.into_inner().into_errors())
}

fn parse_reporting(text: &str, host: &Host, report: &RefCell<Report>) -> Option<Config> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let fix = "see https://toml.io for the syntax".to_owned();
            report.borrow_mut().error(at, "", error.message().to_owned(), fix);
        }
        return None;
    }
    let draft = resources::read(document.get_ref(), report);
    let agent = draft.agent.clone();
    let model = validate::validate(draft, host, report);
    agent.map(|agent| Config { agent, model })
}

/// Reads a text.
pub fn read(path: &Path) -> Result<String, Errors> {
    read_bounded(path).map_err(|error| {
        let fix = unreadable::fix(path, &error);
        Errors(vec![ConfigError {
            severity: Severity::Error,
            file: path.display().to_string(),
            line: 0,
            column: 0,
            object: String::new(),
            what: format!("cannot be read: {}", unreadable::why(path, &error)),
            fix: fix.unwrap_or_else(|| "name a readable text file of at most 4 MiB".to_owned()),
        }])
    })
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.take(MAX_FILE_SIZE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 4 MiB"));
    }
    Ok(text)
}

/// Opens a file; nothing else, since what opens or reads a FIFO or a device may wait for ever. It is looked
/// at before it is opened, which alone can move a tape, and once more behind.
fn open_regular(path: &Path) -> io::Result<File> {
    is_regular(&fs::metadata(path)?)?;
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    is_regular(&file.metadata()?)?;
    Ok(file)
}

fn is_regular(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO or a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a regular file")))
}

#[cfg(test)]
mod tests;
