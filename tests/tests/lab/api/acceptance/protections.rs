//! What is protected stays, and what is taken away by force is gone; packets follow.

use super::*;

const CONFLICT: (u16, &str) = (409, "ELB.8907");

/// Acceptance 92: deletion protection keeps a load balancer, removal protection the members of a pool, and modification
/// protection everything as it is, until it is taken off; all of it is served meanwhile.
#[test]
fn what_is_protected_stays_and_is_served() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let made = make_service(&mut session)?;
    let Made { lb, listener, pool, members } = &made;
    let (of_lb, in_pool) = (json!({"loadbalancer_id": lb}), json!({"pool_id": pool}));
    let member = json!({"pool_id": pool, "member_id": members[0]});
    let gone = |op: &'static str, args: &Value| (op, args.clone(), Value::Null);

    session.set("loadbalancer", lb, lb, json!({"deletion_protection_enable": true}))?;
    let words = "has deletion_protection_enable";
    session.refuses(gone("delete_load_balancer", &of_lb), CONFLICT, words)?;
    session.refuses(gone("delete_load_balancer_force", &of_lb), CONFLICT, words)?;
    session.set("loadbalancer", lb, lb, json!({"deletion_protection_enable": false}))?;

    session.set("pool", pool, lb, json!({"member_deletion_protection_enable": true}))?;
    let words = "has member_deletion_protection_enable";
    session.refuses(gone("delete_member", &member), CONFLICT, words)?;
    session.refuses(gone("delete_load_balancer_force", &of_lb), CONFLICT, words)?;
    session.set("pool", pool, lb, json!({"member_deletion_protection_enable": false}))?;

    let words = "has protection_status consoleProtection (as it is)";
    let on = json!({"protection_status": "consoleProtection", "protection_reason": "as it is"});
    let off = json!({"protection_status": "nonProtection"});
    for (kind, id, op, args) in [
        ("loadbalancer", lb, "update_load_balancer", &of_lb),
        ("listener", listener, "update_listener", &json!({"listener_id": listener})),
        ("pool", pool, "update_pool", &in_pool),
    ] {
        session.set(kind, id, lb, on.clone())?;
        let down = json!({kind: {"admin_state_up": false}});
        session.refuses((op, args.clone(), down), CONFLICT, words)?;
        session.refuses(gone("delete_load_balancer_force", &of_lb), CONFLICT, words)?;
        session.scene.is_served_by(&[0, 1])?;
        if kind == "pool" {
            session.refuses(gone("delete_member", &member), CONFLICT, words)?;
        }
        session.set(kind, id, lb, off.clone())?;
    }
    session.scene.is_served_by(&[0, 1])?;
    session.deletes("delete_member", member)?;
    session.is_active(lb)?;
    session.scene.is_served_by(&[1])
}

/// Acceptance 95: a load balancer with listeners is not deleted, and goes on; by force, all that belongs to it is gone,
/// and its address is no one's. There are no public addresses that could be bound.
#[test]
fn a_load_balancer_with_listeners_goes_by_force_alone() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let Made { lb, listener, pool, members } = make_service(&mut session)?;
    let of_lb = json!({"loadbalancer_id": lb});
    let words = format!("listener {listener} is using this loadbalancer");
    session.refuses(("delete_load_balancer", of_lb.clone(), Value::Null), CONFLICT, &words)?;
    session.scene.is_served_by(&[0, 1])?;
    session.done("delete_load_balancer_force", of_lb.clone(), Value::Null, 204)?;
    session.scene.becomes_unserved("not_vip")?;
    let in_pool = json!({"pool_id": pool, "member_id": members[0]});
    for (op, args) in [
        ("show_load_balancer", of_lb),
        ("show_listener", json!({"listener_id": listener})),
        ("show_pool", json!({"pool_id": pool})),
        ("show_member", in_pool),
    ] {
        session.refuses((op, args, Value::Null), (404, "ELB.8904"), "")?;
    }
    Ok(())
}
