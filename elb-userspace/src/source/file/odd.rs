//! What a file may say, but is hardly ever wanted: warnings with the reason and a way out.

use std::cell::RefCell;

use super::draft::Draft;
use super::place::Place;
use super::report::Report;
use crate::model::{CidStrategy, Pool, Protocol};
use crate::source::settings::AgentSettings;

/// Bytes of a server id from which on a connection id names one by chance too seldom to matter: of
/// 2^24 that clients choose, one names a certain member.
const LONG_ENOUGH: usize = 3;

impl Draft {
    pub(super) fn warn_of_the_unlikely(
        &self,
        agent: Option<&AgentSettings>,
        agent_at: usize,
        report: &RefCell<Report>,
    ) {
        let warn = |place: &Place, key: &str, what: String, fix: &str| {
            report.borrow_mut().warning(place.of(key), &place.object, what, fix.to_owned());
        };
        if self.serves_nothing(agent) && !report.borrow().has_errors() {
            let what = "no load balancer has a listener, so nothing is served".to_owned();
            let fix = "add one; a reload with such a file is refused while anything is served, unless \
                       allow_empty = true";
            report.borrow_mut().warning(agent_at, "[agent]", what, fix.to_owned());
        }
        for (lb, place) in self.load_balancers.iter().zip(&self.load_balancer_places) {
            for (listener, place) in lb.listeners.iter().zip(&place.listeners) {
                let most = listener.max_connection.get();
                if listener.protocol == Protocol::Udp && most > 0 {
                    let idle = listener.keepalive_timeout.get();
                    let what = format!(
                        "a UDP flow has no end: each question of a client counts as a connection \
                         until it was idle for {idle} s, so {most} questions in that time are the limit"
                    );
                    let fix = "lower keepalive_timeout (least 10), or limit new flows with cps";
                    warn(place, "max_connection", what, fix);
                }
            }
        }
        for (pool, place) in self.pools.iter().zip(&self.pool_places) {
            if let Some((key, what, fix)) = always_or_never_backup(pool) {
                warn(&place.own, key, what, fix);
            }
            if let Some(strategy) = pool.quic_cid_hash_strategy {
                unnamed_members(pool).into_iter().for_each(|what| {
                    let fix = "give each member a server_id and let the servers put it into their \
                               connection ids, or use 5_TUPLE_HASH";
                    warn(&place.own, "lb_algorithm", what, fix);
                });
                named_by_chance(pool, strategy).into_iter().for_each(|what| {
                    let fix = "use a len of 3 or more, with server ids as long";
                    warn(&place.own, "quic_cid_hash_strategy", what, fix);
                });
            }
        }
    }
}

impl Draft {
    fn serves_nothing(&self, agent: Option<&AgentSettings>) -> bool {
        let mut balancers = self.load_balancers.iter();
        let is_meant = agent.is_none_or(|agent| agent.allow_empty);
        !is_meant && balancers.all(|lb| lb.listeners.is_empty())
    }
}

/// Backup members that always serve, and a number that is of none: the key, what is so, and what to do.
fn always_or_never_backup(pool: &Pool) -> Option<(&'static str, String, &'static str)> {
    let backup = pool.members.iter().filter(|member| member.backup).count();
    let (others, below) = (pool.members.len() - backup, pool.backup_below.get());
    if backup == 0 {
        let what = "no member is a backup, so it has no effect".to_owned();
        let fix = "set backup = true for a member, or remove it";
        return (below > 1).then_some(("backup_below", what, fix));
    }
    let is_always = usize::try_from(below).is_ok_and(|below| others < below);
    is_always.then(|| {
        let what = format!(
            "its backup members take new connections all the time: {others} other members are fewer \
             than {below}"
        );
        ("name", what, "lower backup_below, or add members that are no backup")
    })
}

/// Connection ids that ordinary servers choose are hashed anew, to another member.
fn unnamed_members(pool: &Pool) -> Option<String> {
    let unnamed = pool.members.iter().filter(|member| member.server_id.is_none());
    let names: Vec<&str> = unnamed.map(|member| member.name.as_str()).collect();
    let (first, count) = (names.first()?, names.len());
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    Some(format!(
        "member {first:?}{more} has no server_id: packets with a connection id that the server chose, \
         as almost all do, are hashed anew, and most of its connections break"
    ))
}

/// A client chooses the first connection id at random, which may name a member.
fn named_by_chance(pool: &Pool, strategy: CidStrategy) -> Option<String> {
    let len = strategy.length();
    let has_ids = pool.members.iter().any(|member| member.server_id.is_some());
    (has_ids && len < LONG_ENOUGH).then(|| {
        let of = 1_u32 << (8 * len);
        format!(
            "with len {len}, one of {of} connection ids that clients choose names a member by chance: \
             new connections go to it though it is drained or has weight 0, and draining it takes longer"
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::source::file::parse_lenient;

    /// What is said of a UDP listener and its pool, without the file and the position.
    fn said(listener: &str, pool: &str, member: &str) -> Vec<String> {
        let text = format!(
            "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
             vip_address = \"192.0.2.10\"\n[[load_balancer.listener]]\nname = \"q\"\n\
             protocol = \"UDP\"\nprotocol_port = 443\ndefault_pool = \"q\"\n{listener}\n[[pool]]\n\
             name = \"q\"\nprotocol = \"UDP\"\nforwarding = \"ipip\"\n{pool}\n[[pool.member]]\n\
             name = \"m\"\naddress = \"10.0.0.31\"\nprotocol_port = 443\n{member}\n"
        );
        let (_, errors) = parse_lenient("elb.toml", &text);
        assert!(!errors.has_errors(), "{errors}");
        errors
            .iter()
            .map(|error| format!("{}:{} {}", error.line, error.column, error.what))
            .collect()
    }

    #[test]
    fn limits_of_udp_are_explained() {
        let tracked = "lb_algorithm = \"ROUND_ROBIN\"";
        let said = said("max_connection = 100", tracked, "");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("11:18 a UDP flow has no end"), "{said:?}");
        assert!(said[0].contains("300 s, so 100 questions"), "{said:?}");
    }

    #[test]
    fn backup_members_that_always_serve_and_a_number_of_none_are_warned_of() {
        let always = said("", "", "backup = true");
        assert_eq!(always.len(), 1, "{always:?}");
        let words = "13:8 its backup members take new connections all the time: 0 other members are \
                     fewer than 1";
        assert!(always[0].contains(words), "{always:?}");
        let none = said("", "backup_below = 2", "");
        assert!(none[0].contains("no member is a backup"), "{none:?}");
        assert_eq!(said("", "backup_below = 1", ""), Vec::<String>::new());
    }

    #[test]
    fn connection_ids_that_name_no_member_are_warned_of() {
        let quic = "lb_algorithm = \"QUIC_CID\"";
        let without = said("", quic, "");
        assert!(without[0].starts_with("16:16 member \"m\" has no server_id"), "{without:?}");
        let with = said("", quic, "server_id = \"00000000000000a1\"");
        assert_eq!(with, Vec::<String>::new());
        let short = format!("{quic}\nquic_cid_hash_strategy = {{ offset = 0, len = 1 }}");
        let short = said("", &short, "server_id = \"a1\"");
        assert!(short[0].contains("one of 256 connection ids"), "{short:?}");
        let two = format!("{quic}\nquic_cid_hash_strategy = {{ offset = 1, len = 2 }}");
        assert_eq!(said("", &two, "server_id = \"a1a2\"").len(), 1);
        let three = format!("{quic}\nquic_cid_hash_strategy = {{ offset = 1, len = 3 }}");
        assert_eq!(said("", &three, "server_id = \"a1a2a3\""), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_serves_nothing_is_odd_unless_it_says_so() {
        let said = |more: &str| {
            let text = format!("[agent]\ninterfaces = [\"eth0\"]\n{more}");
            parse_lenient("elb.toml", &text).1.to_string()
        };
        assert!(said("").starts_with("elb.toml:1:1: warning: [agent]: no load balancer has"));
        assert_eq!(said("allow_empty = true"), "");
    }
}
