//! What is refused changes nothing that packets meet.

use super::*;

const WRONG: (u16, &str) = (400, "ELB.8902");

/// Acceptance 47: a pair has a master and a slave, and neither one member nor three. Acceptance 49: UDP 4789 is none of
/// a listener's ports, and port 0 needs ranges. Acceptance 93: a pool has an address and port once, and a weight is at
/// most 100.
#[test]
fn what_the_service_refuses_changes_nothing() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let mut session = session(&mut scene)?;
    let Made { lb, pool, .. } = make_service(&mut session)?;
    let [first, second] =
        [0, 1].map(|index| session.scene.lab.member_addr(index, Family::V4).to_string());

    let role = |address: &str, role: &str| json!({"address": address, "protocol_port": HTTP_PORT, "role": role});
    let (master, slave) = (role(&first, "master"), role(&second, "slave"));
    let third = role("10.99.0.1", "slave");
    for members in [json!([master]), json!([master, slave, third])] {
        let body = json!({"pool": {
            "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "type": "ip", "members": members,
            "healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3}}});
        session.refuses(("create_master_slave_pool", json!({}), body), WRONG, "members has")?;
    }

    for (protocol, port, words) in
        [("UDP", 4789, "reserved for VXLAN"), ("TCP", 0, "port_ranges"), ("UDP", 0, "port_ranges")]
    {
        let listener = json!({"loadbalancer_id": lb, "protocol": protocol, "protocol_port": port});
        let body = json!({"listener": listener});
        session.refuses(("create_listener", json!({}), body), WRONG, words)?;
    }
    let range = json!({"listener": {"loadbalancer_id": lb, "protocol": "UDP", "protocol_port": 0,
        "port_ranges": [{"start_port": 4000, "end_port": 5000}]}});
    session.refuses(("create_listener", json!({}), range), WRONG, "reserved for VXLAN")?;

    let in_pool = json!({"pool_id": pool});
    let again = json!({"member": {"address": first, "protocol_port": HTTP_PORT}});
    session.refuses(
        ("create_member", in_pool.clone(), again),
        (409, "ELB.8907"),
        "those of member",
    )?;
    let heavy =
        json!({"member": {"address": "10.99.0.1", "protocol_port": HTTP_PORT, "weight": 101}});
    session.refuses(("create_member", in_pool, heavy), WRONG, "weight is 101")?;

    session.is_active(&lb)?;
    session.scene.is_served_by(&[0, 1])
}
