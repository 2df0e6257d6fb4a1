//! Several load balancers at once, all or none.

use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{self, Work};
use super::jobs;
use crate::source::store::DocumentKind;

/// Load balancers of one request.
const MOST: u64 = 10;

/// Those of one name are numbered. Several can have no address: each would have the same.
pub(super) fn create(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let mut given = call.object("loadbalancer");
    let number = given.remove("number").and_then(|number| number.as_u64()).unwrap_or(1);
    if !(1..=MOST).contains(&number) {
        return Err(Refusal::invalid(format!("number is {number}, use 1 to {MOST}")));
    }
    for key in ["vip_address", "ipv6_vip_address", "publicip_ids"] {
        if number > 1 && given.get(key).is_some_and(|value| !value.is_null()) {
            return Err(Refusal::invalid(format!("{key} is for number 1, and it is {number}")));
        }
    }
    let name = resources::text(&given, "name").to_owned();
    let mut ids = Vec::new();
    for n in 1..=number {
        if number > 1 {
            given.insert("name".to_owned(), format!("{name}-{n:04}").into());
        }
        ids.push(work.next_id()?);
        resources::create(work, DocumentKind::LoadBalancer, &given)?;
    }
    let kind = DocumentKind::LoadBalancer;
    let job = jobs::done(work, "batchCreateV3Loadbalancer", None, (kind, &ids))?;
    let ids: Value = ids.iter().map(|id| json!(id.to_string())).collect();
    Ok(jobs::reply(job, "loadbalancer_ids", ids))
}
