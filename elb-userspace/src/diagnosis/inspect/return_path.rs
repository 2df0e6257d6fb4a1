//! With `nat` and `nat46`, answers to clients must go back through the load balancer, which translates them.

use std::net::{IpAddr, Ipv4Addr};

use elb_common::embedded::embedded;

use super::asked::InspectRequest;
use super::facts::{Facts, Route};
use super::parts::Part;
use crate::backend::{Mode, ServicePort};
use crate::model::ClientPrefix;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    if asked.mode == Some(Mode::FullNat) {
        let what = "answers go to the load balancer's source addresses, as to any other host";
        return vec![Part::not_applicable(what)];
    }
    if asked.mode == Some(Mode::Nat46) {
        return to_prefix(facts);
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

/// Answers to addresses that hold a client's, which does not begin with 0; others are the load balancer's own.
fn to_prefix(facts: &Facts) -> Vec<Part> {
    let holds_client = |source: &IpAddr| match source {
        IpAddr::V6(address) => {
            embedded(bytemuck::cast(address.octets())).is_some_and(|(_, client)| {
                u32::from_be(client.raw()) > Ipv4Addr::new(0, 255, 255, 255).to_bits()
            })
        }
        IpAddr::V4(_) => false,
    };
    let routes = facts.routes.iter().filter(|(source, _)| holds_client(source));
    let parts: Vec<Part> = routes
        .map(|(source, route)| match route {
            Ok(route) => to_client(*source, route),
            Err(needed) => Part::unknown(needed),
        })
        .collect();
    if parts.is_empty() {
        return vec![Part::unknown(
            "name an address of a client in the load balancer's prefix with --from, as in 2001:db8:1:64:0:1:192.0.2.1",
        )];
    }
    parts
}

fn to_client(source: IpAddr, route: &Route) -> Part {
    let prefix = match source {
        IpAddr::V6(address) => ClientPrefix::at(address).to_string(),
        IpAddr::V4(_) => "PREFIX".to_owned(),
    };
    let wanted = format!("ip -6 route replace {prefix} via LOAD-BALANCER");
    match route {
        Route::Via { interface, gateway: Some(gateway), .. } => Part::pass(format!(
            "answers to clients in {prefix} go to {gateway} by {interface}, which must be a load balancer, or lead to one"
        )),
        Route::Via { interface, gateway: None, .. } => Part::fail(format!(
            "answers to clients in {prefix} go to {source} itself by {interface}, as to a neighbour, and no host has that \
             address"
        ))
        .fix(wanted),
        Route::Local => {
            Part::fail(format!("{source}, which is to hold a client's address, is one of this host"))
                .fix(format!("ip address show to {source}; remove it, or use another prefix in [snat]"))
        }
        Route::None | Route::Refused(..) => {
            Part::fail(format!("there is no route to {prefix}, where clients' packets come from"))
                .fix(wanted)
        }
    }
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
