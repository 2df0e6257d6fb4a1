//! Many members, summed up.

use std::collections::BTreeMap;

use super::check::serves;
use crate::api::shape::status::{MemberStatus, PoolStatus, Status};

/// Members that are listed one by one.
pub(super) const MOST: usize = 50;
/// Members of a pool that are listed because something is wrong with them.
const LISTED: usize = 10;

/// A pool in a line.
pub(super) fn line(pool: &PoolStatus) -> String {
    let mut by_status: BTreeMap<&str, usize> = BTreeMap::new();
    for member in &pool.members {
        *by_status.entry(&member.operating_status).or_default() += 1;
    }
    let counts: Vec<_> =
        by_status.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let more = wrong(pool).count().saturating_sub(LISTED);
    let more = if more > 0 {
        format!(" · {more} more than are listed here: --pool {} --unhealthy", pool.name)
    } else {
        String::new()
    };
    format!("    {} members: {}{more}\n", pool.members.len(), counts.join(", "))
}

/// Members that are listed all the same.
pub(super) fn listed(pool: &PoolStatus) -> Vec<&MemberStatus> {
    wrong(pool).take(LISTED).collect()
}

/// What the last line says.
pub(super) fn how_to_see_all(status: &Status) -> String {
    let members: usize = status.pools.iter().map(|pool| pool.members.len()).sum();
    format!(
        "\n{members} members are summed up: `elb status --all` lists each, `elb status --pool NAME` those of \
         a pool, `elb status --unhealthy` those that something is wrong with\n"
    )
}

fn wrong(pool: &PoolStatus) -> impl Iterator<Item = &MemberStatus> {
    pool.members.iter().filter(|member| serves(member) == Some(false))
}

#[cfg(test)]
mod tests {
    use super::super::tests::status;
    use super::super::text::{Form, text};
    use super::*;

    #[test]
    fn a_summary_has_a_line_a_pool_and_names_what_is_wrong() {
        let mut status = status();
        let one = status.pools[1].members[0].clone();
        status.pools[1].members = (0..60_u16)
            .map(|n| {
                let mut member = one.clone();
                member.member.name = format!("m{n}");
                member.operating_status = if n < 12 { "OFFLINE" } else { "ONLINE" }.to_owned();
                member
            })
            .collect();
        let form = Form { is_summary: true, ..Form::default() };
        let shown = text(&status, form);
        let line = "    60 members: 12 OFFLINE, 48 ONLINE · 2 more than are listed here: --pool web \
                    --unhealthy\n";
        assert!(shown.contains(line), "{shown}");
        assert_eq!(shown.matches("OFFLINE").count(), 1 + LISTED, "{shown}");
        assert!(shown.contains("\n61 members are summed up: `elb status --all`"), "{shown}");
        assert!(!shown.contains("m12"), "{shown}");
    }
}
