//! Whom hosts.allow and hosts.deny let in: hosts_access(5), hosts_options(5).
//!
//! Patterns that need a name server or another file (`.example.org`, `@group`, `/file`, `KNOWN`,
//! `PARANOID` …) are not looked up: they may fit or not.

use std::net::IpAddr;

use ipnet::IpNet;

/// What becomes of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WrapperDecision {
    /// It is let in.
    Allowed,
    /// A line turns it away.
    Denied(Line),
    /// This line may decide either way.
    Doubtful(Line),
}

/// A line of one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `hosts.allow` or `hosts.deny`.
    pub(super) file: &'static str,
    /// Its number, from 1.
    pub(super) number: usize,
    /// What it says.
    pub(super) text: String,
}

/// An answer, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    Yes,
    No,
    Maybe,
}

/// What the files say about a client of a daemon; `None` is a daemon whose name is not known.
pub(super) fn decide(
    allow: &str,
    deny: &str,
    daemon: Option<&str>,
    client: IpAddr,
) -> WrapperDecision {
    let mut doubt = None;
    let files = [("hosts.allow", allow, true), ("hosts.deny", deny, false)];
    for (file, text, lets_in) in files {
        for (number, rule) in rules(text) {
            let line = || Line { file, number, text: rule.clone() };
            let fields = fields(&rule);
            let fits = fits(&fields, daemon, client);
            let allowed = option(&fields).unwrap_or(Some(lets_in));
            match (fits, allowed) {
                (Fits::No, _) => {}
                (Fits::Yes, Some(true)) => return settle(doubt, WrapperDecision::Allowed),
                (Fits::Yes, Some(false)) => return settle(doubt, WrapperDecision::Denied(line())),
                (Fits::Yes, None) => return WrapperDecision::Doubtful(line()),
                (Fits::Maybe, allowed) => {
                    doubt.get_or_insert((allowed, line()));
                }
            }
        }
    }
    settle(doubt, WrapperDecision::Allowed)
}

/// A doubtful line matters only if it would decide otherwise.
fn settle(doubt: Option<(Option<bool>, Line)>, decision: WrapperDecision) -> WrapperDecision {
    let allowed = matches!(decision, WrapperDecision::Allowed);
    match doubt {
        Some((says, line)) if says != Some(allowed) => WrapperDecision::Doubtful(line),
        Some(_) | None => decision,
    }
}

/// The rules, each with the number of its first line: a backslash at the end joins lines.
fn rules(text: &str) -> Vec<(usize, String)> {
    let mut rules = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (number, mut rule) = open.take().unwrap_or((index + 1, String::new()));
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        rule.push_str(part);
        if goes_on {
            open = Some((number, rule));
        } else {
            rules.push((number, rule.trim().to_owned()));
        }
    }
    rules.extend(open);
    rules.retain(|(_, rule)| !rule.is_empty() && !rule.starts_with('#'));
    rules
}

/// What stands between colons, those in brackets left out.
fn fields(rule: &str) -> Vec<String> {
    let (mut fields, mut depth, mut escaped) = (vec![String::new()], 0_usize, false);
    for character in rule.chars() {
        match character {
            ':' if depth == 0 && !escaped => fields.push(String::new()),
            other => {
                depth = match other {
                    '[' => depth + 1,
                    ']' => depth.saturating_sub(1),
                    _ => depth,
                };
                if let Some(field) = fields.last_mut() {
                    field.push(other);
                }
            }
        }
        escaped = character == '\\';
    }
    fields
}

/// What the options say: `Some(Some(allowed))`; `Some(None)` if a program answers in the daemon's
/// place.
fn option(fields: &[String]) -> Option<Option<bool>> {
    fields.iter().skip(2).find_map(|field| {
        let word = field.split_whitespace().next()?.to_ascii_lowercase();
        match word.as_str() {
            "allow" => Some(Some(true)),
            "deny" => Some(Some(false)),
            "twist" | "aclexec" => Some(None),
            _ => None,
        }
    })
}

fn fits(fields: &[String], daemon: Option<&str>, client: IpAddr) -> Fits {
    let list = |index: usize| -> Option<Vec<&str>> {
        let field: &String = fields.get(index)?;
        Some(field.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect())
    };
    let (Some(daemons), Some(clients)) = (list(0), list(1)) else { return Fits::No };
    let daemons = in_list(&daemons, &|pattern| daemon_fits(pattern, daemon));
    let clients = in_list(&clients, &|pattern| client_fits(pattern, client));
    match (daemons, clients) {
        (Fits::No, _) | (_, Fits::No) => Fits::No,
        (Fits::Yes, Fits::Yes) => Fits::Yes,
        (_, _) => Fits::Maybe,
    }
}

/// `a b EXCEPT c d EXCEPT e` is `(a b EXCEPT (c d EXCEPT e))`.
fn in_list(words: &[&str], fits: &dyn Fn(&str) -> Fits) -> Fits {
    // From the innermost list outwards, so that hostile nesting needs no deep stack.
    let mut answer = None;
    for list in words.rsplit(|word| word.eq_ignore_ascii_case("EXCEPT")) {
        let here =
            list.iter().map(|word| fits(word)).fold(Fits::No, |one, other| match (one, other) {
                (Fits::Yes, _) | (_, Fits::Yes) => Fits::Yes,
                (Fits::Maybe, _) | (_, Fits::Maybe) => Fits::Maybe,
                (Fits::No, Fits::No) => Fits::No,
            });
        answer = Some(match (here, answer) {
            (here, None | Some(Fits::No)) => here,
            (Fits::No, _) | (_, Some(Fits::Yes)) => Fits::No,
            (_, Some(Fits::Maybe)) => Fits::Maybe,
        });
    }
    answer.unwrap_or(Fits::No)
}

fn daemon_fits(pattern: &str, daemon: Option<&str>) -> Fits {
    if pattern == "ALL" {
        return Fits::Yes;
    }
    let (pattern, at_address) = match pattern.split_once('@') {
        Some((pattern, _)) => (pattern, true),
        None => (pattern, false),
    };
    match daemon {
        None => Fits::Maybe,
        Some(daemon) if !glob(pattern, daemon) => Fits::No,
        Some(_) if at_address => Fits::Maybe,
        Some(_) => Fits::Yes,
    }
}

fn client_fits(pattern: &str, client: IpAddr) -> Fits {
    let yes = |fits: bool| if fits { Fits::Yes } else { Fits::No };
    // `user@host`: who the user is only the client's host knows.
    let (pattern, of_user) = match pattern.split_once('@') {
        Some(("", _)) => return Fits::Maybe,
        Some((user, host)) => (host, user != "ALL"),
        None => (pattern, false),
    };
    let fits = match pattern {
        "ALL" => Fits::Yes,
        "LOCAL" | "KNOWN" | "UNKNOWN" | "PARANOID" => Fits::Maybe,
        _ if pattern.starts_with(['.', '/']) => Fits::Maybe,
        _ => match network(pattern) {
            Some(network) => yes(network.contains(&client)),
            None if pattern.ends_with('.') => yes(client.to_string().starts_with(pattern)),
            None if pattern.contains(['*', '?']) => match glob(pattern, &client.to_string()) {
                true => Fits::Yes,
                false if pattern.contains(|c: char| c.is_ascii_alphabetic()) => Fits::Maybe,
                false => Fits::No,
            },
            None if pattern.parse::<IpAddr>().is_ok() => Fits::No,
            // The name of a host.
            None => Fits::Maybe,
        },
    };
    if of_user && fits == Fits::Yes { Fits::Maybe } else { fits }
}

/// `10.0.0.2`, `10.0.0.0/255.0.0.0`, `10.0.0.0/8`, `[fd00::]/64`, `[fd00::1]`
fn network(pattern: &str) -> Option<IpNet> {
    let (address, length) = match pattern.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (pattern, None),
    };
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(address).parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(mask) if mask.contains('.') => ipnet::ip_mask_to_prefix(mask.parse().ok()?).ok()?,
        Some(length) => length.parse().ok()?,
    };
    IpNet::new(address, length).ok()
}

/// `*` is any text, `?` any character; the case does not matter.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position, mut star) = (0, 0, None);
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(one) if *one == b'?' || *one == text[position] => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                position = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|one| *one == b'*')
}

#[cfg(test)]
mod tests;
