//! `/etc/elb/backend.toml`: what `elb backend up` takes, written down for every boot.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum as _;
use serde::Deserialize;

use crate::backend::{self, Answers, Attach, Mode, ServicePort};
use crate::model::ipgroup::Cidr;
use crate::model::value::Invalid;

/// Keys are the options of the command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    vip: Option<Vec<IpAddr>>,
    mode: Option<Mode>,
    #[serde(default)]
    from: Vec<String>,
    mss: Option<u32>,
    #[serde(default)]
    via: Vec<IpAddr>,
    #[serde(default)]
    port: Vec<PortKey>,
    interface: Option<String>,
    attach: Option<String>,
}

/// A port, as a number or as a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PortKey {
    Number(i64),
    Text(String),
}

/// What a file says.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) vips: Vec<IpAddr>,
    pub(super) mode: Mode,
    pub(super) from: Vec<Cidr>,
    pub(super) mss: Option<u32>,
    pub(super) answers: Answers,
    pub(super) interface: Option<String>,
    pub(super) attach: Attach,
}

/// Reads a file.
///
/// # Errors
/// It cannot be read, or something in it is wrong; with its line and column.
pub(super) fn load(path: &Path) -> Result<Wanted> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// An address, a network, or every sender.
pub(super) fn source(text: &str) -> Result<Cidr, String> {
    if text == "any" {
        return Ok(backend::any_source());
    }
    text.parse().map_err(|error: Invalid| error.to_string())
}

fn parse(text: &str) -> Result<Wanted, String> {
    let keys: Keys = toml::from_str(text).map_err(|error| error.to_string())?;
    let is_nat = keys.mode.is_some_and(Mode::is_translated);
    let vips = keys.vip.or_else(|| is_nat.then(Vec::new)).ok_or("missing field `vip`")?;
    let mode = keys.mode.ok_or("missing field `mode`")?;
    if vips.is_empty() && !is_nat {
        return Err("vip names no address; name those to serve, as in [\"192.0.2.10\"]".to_owned());
    }
    let from =
        keys.from.iter().map(|one| source(one).map_err(|error| format!("from: {one:?}: {error}")));
    let from = from.collect::<Result<_, _>>()?;
    let attach = keys.attach.as_deref().unwrap_or("auto");
    let attach = Attach::from_str(attach, false)
        .map_err(|_| format!("attach: {attach:?} is not auto, native or generic"))?;
    let port = |key: &PortKey| match key {
        PortKey::Number(number) => number.to_string().parse::<ServicePort>(),
        PortKey::Text(text) => text.parse(),
    };
    let port = |key| port(key).map_err(|error| format!("port: {error}"));
    let ports = keys.port.iter().map(port).collect::<Result<_, _>>()?;
    let answers = Answers { via: keys.via, ports };
    let Keys { mss, interface, .. } = keys;
    Ok(Wanted { vips, mode, from, mss, answers, interface, attach })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_options_say() {
        let text = "vip = ['192.0.2.10', '2001:db8::10']\nmode = 'ipip'\nfrom = ['10.0.0.0/28']\n\
                    mss = 1440\ninterface = 'eth1'\nattach = 'generic'\n";
        let wanted = parse(text).unwrap();
        assert_eq!(wanted.vips.len(), 2);
        assert_eq!((wanted.mode, wanted.mss), (Mode::Ipip, Some(1440)));
        assert_eq!(wanted.from, [source("10.0.0.0/28").unwrap()]);
        assert_eq!((wanted.interface.as_deref(), wanted.attach), (Some("eth1"), Attach::Generic));
        let least = parse("vip = ['192.0.2.10']\nmode = 'l2'\n").unwrap();
        assert_eq!((least.from, least.mss, least.attach), (Vec::new(), None, Attach::Auto));
        let nat = "mode = 'nat'\nvia = ['10.0.0.2', 'fd00::2']\nport = [8080, '53/udp']\n";
        let nat = parse(nat).unwrap();
        assert_eq!((nat.vips, nat.mode, nat.answers.via.len()), (Vec::new(), Mode::Nat, 2));
        let ports: Vec<String> = nat.answers.ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["8080/tcp", "53/udp"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("", "missing field `vip`"),
            ("vip = ['192.0.2.10']", "missing field `mode`"),
            ("mode = 'nat'\nvia = ['10.0.0.2']\nport = [0]", "port: \"0\" is no port"),
            ("vip = []\nmode = 'l2'", "vip names no address"),
            ("vip = ['x']\nmode = 'l2'", "line 1, column 8"),
            ("vip = ['192.0.2.10']\nmode = 'l3'", "unknown variant `l3`"),
            ("vip = ['192.0.2.10']\nmode = 'l2'\nvips = []", "unknown field `vips`"),
            ("vip = ['192.0.2.10']\nmode = 'ipip'\nfrom = ['web']", "from: \"web\""),
            ("vip = ['192.0.2.10']\nmode = 'l2'\nattach = 'fast'", "auto, native or generic"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
