//! Sections of a haproxy.cfg that work on TCP as listeners and pools.

mod backend;
mod binding;
mod checks;
mod dialog;
mod frontend;
mod time;

use std::collections::HashMap;

use self::backend::Backend;
use self::frontend::Frontend;
use super::haproxy_words::{Line, Part, parts};
use super::section::lacking;
use super::{ImportOptions, SyntaxError, Translation};

/// A section with what its defaults say, which comes first.
struct Effective<'a> {
    head: &'a Line,
    lines: Vec<&'a Line>,
    /// How many of them are its defaults'.
    inherited: usize,
}

impl<'a> Effective<'a> {
    fn name(&self) -> &'a str {
        self.head.word(1)
    }

    /// The last line that begins with a word: it counts.
    fn last(&self, keyword: &str) -> Option<&'a Line> {
        self.lines.iter().rev().find(|line| line.word(0) == keyword).copied()
    }

    /// Whether it has `option NAME`.
    fn has_option(&self, name: &str) -> bool {
        self.lines.iter().any(|line| (line.word(0), line.word(1)) == ("option", name))
    }

    /// Whether it works on connections, not on requests.
    fn is_tcp(&self) -> bool {
        self.last("mode").is_none_or(|mode| mode.word(1) == "tcp")
    }

    /// Its own lines.
    fn own(&self) -> &[&'a Line] {
        &self.lines[self.inherited..]
    }
}

/// Translates the text of a haproxy.cfg; `name` is what its first comment calls it.
///
/// # Errors
/// The text is no file of haproxy.
pub fn translate(
    name: &str,
    text: &str,
    options: &ImportOptions,
) -> Result<Translation, SyntaxError> {
    let parts = parts(text)?;
    let mut out = Translation { interfaces: options.interfaces.clone(), ..Translation::default() };
    out.notes.push(format!("Translated from {name}, a file of haproxy."));
    out.notes.push(
        "elb hands packets on and ends no connection: members see their clients' addresses, and answer them \
         directly. Prepare each with `elb backend up`."
            .to_owned(),
    );
    let sections = effective(&parts, &mut out);
    let mut pools = HashMap::new();
    for section in sections.iter().filter(|one| !one.is_tcp()) {
        let outcome = "it works on requests (mode http), which elb does not read; it is left out";
        out.notes.push(lacking(section.head.number, &section.head.text(), outcome));
    }
    let is = |kind, one: &&Effective<'_>| one.is_tcp() && one.head.word(0) == kind;
    for section in sections.iter().filter(|one| is("backend", one) || is("listen", one)) {
        let name = out.pool_name(section.name());
        let backend = Backend::new(section, options);
        pools.insert(section.name(), (name.clone(), backend.records()));
        out.pools.push(backend.pool(&name));
    }
    for section in sections.iter().filter(|one| is("frontend", one) || is("listen", one)) {
        Frontend::new(section, options).translate(&pools, &mut out);
    }
    out.settle();
    Ok(out)
}

/// Frontends and backends, each with its defaults; everything else is noted.
fn effective<'a>(parts: &'a [Part], out: &mut Translation) -> Vec<Effective<'a>> {
    let mut defaults: HashMap<&str, &Part> = HashMap::new();
    let mut latest: Option<&Part> = None;
    let mut found = Vec::new();
    for part in parts {
        match part.head.word(0) {
            "defaults" => {
                defaults.insert(part.head.word(1), part);
                latest = Some(part);
            }
            "frontend" | "backend" | "listen" => {
                let named = part.head.words.windows(2).find(|two| two[0] == "from");
                let from = named.and_then(|two| defaults.get(two[1].as_str()).copied()).or(latest);
                let inherited: Vec<&Line> =
                    from.map_or(Vec::new(), |from| from.lines.iter().collect());
                let count = inherited.len();
                let lines = inherited.into_iter().chain(&part.lines).collect();
                found.push(Effective { head: &part.head, lines, inherited: count });
            }
            _ => {
                let outcome = "it has no equal; it is left out";
                out.notes.push(lacking(part.head.number, &part.head.text(), outcome));
            }
        }
    }
    found
}
