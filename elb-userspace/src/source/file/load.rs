//! Whether an agent can make as many probes as a file asks for.

use std::cell::RefCell;

use super::draft::Draft;
use super::report::Report;
use crate::health::path::AT_ONCE;
use crate::model::Pool;
use crate::model::monitor::ProbePath;

/// Connections a second that probes of one agent open without being late: it is one thread, and half of a
/// processor does for two thousand (docs/performance.md).
const MOST: f64 = 4000.0;

impl Draft {
    /// Warns of more probes than an agent keeps up with, at the pool that has most of them.
    pub(super) fn warn_of_load(&self, report: &RefCell<Report>) {
        let vips = self.vips_of_pools();
        let vips_of = |pool: &Pool| vips.get(pool.name.as_str()).copied().unwrap_or_default();
        let rates: Vec<f64> = self.pools.iter().map(|pool| rate(pool, vips_of(pool))).collect();
        let all: f64 = rates.iter().sum();
        let most = rates.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        let Some((i, own)) = most.filter(|_| all > MOST) else { return };
        let Some(place) = self.pool_places[i].monitor.as_ref() else { return };
        let what = format!(
            "its members get {own:.0} probes a second, and those of all pools {all:.0}: an agent starts \
             {MOST:.0} in time"
        );
        let fix =
            "raise delay, or probes are late and verdicts later than they should be".to_owned();
        report.borrow_mut().warning(place.of("delay"), &place.object, what, fix);
    }
}

/// Connections a second while all members answer at once.
fn rate(pool: &Pool, vips: usize) -> f64 {
    let monitor = pool.healthmonitor.as_ref().filter(|monitor| monitor.admin_state_up);
    let Some(monitor) = monitor else { return 0.0 };
    let addresses = match monitor.probe_path {
        ProbePath::Direct => 1,
        ProbePath::Vip => vips.clamp(1, AT_ONCE),
    };
    (pool.members.len() * addresses) as f64 / monitor.delay.seconds()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::source::file::parse_lenient;

    /// What is said of a pool with so many members and this delay.
    fn said(members: u32, delay: &str, path: &str) -> String {
        let member = |n: u32| {
            let [_, _, high, low] = n.to_be_bytes();
            format!("[[pool.member]]\naddress = \"10.1.{high}.{low}\"\nprotocol_port = 80\n")
        };
        let members: String = (1..=members).map(member).collect();
        let text = format!(
            "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
             vip_address = \"192.0.2.10\"\nipv6_vip_address = \"2001:db8::10\"\n\
             [[load_balancer.listener]]\nname = \"w\"\nprotocol = \"TCP\"\nprotocol_port = 80\n\
             default_pool = \"w\"\n[[pool]]\nname = \"w\"\nprotocol = \"TCP\"\n\
             forwarding = \"ipip\"\n[pool.healthmonitor]\ntype = \"TCP\"\ndelay = {delay}\n\
             timeout = 0.1\nprobe_path = \"{path}\"\n{members}"
        );
        let (_, errors) = parse_lenient("elb.toml", &text);
        assert!(!errors.has_errors(), "{errors}");
        errors.to_string()
    }

    #[test]
    fn more_than_an_agent_can_do_is_said() {
        assert_eq!(said(400, "0.1", "direct"), "");
        let expected = "elb.toml:18:9: warning: pool \"w\", healthmonitor: its members get 4010 probes \
                        a second, and those of all pools 4010: an agent starts 4000 in time; raise delay, \
                        or probes are late and verdicts later than they should be";
        assert_eq!(said(401, "0.1", "direct").trim_end(), expected);
        assert_eq!(said(200, "0.1", "vip"), "", "two virtual addresses");
        assert!(said(201, "0.1", "vip").contains("get 4020 probes"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Slower is never too much where faster was not.
        #[test]
        fn a_longer_delay_is_less(members in 1_u32..900, tenths in 1_u32..30) {
            let at = |tenths: u32| said(members, &format!("{}.{}", tenths / 10, tenths % 10), "direct");
            prop_assert!(at(tenths + 1).is_empty() || !at(tenths).is_empty());
        }
    }
}
