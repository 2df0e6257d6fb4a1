//! Subnets that give addresses are found by their names, and are no labels.

use super::*;

const FRONT: &str = "5e0b6a0e-0000-4000-8000-000000000001";
const NONE: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
const SIX: &str = "5e0b6a0e-0000-4000-8000-000000000002";

#[tokio::test]
async fn a_subnet_is_found_by_its_name_and_gives_an_address() {
    let scene = Scene::with(&format!(
        "[[api.subnet]]\nid = \"{FRONT}\"\nname = \"front\"\ncidr = \"192.0.2.0/24\"\n\
         [[api.subnet]]\nid = \"{SIX}\"\ncidr = \"2001:db8::/64\"\n"
    ));
    let get = async |path: &str| scene.v2("GET", path, Value::Null).await;
    let (_, found) = get("/v2.0/subnets?name=front").await;
    assert_eq!((&found["subnets"][0]["id"], &found["subnets"][1]), (&json!(FRONT), &Value::Null));
    assert_eq!(get(&format!("/v2.0/subnets/{SIX}")).await.1["subnet"]["cidr"], "2001:db8::/64");
    assert_eq!(get("/v2.0/subnets").await.1["subnets"].as_array().unwrap().len(), 2);
    assert_eq!(get("/v2.0/subnets?name=back").await.1["subnets"], json!([]));
    assert_eq!(get("/v2.0/subnets/back").await.0, 404);
    assert_eq!(get("/v2.0/networks/back").await.1["network"]["name"], "back", "a label still");
    for (subnet, address) in [(FRONT, "192.0.2.1"), (SIX, "2001:db8::1")] {
        let body = json!({"name": "o", "vip_subnet_id": subnet});
        let made = scene.v2_make("/v2.0/lbaas/loadbalancers", "loadbalancer", body).await;
        let found = (&made["vip_address"], &made["vip_subnet_id"]);
        assert_eq!(found, (&json!(address), &json!(subnet)), "{made}");
    }
    // 192.0.2.2 is the host's own.
    let named = json!({"name": "o", "vip_subnet_id": "front"});
    let made = scene.v2_make("/v2.0/lbaas/loadbalancers", "loadbalancer", named).await;
    assert_eq!(
        (&made["vip_address"], &made["vip_subnet_id"]),
        (&json!("192.0.2.3"), &json!(FRONT))
    );
    let unknown = json!({"loadbalancer": {"name": "o", "vip_subnet_id": NONE}});
    let (status, said) = scene.v2_refused("POST", "/v2.0/lbaas/loadbalancers", unknown).await;
    assert!(
        status == 404 && said.contains(&format!("vip_subnet_id {NONE} could not be found")),
        "{said}"
    );
}
