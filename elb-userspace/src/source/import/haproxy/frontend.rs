//! A frontend: its listeners, and who may connect.

use std::collections::HashMap;
use std::net::IpAddr;

use toml::Value;

use super::Effective;
use super::binding::{Binding, bindings};
use super::time::milliseconds;
use crate::source::import::ImportOptions;
use crate::source::import::haproxy_words::Line;
use crate::source::import::section::{Section, lacking};
use crate::source::import::translation::{ListenerDraft, Translation};

/// Seconds for which an idle connection is kept.
const IDLE: (u64, u64) = (10, 4000);

/// What a frontend says.
pub(super) struct Frontend<'a> {
    section: &'a Effective<'a>,
    options: &'a ImportOptions,
    keys: Section,
    /// Addresses that `acl NAME src …` lists.
    lists: HashMap<&'a str, Vec<String>>,
    /// `use_backend POOL if { nbsrv(BACKEND) lt N }`: the line, the backend, and N.
    fallback: Option<(&'a Line, &'a str, i64)>,
    /// An IP group, and whether it is a white list.
    group: Option<(Vec<String>, bool)>,
}

impl<'a> Frontend<'a> {
    pub(super) fn new(section: &'a Effective<'a>, options: &'a ImportOptions) -> Self {
        let keys = Section::default();
        let mut frontend =
            Self { section, options, keys, lists: HashMap::new(), fallback: None, group: None };
        for (i, line) in section.lines.iter().enumerate() {
            let is_own = i >= section.inherited;
            frontend.read(line, is_own);
        }
        frontend
    }

    fn read(&mut self, line: &'a Line, is_own: bool) {
        match (line.word(0), line.word(1)) {
            ("timeout", "client" | "tunnel") => {
                if let Some(time) = milliseconds(line.word(2)) {
                    let (least, most) = IDLE;
                    let seconds = time.div_ceil(1000).clamp(least, most);
                    self.keys.set("keepalive_timeout", i64::try_from(seconds).unwrap_or(300));
                }
            }
            ("rate-limit", "sessions") => {
                if let Ok(limit) = line.word(2).parse::<i64>() {
                    self.keys.set("cps", limit);
                }
            }
            ("acl", name) if ["src", "src,"].contains(&line.word(2)) => {
                let words = line.from(3).iter().filter(|word| !word.starts_with('-'));
                self.lists.entry(name).or_default().extend(words.cloned());
            }
            ("tcp-request", "connection") => self.read_rule(line, is_own),
            ("disabled", _) => self.keys.set("admin_state_up", false),
            ("use_backend", _) if is_own => {
                let fallback = servers_left(line).filter(|_| self.fallback.is_none());
                if let Some((backend, below)) = fallback {
                    self.fallback = Some((line, backend, below));
                    return;
                }
                let outcome = "elb chooses a pool by address and port alone";
                self.keys.lacks(line.number, &line.text(), outcome);
            }
            ("bind" | "mode" | "default_backend" | "maxconn" | "enabled", _) => {}
            ("timeout" | "log" | "option" | "description" | "id", _) => {}
            (keyword, _) if self.section.head.word(0) == "listen" && is_of_backend(keyword) => {}
            _ if is_own => self.keys.lacks(line.number, &line.text(), "it is left out"),
            _ => {}
        }
    }

    /// `tcp-request connection reject|accept [if|unless ACL]`, where the list has addresses only.
    fn read_rule(&mut self, line: &'a Line, is_own: bool) {
        let action = line.word(2);
        let condition = line.word(4).trim_start_matches('!');
        let is_negated = (line.word(3) == "unless") != line.word(4).starts_with('!');
        let list = self.lists.get(condition).filter(|_| line.words.len() == 5).cloned();
        let is_rest = action == "reject" && line.words.len() == 3 && self.group.is_some();
        match (action, list) {
            ("reject", Some(list)) if self.group.is_none() => self.group = Some((list, is_negated)),
            ("accept", Some(list)) if self.group.is_none() && !is_negated => {
                self.group = Some((list, true));
            }
            _ if is_rest => {}
            _ if is_own => {
                let outcome =
                    "elb decides by client addresses alone (ipgroup), cps and max_connection";
                self.keys.lacks(line.number, &line.text(), outcome);
            }
            _ => {}
        }
    }

    /// Adds a listener for each place where it listens.
    pub(super) fn translate(
        mut self,
        pools: &HashMap<&str, (String, bool)>,
        out: &mut Translation,
    ) {
        let name = self.section.name();
        let backend = match self.section.last("default_backend") {
            Some(line) => Some(line.word(1)),
            None => (self.section.head.word(0) == "listen").then_some(name),
        };
        let pool = backend.and_then(|backend| pools.get(backend));
        self.write_group(name, out);
        let fallback = self.write_fallback(backend, pools);
        let mut both = [pool, fallback].into_iter().flatten();
        self.write_limit(pool.is_some() && both.all(|(_, records)| *records));
        let own = self.section.own().iter().filter(|line| line.word(0) == "bind");
        let mut bound: Vec<Binding> = own.flat_map(|line| bindings(line, 1)).collect();
        if self.section.head.word(0) == "listen" && self.section.head.word(2) != "from" {
            bound.extend(bindings(self.section.head, 2));
        }
        if bound.is_empty() {
            let outcome = "it listens nowhere; it is left out";
            out.notes.push(lacking(self.section.head.number, &self.section.head.text(), outcome));
        }
        for binding in &bound {
            self.listen(binding, pool.map(|(name, _)| name.as_str()), out);
        }
    }

    fn listen(&self, binding: &Binding, pool: Option<&str>, out: &mut Translation) {
        let mut section = self.keys.clone();
        let (first, last) = binding.ports;
        section.set("name", out.listener_name(self.section.name()));
        section.set("protocol", "TCP");
        if first == last {
            section.set("protocol_port", i64::from(first));
        } else {
            section.set("protocol_port", 0);
            let range = [("start_port", first), ("end_port", last)];
            let range = range.map(|(key, port)| (key.to_owned(), Value::from(i64::from(port))));
            let range = toml::Table::from_iter(range);
            section.set("port_ranges", vec![Value::Table(range)]);
        }
        if let Some(pool) = pool {
            section.set("default_pool", pool);
        } else {
            section.refused = Some("it has no default_backend that elb could serve".to_owned());
        }
        section.refused = section.refused.or(binding.refused.clone());
        let every = binding.address.filter(|address| address.is_unspecified());
        let Some(every) = every else {
            out.listeners.push(ListenerDraft { address: binding.address, section });
            return;
        };
        let of_family = |vip: &&IpAddr| vip.is_ipv4() == every.is_ipv4();
        let vips: Vec<&IpAddr> = self.options.vips.iter().filter(of_family).collect();
        if vips.is_empty() {
            let family = if every.is_ipv4() { "IPv4" } else { "IPv6" };
            let why = format!(
                "`{}` is every {family} address of the host: name the virtual address with --vip",
                binding.text
            );
            section.refused.get_or_insert(why);
            out.listeners.push(ListenerDraft { address: None, section });
            return;
        }
        for vip in vips {
            let mut section = section.clone();
            section.set("name", out.listener_name(self.section.name()));
            out.listeners.push(ListenerDraft { address: Some(*vip), section });
        }
    }

    fn write_group(&mut self, name: &str, out: &mut Translation) {
        let Some((addresses, is_white)) = self.group.take() else { return };
        let mut group = Section::default();
        group.set("name", name);
        group.set("ip_list", addresses);
        out.groups.push(group);
        let table = [("ipgroup", name), ("type", if is_white { "white" } else { "black" })];
        let table = table.map(|(key, text)| (key.to_owned(), Value::from(text)));
        self.keys.set("ipgroup", Value::Table(toml::Table::from_iter(table)));
    }

    /// The pool that takes over while few servers of the default backend are left.
    fn write_fallback<'p>(
        &mut self,
        backend: Option<&str>,
        pools: &'p HashMap<&str, (String, bool)>,
    ) -> Option<&'p (String, bool)> {
        let (line, watched, below) = self.fallback?;
        let pool = pools.get(line.word(1)).filter(|_| backend == Some(watched));
        let Some((name, _)) = pool else {
            let outcome = "elb chooses a pool by address and port, and by the members of the default \
                           backend that are left";
            self.keys.lacks(line.number, &line.text(), outcome);
            return None;
        };
        self.keys.set("fallback_pool", name.as_str());
        if below > 1 {
            self.keys.set("fallback_below", below);
        }
        pool
    }

    /// A limit of connections needs a pool that counts them.
    fn write_limit(&mut self, records: bool) {
        let own = self.section.own().iter().rev().find(|line| line.word(0) == "maxconn");
        let Some(line) = own else { return };
        match line.word(1).parse::<i64>() {
            Ok(limit) if records => self.keys.set("max_connection", limit),
            _ => {
                let outcome = "only pools with ROUND_ROBIN or LEAST_CONNECTIONS count connections";
                self.keys.lacks(line.number, &line.text(), outcome);
            }
        }
    }
}

/// The backend and the number of `use_backend POOL if { nbsrv(BACKEND) lt N }`, or with le or eq 0.
fn servers_left(line: &Line) -> Option<(&str, i64)> {
    let words: Vec<&str> = line.from(2).iter().map(String::as_str).collect();
    let ["if", "{", fetch, relation, number, "}"] = words[..] else { return None };
    let backend = fetch.strip_prefix("nbsrv(")?.strip_suffix(')')?;
    let number: i64 = number.parse().ok()?;
    let below = match relation {
        "lt" => number,
        "le" => number + 1,
        "eq" if number == 0 => 1,
        _ => return None,
    };
    (below >= 1).then_some((backend, below))
}

/// Whether a line of a `listen` section is its backend half's.
fn is_of_backend(keyword: &str) -> bool {
    let keywords = [
        "server",
        "server-template",
        "default-server",
        "balance",
        "hash-type",
        "http-check",
        "tcp-check",
        "stick",
        "stick-table",
        "retries",
        "source",
        "fullconn",
        "cookie",
    ];
    keywords.contains(&keyword)
}
