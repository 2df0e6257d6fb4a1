//! Ports of source addresses: how many there are, and how many flows have.

use elb_common::snat::FIRST_PORT;

use crate::agent::core::Core;
use crate::api::shape::status::SnatStatus;
use crate::kernel::bpf::coarse_seconds;

/// Ports of an address that flows may have.
const PORTS: u32 = (1 << 16) - FIRST_PORT;
/// Of a hundred ports, so many may be in use before it is said: some flows find none a little above.
const MANY: u64 = 60;

impl Core {
    /// The source addresses, if there are any.
    pub(in crate::agent) fn source_ports(&self) -> Option<SnatStatus> {
        let sources = self.config.model.source_addresses()?;
        Some(SnatStatus {
            v4: sources.to_string(),
            ports: sources.count() * PORTS,
            used: self.serving.maps.source_ports_in_use(coarse_seconds()),
        })
    }
}

/// In words, if too many are in use.
pub(super) fn problem(snat: &SnatStatus) -> Option<String> {
    let SnatStatus { v4, ports, used } = snat;
    let is_full = u64::from(*used) * 100 > u64::from(*ports) * MANY;
    is_full.then(|| {
        format!(
            "[snat] v4 {v4}: {used} of {ports} source ports are in use, and a new connection may soon find none \
             (no_source_port); give [snat] more addresses"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ports_in_use_are_a_problem_before_they_are_all() {
        let of = |used| SnatStatus { v4: "10.0.0.16/31".to_owned(), ports: 2 * PORTS, used };
        assert_eq!(problem(&of(0)), None);
        assert_eq!(problem(&of(77_414)), None);
        let said = problem(&of(77_415)).unwrap();
        assert!(said.contains("77415 of 129024 source ports are in use"), "{said}");
        assert!(said.contains("give [snat] more addresses"), "{said}");
    }
}
