//! With `nat`, answers to clients must go back through the load balancer, which translates them.

use std::net::IpAddr;

use super::asked::InspectRequest;
use super::facts::{Facts, Route};
use super::parts::Part;
use crate::backend::{Mode, ServicePort};

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    if asked.mode == Some(Mode::FullNat) {
        let what = "answers go to the load balancer's source addresses, as to any other host";
        return vec![Part::not_applicable(what)];
    }
    if asked.mode != Some(Mode::Nat) {
        return vec![Part::not_applicable("answers go to clients directly")];
    }
    let parts: Vec<Part> = asked.to.iter().filter_map(|to| judge(*to, asked, facts)).collect();
    if parts.is_empty() {
        return vec![Part::unknown("name the load balancer's address with --from")];
    }
    parts
}

fn judge(to: IpAddr, asked: &InspectRequest, facts: &Facts) -> Option<Part> {
    let is_same = |other: &IpAddr| other.is_ipv4() == to.is_ipv4();
    let port = asked.port.and_then(|port| ServicePort::one(asked.protocol, port).ok());
    let recorded = match &facts.backend {
        Ok(recorded) => recorded,
        Err(needed) => return Some(Part::unknown(needed)),
    };
    if let Some(answers) = &recorded.answers
        && let Some(via) = answers.via.iter().find(|via| is_same(via))
        && port.is_none_or(|port| answers.ports.is_empty() || answers.lead(port))
    {
        return Some(match &recorded.answers_fault {
            Some(fault) => {
                let ports: String =
                    answers.ports.iter().map(|port| format!(" --port {port}")).collect();
                let fix = format!("elb backend up --mode nat --via {via}{ports}{}", facts.place);
                Part::fail(fault).fix(fix)
            }
            None => Part::pass(format!("answers to clients go through {via}")),
        });
    }
    let gateways = match &facts.gateways {
        Ok(gateways) => gateways,
        Err(needed) => return Some(Part::unknown(needed)),
    };
    let gateways: Vec<IpAddr> = gateways.iter().copied().filter(is_same).collect();
    let balancer = asked.from.iter().find(|from| is_same(from))?;
    if gateways == [*balancer] {
        return Some(Part::pass(format!(
            "the default route leads to the load balancer {balancer}"
        )));
    }
    let by = match gateways.as_slice() {
        [] => "nowhere, since there is no default route".to_owned(),
        all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
    };
    let what = format!(
        "answers to clients go to {by}, not back through the load balancer {balancer}, which must translate \
         them"
    );
    let ports = port.map_or_else(|| " --port PORT".to_owned(), |port| format!(" --port {port}"));
    let near = facts.routes.iter().find(|(source, _)| source == balancer);
    let is_near =
        near.is_some_and(|(_, route)| matches!(route, Ok(Route::Via { gateway: None, .. })));
    let part = if is_near { Part::fail(what) } else { Part::warn(what) };
    Some(part.fix(format!("elb backend up --mode nat --via {balancer}{ports}{}", facts.place)))
}
