//! What a path of version 2 is for.

use super::dialect::Dialect;
use crate::source::store::DocumentKind;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'p> {
    /// Resources of a kind, or one of them.
    Resources {
        kind: DocumentKind,
        pool: Option<&'p str>,
        id: Option<&'p str>,
    },
    /// The tree of statuses of a load balancer.
    Statuses(&'p str),
    /// Counters of a load balancer or listener.
    Stats,
    Quotas(Option<&'p str>),
    /// Tags of load balancers or listeners, with what follows in the path.
    Tags {
        of: &'p str,
        rest: [&'p str; 3],
    },
    /// A collection of things that are as they are, or one of them.
    Fixed {
        collection: &'p str,
        id: Option<&'p str>,
    },
    /// Networks, which are labels here.
    Network {
        collection: &'p str,
        id: Option<&'p str>,
    },
    /// Something that is done to one resource.
    Deed(&'p str),
}

/// A path that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'p> {
    pub(super) dialect: Dialect,
    /// The project in the path, as it is written there.
    pub(super) project: Option<&'p str>,
    pub(super) target: Target<'p>,
}

/// Reads a path; `None`: version 2 has none like it. Segments stay as they are encoded.
pub(super) fn asked(path: &str) -> Option<Asked<'_>> {
    let rest = path.strip_prefix("/v2.0/").or_else(|| path.strip_prefix("/v2/"))?;
    let segments: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    let (dialect, project, target) = match segments[..] {
        ["lbaas", ref rest @ ..] => (Dialect::OpenStack, None, lbaas(rest)?),
        ["octavia", collection @ "amphorae"] => {
            (Dialect::OpenStack, None, Target::Fixed { collection, id: None })
        }
        ["octavia", collection @ "amphorae", id, ..] => {
            (Dialect::OpenStack, None, Target::Fixed { collection, id: Some(id) })
        }
        ["qos", "policies"] => {
            (Dialect::OpenStack, None, Target::Network { collection: "policies", id: None })
        }
        [collection] if NETWORKS.contains(&collection) => {
            (Dialect::OpenStack, None, Target::Network { collection, id: None })
        }
        [collection, id] if NETWORKS.contains(&collection) => {
            (Dialect::OpenStack, None, Target::Network { collection, id: Some(id) })
        }
        [project, "elb", ref rest @ ..] => (Dialect::Cloud, Some(project), lbaas(rest)?),
        [project, of @ ("loadbalancers" | "listeners"), ref rest @ ..] => {
            let part = |n: usize| rest.get(n).copied().unwrap_or_default();
            let all = [part(0), part(1), part(2)];
            if rest.is_empty() || rest.len() > all.len() {
                return None;
            }
            (Dialect::Cloud, Some(project), Target::Tags { of, rest: all })
        }
        _ => return None,
    };
    Some(Asked { dialect, project, target })
}

const NETWORKS: [&str; 4] = ["subnets", "networks", "ports", "security-groups"];

fn lbaas<'p>(rest: &[&'p str]) -> Option<Target<'p>> {
    let (first, others) = rest.split_first()?;
    let kind = match *first {
        "loadbalancers" => DocumentKind::LoadBalancer,
        "listeners" => DocumentKind::Listener,
        "pools" => DocumentKind::Pool,
        "members" => DocumentKind::Member,
        "healthmonitors" => DocumentKind::HealthMonitor,
        "certificates" => DocumentKind::Certificate,
        "quotas" => {
            return (others.len() < 2).then(|| Target::Quotas(others.first().copied()));
        }
        collection => {
            return Some(Target::Fixed { collection, id: others.first().copied() });
        }
    };
    Some(match *others {
        [] => Target::Resources { kind, pool: None, id: None },
        // Members are made and changed in their pools.
        _ if kind == DocumentKind::Member => return None,
        [id] => Target::Resources { kind, pool: None, id: Some(id) },
        [pool, "members"] if kind == DocumentKind::Pool => {
            Target::Resources { kind: DocumentKind::Member, pool: Some(pool), id: None }
        }
        [pool, "members", id] if kind == DocumentKind::Pool => {
            Target::Resources { kind: DocumentKind::Member, pool: Some(pool), id: Some(id) }
        }
        [id, "status" | "statuses"] if kind == DocumentKind::LoadBalancer => Target::Statuses(id),
        [_, "stats"] => Target::Stats,
        [_, deed] => Target::Deed(deed),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_dialects_are_read() {
        let target = |path| asked(path).map(|asked| (asked.dialect, asked.project, asked.target));
        let pool = Target::Resources { kind: DocumentKind::Pool, pool: None, id: Some("x%2Fy") };
        let os = Dialect::OpenStack;
        assert_eq!(target("/v2.0/lbaas/pools/x%2Fy"), Some((os, None, pool)));
        assert_eq!(target("/v2/lbaas/pools/x%2Fy"), Some((os, None, pool)));
        let cloud = Some((Dialect::Cloud, Some("p"), pool));
        assert_eq!(target("/v2/p/elb/pools/x%2Fy"), cloud);
        let member =
            Target::Resources { kind: DocumentKind::Member, pool: Some("p"), id: Some("m") };
        assert_eq!(target("/v2.0/lbaas/pools/p/members/m"), Some((os, None, member)));
        let statuses = Some((os, None, Target::Statuses("l")));
        assert_eq!(target("/v2.0/lbaas/loadbalancers/l/status"), statuses);
        assert_eq!(target("/v2.0/lbaas/loadbalancers/l/statuses"), statuses);
        let tags = Target::Tags { of: "listeners", rest: ["l", "tags", "action"] };
        assert_eq!(
            target("/v2.0/p/listeners/l/tags/action"),
            Some((Dialect::Cloud, Some("p"), tags))
        );
        for path in ["/v2.0/lbaas", "/v2.0/lbaas/members/m", "/v3/p", "/v2.0/x/y/z", "/v2.0/"] {
            assert_eq!(target(path), None, "{path}");
        }
    }
}
