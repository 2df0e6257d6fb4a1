//! The configuration file that a translation makes.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use super::section::{Section, comment};
use crate::source::file::{self, ConfigError, Severity};

/// A listener, with the address of its load balancer; none: no address is known.
#[derive(Clone, Debug)]
pub(super) struct ListenerDraft {
    pub(super) address: Option<IpAddr>,
    pub(super) section: Section,
}

/// A pool and its parts.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolDraft {
    pub(super) section: Section,
    pub(super) members: Vec<Section>,
    pub(super) monitor: Option<Section>,
}

/// A configuration file in the making.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    /// What the file is, and what has no place of its own in it.
    pub(super) notes: Vec<String>,
    pub(super) interfaces: Vec<String>,
    /// Addresses that keepalived holds by VRRP, with the instance that does.
    pub(super) held: Vec<(IpAddr, String)>,
    pub(super) groups: Vec<Section>,
    pub(super) listeners: Vec<ListenerDraft>,
    pub(super) pools: Vec<PoolDraft>,
}

/// A part of the file that may be left out.
#[derive(Clone, Copy, Debug)]
enum Part {
    Agent,
    Group(usize),
    Balancer(IpAddr),
    Listener(usize),
    Pool(usize),
    Member(usize, usize),
    Monitor(usize),
}

/// The text so far, and which of its lines are of which part.
#[derive(Default)]
struct Rendering {
    text: String,
    lines: usize,
    parts: Vec<(Range<usize>, Part)>,
}

impl Rendering {
    fn add(&mut self, lines: &str, part: Option<Part>) {
        let first = self.lines + 1;
        self.text += lines;
        self.lines += lines.lines().count();
        if let Some(part) = part {
            self.parts.push((first..self.lines + 1, part));
        }
    }
}

impl Translation {
    /// How many comments the file has.
    pub fn notes(&self) -> usize {
        let of_pools = self.pools.iter().map(|pool| {
            let members: usize = pool.members.iter().map(|member| member.notes.len()).sum();
            let monitor = pool.monitor.as_ref().map_or(0, |monitor| monitor.notes.len());
            pool.section.notes.len() + members + monitor
        });
        let of_listeners = self.listeners.iter().map(|one| one.section.notes.len());
        self.notes.len() + of_listeners.chain(of_pools).sum::<usize>()
    }

    /// Names of the listeners, and whether each is served.
    pub fn listeners(&self) -> impl Iterator<Item = (&str, bool)> {
        let listeners = self.listeners.iter().map(|one| &one.section);
        listeners.map(|one| (one.text("name").unwrap_or_default(), one.refused.is_none()))
    }

    /// A name that no listener has yet: the wanted one, or that with a number.
    pub(super) fn listener_name(&self, wanted: &str) -> String {
        free(wanted, |name| self.listeners().any(|(known, _)| known == name))
    }

    /// The same for pools.
    pub(super) fn pool_name(&self, wanted: &str) -> String {
        let is_taken =
            |name: &str| self.pools.iter().any(|pool| pool.section.text("name") == Some(name));
        free(wanted, is_taken)
    }

    /// Makes comments of what the rules of configuration files refuse.
    pub(super) fn settle(&mut self) {
        loop {
            let rendering = self.render();
            let (_, errors) = file::parse_lenient("", &rendering.text);
            let mut refused = 0;
            for error in errors.iter().filter(|error| error.severity == Severity::Error) {
                let of_line = |(lines, _): &&(Range<usize>, Part)| lines.contains(&error.line);
                let part = rendering.parts.iter().find(of_line).map(|(_, part)| *part);
                refused += usize::from(part.is_some_and(|part| self.refuse(part, error)));
            }
            if refused == 0 {
                return;
            }
        }
    }

    /// Makes a comment of a part; false: it is one already.
    fn refuse(&mut self, part: Part, error: &ConfigError) -> bool {
        let why = || format!("{}; {}", error.what, error.fix);
        let section = match part {
            Part::Agent => {
                let wrong = std::mem::take(&mut self.interfaces);
                return !wrong.is_empty();
            }
            // Without listeners, it is a comment.
            Part::Balancer(address) => {
                let own = self.listeners.iter_mut().filter(|one| one.address == Some(address));
                let served = own.filter(|one| one.section.refused.is_none());
                return served.map(|one| one.section.refused = Some(why())).count() > 0;
            }
            Part::Group(i) => &mut self.groups[i],
            Part::Listener(i) => &mut self.listeners[i].section,
            Part::Pool(i) => &mut self.pools[i].section,
            Part::Member(i, j) => &mut self.pools[i].members[j],
            Part::Monitor(i) => self.pools[i].monitor.get_or_insert_default(),
        };
        let is_new = section.refused.is_none();
        section.refused.get_or_insert_with(why);
        is_new
    }

    fn render(&self) -> Rendering {
        let mut out = Rendering::default();
        let notes: String = self.notes.iter().map(|note| comment(note)).collect();
        out.add(&format!("{notes}\n"), None);
        out.add(&self.agent().lines("[agent]", false), Some(Part::Agent));
        for (i, group) in self.groups.iter().enumerate() {
            out.add(&group.lines("[[ipgroup]]", false), Some(Part::Group(i)));
        }
        let mut known = Vec::new();
        for address in self.listeners.iter().map(|one| one.address) {
            if !known.contains(&address) {
                known.push(address);
                self.render_balancer(address, &mut out);
            }
        }
        for (i, pool) in self.pools.iter().enumerate() {
            pool.render(i, &mut out);
        }
        out
    }

    fn agent(&self) -> Section {
        let mut agent = Section::default();
        let mut interfaces = self.interfaces.clone();
        if interfaces.is_empty() {
            agent.notes.push("no interface is named: set those that traffic arrives on".to_owned());
            interfaces.push("eth0".to_owned());
        }
        agent.set("interfaces", interfaces);
        agent
    }

    fn render_balancer(&self, address: Option<IpAddr>, out: &mut Rendering) {
        let own =
            || self.listeners.iter().enumerate().filter(move |(_, one)| one.address == address);
        if let Some(address) = address {
            let mut balancer = Section::default();
            balancer.set("name", address.to_string());
            let key = if address.is_ipv4() { "vip_address" } else { "ipv6_vip_address" };
            balancer.set(key, address.to_string());
            if let Some((_, instance)) = self.held.iter().find(|(held, _)| *held == address) {
                let who = format!(
                    "vrrp_instance {instance} of keepalived holds the address, and the kernel answers for it"
                );
                balancer.notes.push(who);
                balancer.set("announce", "none");
            }
            let is_refused = own().all(|(_, one)| one.section.refused.is_some());
            let lines = balancer.lines("[[load_balancer]]", is_refused);
            out.add(&lines, Some(Part::Balancer(address)));
        }
        for (i, listener) in own() {
            let lines = listener.section.lines("[[load_balancer.listener]]", address.is_none());
            out.add(&lines, Some(Part::Listener(i)));
        }
    }
}

impl PoolDraft {
    fn render(&self, i: usize, out: &mut Rendering) {
        let is_refused = self.section.refused.is_some();
        out.add(&self.section.lines("[[pool]]", false), Some(Part::Pool(i)));
        for (j, member) in self.members.iter().enumerate() {
            out.add(&member.lines("[[pool.member]]", is_refused), Some(Part::Member(i, j)));
        }
        if let Some(monitor) = &self.monitor {
            out.add(&monitor.lines("[pool.healthmonitor]", is_refused), Some(Part::Monitor(i)));
        }
    }
}

impl fmt::Display for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.render().text.trim())
    }
}

/// The wanted name, or that with the first number with which it is not taken.
fn free(wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|n| format!("{wanted}-{n}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| !is_taken(name)).unwrap_or_default()
}
