//! What only pools take over that count connections: how many a member may have.

use super::section::Section;

/// The algorithms that count connections.
const COUNTING: [&str; 2] = ["ROUND_ROBIN", "LEAST_CONNECTIONS"];

/// A number of connections, and where it is given.
pub(super) struct Given {
    /// The line.
    pub(super) line: usize,
    /// What is written there: a word and a number.
    pub(super) text: String,
}

/// Whether a pool with this algorithm counts connections.
pub(super) fn counts(algorithm: &str) -> bool {
    COUNTING.contains(&algorithm)
}

/// Writes to a member how many connections it may have, if a pool with this algorithm counts them; 0 is no
/// limit.
pub(super) fn limit(section: &mut Section, algorithm: &str, given: &Given) {
    let most = given.text.split_whitespace().nth(1).and_then(|most| most.parse::<i64>().ok());
    let outcome = match most {
        Some(0) => return,
        Some(most @ 1..=1_000_000) if counts(algorithm) => {
            return section.set("max_connection", most);
        }
        Some(1..) if !counts(algorithm) => {
            "a pool counts connections with ROUND_ROBIN or LEAST_CONNECTIONS only"
        }
        Some(_) | None => "a member may have 1 to 1000000 connections",
    };
    section.lacks(given.line, &given.text, outcome);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_written_where_connections_are_counted() {
        let written = |algorithm, text: &str| {
            let mut section = Section::default();
            limit(&mut section, algorithm, &Given { line: 3, text: text.to_owned() });
            section.lines("[[pool.member]]", false)
        };
        let counted = written("ROUND_ROBIN", "maxconn 30");
        assert_eq!(counted, "[[pool.member]]\nmax_connection = 30\n\n");
        assert_eq!(written("LEAST_CONNECTIONS", "maxconn 0"), "[[pool.member]]\n\n");
        let hashed = written("SOURCE_IP", "maxconn 30");
        assert!(hashed.starts_with("# line 3: `maxconn 30`: a pool counts"), "{hashed}");
        for odd in ["maxconn many", "maxconn 9999999", "maxconn"] {
            let said = written("ROUND_ROBIN", odd);
            assert!(said.contains("a member may have 1 to 1000000"), "{said}");
        }
    }
}
