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
mod draft;
mod error;
pub mod export;
mod fill;
mod host;
mod ipgroup;
mod keys;
mod load;
mod monitor;
mod odd;
mod piece;
mod place;
mod port;
mod port_range;
pub mod reference;
mod report;
mod resources;
#[cfg(test)]
pub(crate) mod sample;
mod snat;
mod source_text;
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

pub use self::error::{ConfigError, Errors, Severity};
pub use self::fill::{Filled, fill};
pub use self::host::{Host, own_addresses};
pub use self::piece::Piece;
use self::report::Report;
pub use self::resources::read_piece;
pub use self::source_text::SourceText;
pub use super::api::ApiSettings;
pub use super::flow_log::{FLOW_LOG_FILE, FlowLogForm, FlowLogSettings, FlowLogTarget};
pub use super::metrics::{MetricsSettings, MostMembers};
use super::notify::Notify;
pub use super::settings::{
    AgentSettings, AttachMode, MaxFlows, MaxRecords, PIN_DIR, ProbeMark, RingSlots, STATE_DIR,
};
pub use super::sflow::SflowSettings;
use super::unreadable;
use crate::model::Model;

/// The configuration file that commands take if none is named.
pub const USUAL_FILE: &str = "/etc/elb/elb.toml";

/// What a file asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// How the agent works.
    pub agent: AgentSettings,
    /// What is written down of flows.
    pub flow_log: FlowLogSettings,
    /// How metrics are served.
    pub metrics: MetricsSettings,
    /// How the API is served whose store has what is served; none: the file has it.
    pub api: Option<ApiSettings>,
    /// What it serves.
    pub model: Model,
    /// Where events are sent.
    pub notify: Vec<Notify>,
    /// Where samples of packets are sent; none: nowhere.
    pub sflow: Option<SflowSettings>,
}

/// The largest file that is read, in bytes: room for 50 IP groups of 300 described networks.
pub const MAX_FILE_SIZE: u64 = 4 << 20;

/// Reads a file that must be right throughout.
pub fn load(path: &Path) -> Result<Config, Errors> {
    right(load_lenient(path))
}

/// Reads the valid parts of a file; see [`parse_lenient`].
pub fn load_lenient(path: &Path) -> (Option<Config>, Errors) {
    load_for(path, &Host::default())
}

/// As [`load_lenient`], for a host of which something is known.
pub fn load_for(path: &Path, host: &Host) -> (Option<Config>, Errors) {
    match SourceText::read(path) {
        Ok(source) => parse_source(&source, host),
        Err(errors) => (None, errors),
    }
}

/// Reads a text that must be right throughout; `name` is what messages call it.
pub fn parse(name: &str, text: &str) -> Result<Config, Errors> {
    right(parse_lenient(name, text))
}

fn right(read: (Option<Config>, Errors)) -> Result<Config, Errors> {
    match read {
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
    parse_source(&SourceText::of(name, text), host)
}

/// As [`parse_for`], of a file with those that it includes.
pub fn parse_source(source: &SourceText, host: &Host) -> (Option<Config>, Errors) {
    let report = RefCell::new(Report::new(source.clone()));
    let config = parse_reporting(&source.text, host, &report);
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
    let notify = draft.notify.clone();
    // Whether metrics, the flow log or samples can be had is no reason not to serve.
    let flow_log = draft.flow_log.clone().unwrap_or_default();
    let metrics = draft.metrics.clone().unwrap_or_default();
    let api = draft.api.clone();
    let sflow = draft.sflow.clone();
    let model = validate::validate(draft, host, report);
    // Without a right [api] it is not known where the resources are.
    let agent = agent.filter(|_| api.is_some());
    let api = api.flatten();
    agent.map(|agent| Config { agent, flow_log, metrics, api, model, notify, sflow })
}

/// Reads the text of one file.
pub(crate) fn read_one(path: &Path) -> Result<String, Errors> {
    read_bounded(path).map_err(|error| Errors(vec![unreadable_error(path, &error)]))
}

fn unreadable_error(path: &Path, error: &io::Error) -> ConfigError {
    let fix = unreadable::fix(path, error);
    ConfigError {
        severity: Severity::Error,
        file: path.display().to_string(),
        line: 0,
        column: 0,
        object: String::new(),
        what: format!("cannot be read: {}", unreadable::why(path, error)),
        fix: fix.unwrap_or_else(|| "name a readable text file of at most 4 MiB".to_owned()),
    }
}

/// The text of a regular file of at most 4 MiB.
pub(crate) fn read_bounded(path: &Path) -> io::Result<String> {
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
