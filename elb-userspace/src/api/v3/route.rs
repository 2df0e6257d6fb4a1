//! Which operation a request is for: segments that are fixed come before those that are parameters.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::ids;
use super::table::{Operation, TABLE};

/// An operation and the parameters of its path.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) operation: &'static Operation,
    pub(super) parameters: BTreeMap<&'static str, String>,
}

/// The operation of a request; `None`: the API has no such path with this method. The path is split before it is
/// decoded: an id may have any character in it.
pub(super) fn route(method: &str, path: &str) -> Option<Routed> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |operation: &&Operation| {
        operation.method == method
            && operation.path.len() == segments.len()
            && operation.path.iter().zip(&segments).all(|(pattern, segment)| {
                (is_parameter(pattern) && !segment.is_empty()) || pattern == segment
            })
    };
    let parameters = |operation: &&Operation| -> Vec<bool> {
        operation.path.iter().map(|pattern| is_parameter(pattern)).collect()
    };
    let operation = TABLE.operations.iter().filter(fits).min_by_key(parameters)?;
    let pairs = operation.path.iter().zip(&segments).filter(|(pattern, _)| is_parameter(pattern));
    let parameters = pairs.map(|(pattern, segment)| {
        let name = pattern.trim_matches(['{', '}']);
        let value = percent_decode_str(segment).decode_utf8().ok()?;
        Some((name, ids::as_kept(name, value.into_owned())))
    });
    Some(Routed { operation, parameters: parameters.collect::<Option<_>>()? })
}

fn is_parameter(pattern: &str) -> bool {
    pattern.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_reached_by_its_own_path() {
        for operation in &TABLE.operations {
            let path: Vec<_> = operation
                .path
                .iter()
                .map(|pattern| if is_parameter(pattern) { "x%2Fy" } else { pattern })
                .collect();
            let routed = route(&operation.method, &path.join("/")).unwrap();
            assert_eq!(routed.operation.name, operation.name);
            assert!(routed.parameters.values().all(|value| value == "x/y"));
        }
    }

    #[test]
    fn fixed_segments_win_and_what_is_not_there_is_not_found() {
        let name = |method, path| route(method, path).map(|routed| &*routed.operation.name);
        let rules = "/v3/p/elb/l7policies/rules";
        let last = route("GET", rules).and_then(|routed| routed.operation.path.last());
        assert_eq!(last.map(String::as_str), Some("rules"));
        assert_ne!(name("GET", rules), name("GET", "/v3/p/elb/l7policies/other"));
        assert_eq!(name("GET", "/v3/p/elb/nothing"), None);
        assert_eq!(name("PATCH", "/v3/p/elb/loadbalancers"), None);
        assert_eq!(name("GET", "/v3/p/elb/loadbalancers/"), None);
        assert_eq!(name("GET", "/v3/p/elb/loadbalancers/%ff"), None);
    }
}
