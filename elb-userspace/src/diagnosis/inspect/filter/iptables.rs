//! Reads what `iptables-save` prints (iptables(8), iptables-extensions(8)).

use super::condition::Condition;
use super::field::{Field, Span};
use super::names;
use super::nft::prefix_span;
use super::packet::number;
use super::ruleset::{
    Base, Chain, Family, Hook, Rule, RuleAction, Ruleset, Statement, Table, Tool,
};

/// Reads the rules of all tables that `wanted` takes by their name.
pub fn read(
    text: &str,
    program: &'static str,
    family: Family,
    wanted: impl Fn(&str) -> bool,
) -> Ruleset {
    let mut rules = Ruleset::default();
    let mut table: Option<Table> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            let name = name.trim().to_owned();
            let tool = Tool::Iptables(program);
            table = wanted(&name).then_some(Table { tool, family, name });
        }
        let Some(table) = &table else { continue };
        if let Some(declared) = line.strip_prefix(':') {
            rules.chains.extend(chain(table, declared));
        } else if let Some(rule) = line.strip_prefix("-A ") {
            add(&mut rules, table, rule);
        }
    }
    rules
}

/// `INPUT ACCEPT [12:3456]`
fn chain(table: &Table, declared: &str) -> Option<Chain> {
    let mut words = declared.split_whitespace();
    let (name, policy) = (words.next()?, words.next()?);
    let hook = Hook::find(name).filter(|_| policy != "-");
    let base = hook.map(|hook| Base {
        hook,
        priority: priority(&table.name, hook),
        drops: policy == "DROP",
        first_only: table.name == "nat",
        devices: Vec::new(),
    });
    Some(Chain { table: table.clone(), name: name.to_owned(), base, rules: Vec::new() })
}

/// `enum nf_ip_hook_priorities` of `linux/netfilter_ipv4.h`.
fn priority(table: &str, hook: Hook) -> i64 {
    match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", Hook::Prerouting | Hook::Output) => -100,
        ("nat", _) => 100,
        ("security", _) => 50,
        (_, _) => 0,
    }
}

fn add(rules: &mut Ruleset, table: &Table, text: &str) {
    let words = words(text);
    let Some((name, options)) = words.split_first() else { return };
    let Some(index) = rules.chains.iter().rposition(|one| one.name == *name && one.table == *table)
    else {
        return;
    };
    let known = |target: &str| {
        rules.chains.iter().any(|chain| chain.name == target && chain.table == *table)
    };
    let mut reader = Options { words: options, ..Options::default() };
    let action = reader.read();
    let mut statements: Vec<_> = reader.conditions.into_iter().map(Statement::When).collect();
    match action {
        Some(Goto(target)) => statements.push(Statement::Then(RuleAction::Goto(target))),
        Some(Target(target)) if known(&target) => {
            statements.push(Statement::Then(RuleAction::Jump(target)));
        }
        Some(Target(target)) => statements.extend(self::target(&target)),
        None => {}
    }
    let has = |word: &str| options.iter().any(|option| option == word);
    rules.marks |= has("MARK") || has("CONNMARK");
    rules.translates |= ["DNAT", "REDIRECT", "NETMAP"].into_iter().any(has);
    rules.untracks |= has("NOTRACK") || has("--notrack");
    if let Some(chain) = rules.chains.get_mut(index) {
        let number = u64::try_from(chain.rules.len()).unwrap_or(u64::MAX).saturating_add(1);
        chain.rules.push(Rule { number, text: format!("-A {text}"), statements });
    }
}

use Verdict::{Goto, Target};

/// What stands behind `-g` or `-j`.
enum Verdict {
    Goto(String),
    Target(String),
}

fn target(name: &str) -> Option<Statement> {
    let action = match name {
        "ACCEPT" | "SNAT" | "MASQUERADE" => RuleAction::Accept,
        "DROP" => RuleAction::Drop,
        "REJECT" => RuleAction::Reject,
        "RETURN" => RuleAction::Return,
        "DNAT" | "REDIRECT" | "NETMAP" => RuleAction::Translate,
        "LOG" | "NFLOG" | "ULOG" | "AUDIT" | "TRACE" | "MARK" | "CONNMARK" | "CT" | "NOTRACK"
        | "TCPMSS" | "TOS" | "DSCP" | "TTL" | "HL" | "CHECKSUM" | "CLASSIFY" | "SET"
        | "CONNSECMARK" | "SECMARK" => return None,
        _ => RuleAction::Unknown,
    };
    Some(Statement::Then(action))
}

/// Reads the options of a rule, one by one.
#[derive(Default)]
struct Options<'a> {
    words: &'a [String],
    protocol: Option<u8>,
    conditions: Vec<Condition>,
}

impl<'a> Options<'a> {
    fn read(&mut self) -> Option<Verdict> {
        let mut negated = false;
        while let Some(option) = self.next_word() {
            match option {
                "!" => {
                    negated = true;
                    continue;
                }
                // What follows is about the target.
                "-j" | "--jump" => return self.next_word().map(|name| Target(name.to_owned())),
                "-g" | "--goto" => return self.next_word().map(|name| Goto(name.to_owned())),
                "-m" | "--match" | "--comment" => drop(self.next_word()),
                "--syn" => self.conditions.push(flags("fin,syn,rst,ack", "syn").negate(negated)),
                _ => {
                    let condition = self.condition(option).unwrap_or(Condition::Unknown);
                    self.conditions.push(condition.negate(negated));
                }
            }
            negated = false;
        }
        None
    }

    fn next_word(&mut self) -> Option<&'a str> {
        let (word, rest) = self.words.split_first()?;
        self.words = rest;
        Some(word)
    }

    fn next_value(&mut self) -> Option<&'a str> {
        self.words.first().filter(|word| !word.starts_with('-'))?;
        self.next_word()
    }

    fn condition(&mut self, option: &str) -> Option<Condition> {
        let port = |protocol| (Field::SourcePort(protocol), Field::DestinationPort(protocol));
        let (source_port, destination_port) = port(self.protocol);
        if option == "-f" || option == "--fragment" {
            return Some(Condition::is(Field::Fragment, vec![one(1)]));
        }
        // An option without a value is none of those below.
        let value = self.next_value()?;
        let condition = match option {
            "-s" | "--source" => addresses(Field::Source4, Field::Source6, &network(value)?),
            "-d" | "--destination" => {
                addresses(Field::Destination4, Field::Destination6, &network(value)?)
            }
            "--src-range" => addresses(Field::Source4, Field::Source6, &range(value)?),
            "--dst-range" => addresses(Field::Destination4, Field::Destination6, &range(value)?),
            "-p" | "--protocol" => self.protocol(value)?,
            "-i" | "--in-interface" => Condition::is(Field::In, vec![interface(value)]),
            "-o" | "--out-interface" => Condition::is(Field::Out, vec![interface(value)]),
            "--sport" | "--source-port" | "--sports" => Condition::is(source_port, ports(value)?),
            "--dport" | "--destination-port" | "--dports" => {
                Condition::is(destination_port, ports(value)?)
            }
            "--ports" => Condition::Any(vec![
                Condition::is(source_port, ports(value)?),
                Condition::is(destination_port, ports(value)?),
            ]),
            "--tcp-flags" => flags(value, self.next_value()?),
            "--icmp-type" => icmp(1, value)?,
            "--icmpv6-type" => icmp(58, value)?,
            "--state" | "--ctstate" => states(value)?,
            "--mark" => mark(value)?,
            "--dst-type" => Condition::is(Field::DestinationType, vec![kind(value)?]),
            "--pkt-type" => Condition::is(Field::Addressee, vec![addressee(value)?]),
            _ => {
                self.skip_values();
                return None;
            }
        };
        Some(condition)
    }

    fn protocol(&mut self, value: &str) -> Option<Condition> {
        if value == "all" {
            return Some(Condition::All(Vec::new()));
        }
        let protocol = names::protocol(value)?;
        self.protocol = Some(protocol);
        Some(Condition::is(Field::Protocol, vec![one(protocol.into())]))
    }

    /// What follows an option that is not known, up to the next one.
    fn skip_values(&mut self) {
        while let Some(word) = self.words.first() {
            if word.starts_with('-') || word == "!" {
                break;
            }
            self.next_word();
        }
    }
}

fn one(number: u128) -> Span {
    Span::Numbers(number, number)
}

/// Addresses of one version of IP; a packet of the other has none.
fn addresses(v4: Field, v6: Field, (is_v6, span): &(bool, Span)) -> Condition {
    Condition::is(if *is_v6 { v6 } else { v4 }, vec![span.clone()])
}

fn network(text: &str) -> Option<(bool, Span)> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: std::net::IpAddr = address.parse().ok()?;
    let length = match (length, address) {
        ("", std::net::IpAddr::V4(_)) => 32,
        ("", std::net::IpAddr::V6(_)) => 128,
        // A mask in full; one that is no prefix is not understood.
        (mask, _) if mask.contains(['.', ':']) => {
            ipnet::ip_mask_to_prefix(mask.parse().ok()?).ok()?.into()
        }
        (length, _) => length.parse().ok()?,
    };
    Some((address.is_ipv6(), prefix_span(address, length)?))
}

fn range(text: &str) -> Option<(bool, Span)> {
    let (low, high) = text.split_once('-')?;
    let (low, high): (std::net::IpAddr, std::net::IpAddr) = (low.parse().ok()?, high.parse().ok()?);
    Some((low.is_ipv6(), Span::Numbers(number(low), number(high))))
}

fn interface(name: &str) -> Span {
    match name.strip_suffix('+') {
        Some(prefix) => Span::Prefix(prefix.to_owned()),
        None => Span::Name(name.to_owned()),
    }
}

/// `80`, `80:90`, `80,443,8000:8100`, `:1023`
fn ports(text: &str) -> Option<Vec<Span>> {
    let port = |text: &str, open: u16| {
        if text.is_empty() { Some(open) } else { text.parse::<u16>().ok() }
    };
    let span = |text: &str| {
        let (low, high) = text.split_once(':').unwrap_or((text, text));
        Some(Span::Numbers(port(low, 0)?.into(), port(high, u16::MAX)?.into()))
    };
    text.split(',').map(span).collect()
}

fn flags(mask: &str, set: &str) -> Condition {
    let bits = |text: &str| match text.to_ascii_lowercase().as_str() {
        "all" => Some(0x3f),
        "none" => Some(0),
        names => names.split(',').try_fold(0, |bits, name| Some(bits | names::tcp_flag(name)?)),
    };
    match (bits(mask), bits(set)) {
        (Some(mask), Some(set)) => {
            Condition::Is { field: Field::TcpFlags, mask: Some(mask), spans: vec![one(set)] }
        }
        (_, _) => Condition::Unknown,
    }
}

/// `8`, `echo-request`, `3/1`
fn icmp(protocol: u8, text: &str) -> Option<Condition> {
    if text == "any" {
        return Some(Condition::is(Field::Protocol, vec![one(protocol.into())]));
    }
    let (kind, code) = text.split_once('/').unwrap_or((text, ""));
    let kind = names::icmp_type(protocol, kind)?;
    let mut all = vec![Condition::is(Field::IcmpType(protocol), vec![one(kind.into())])];
    if !code.is_empty() {
        let code = code.parse::<u8>().ok()?;
        all.push(Condition::is(Field::IcmpCode(protocol), vec![one(code.into())]));
    }
    Some(Condition::All(all))
}

fn states(text: &str) -> Option<Condition> {
    let state = |name: &str| match name {
        "DNAT" | "SNAT" => Some(Condition::is(Field::Translated, vec![one(1)])),
        name => Some(Condition::is(Field::State, vec![one(names::ct_state(name)?)])),
    };
    text.split(',').map(state).collect::<Option<Vec<_>>>().map(Condition::Any)
}

/// `0x1/0xff`
fn mark(text: &str) -> Option<Condition> {
    let parse = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (parse(value)?, Some(parse(mask)?)),
        None => (parse(text)?, None),
    };
    Some(Condition::Is { field: Field::Mark, mask, spans: vec![one(value)] })
}

fn kind(text: &str) -> Option<Span> {
    let number = match text {
        "UNICAST" => 1,
        "LOCAL" => names::ROUTE_LOCAL,
        "BROADCAST" => 3,
        "ANYCAST" => 4,
        "MULTICAST" => names::ROUTE_MULTICAST,
        _ => return None,
    };
    Some(one(number))
}

fn addressee(text: &str) -> Option<Span> {
    let number = match text {
        "unicast" | "host" => 0,
        "broadcast" => 1,
        "multicast" => 2,
        _ => return None,
    };
    Some(one(number))
}

/// The words of a line; those with blanks in them are in double quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let (mut quoted, mut characters) = (false, line.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(characters.next()),
            blank if blank.is_whitespace() && !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}
