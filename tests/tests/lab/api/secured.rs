//! Version 2 by TLS, on an IPv6 address: clients that trust the certificate are led by the links to the same place.

use elb_tests::process::{Ended, ended};

use super::{
    clients::{Sdk, TRUSTED, openstack},
    openstack::echo_follows,
    *,
};

const SECURE: &str = "https://[::1]:9443";

impl ApiScene {
    /// What curl prints, and how it ends.
    fn how_curl_ends(&self, arguments: &[&str]) -> Result<Ended> {
        let mut command = self.lab.lb().command("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
        command.args(arguments);
        ended(command, STUCK)
    }
}

#[test]
fn version_2_is_served_by_tls_over_ipv6() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    lab.lb().sysctl("ipv6/conf/lo/disable_ipv6", "0")?;
    let own = rcgen::generate_simple_self_signed(["::1".to_owned()])?;
    let [certificate, key] = [TRUSTED, "api-key.pem"].map(|name| lab.files().join(name));
    fs::write(&certificate, own.cert.pem())?;
    fs::write(&key, own.signing_key.serialize_pem())?;
    let settings =
        format!("listen = \"[::1]:9443\"\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n");
    let mut scene = ApiScene::start_with(lab, &settings)?;
    let trusting = certificate.to_string_lossy().into_owned();
    let versions = scene.how_curl_ends(&["--cacert", &trusting, SECURE])?;
    ensure!(versions.code == Some(0), "{}{}", versions.said, scene.agent.log());
    let versions: Value = serde_json::from_str(&versions.printed)?;
    let link = &versions["versions"][0]["links"][0]["href"];
    ensure!(*link == format!("{SECURE}/v2.0"), "{versions}");
    for others in [vec![SECURE], vec!["http://[::1]:9443/"]] {
        let ended = scene.how_curl_ends(&others)?;
        ensure!(ended.code != Some(0), "{others:?}: {}", ended.printed);
    }

    let vip = scene.lab.vip4().to_string();
    let create = ["create", "--name", "web", "--vip-address", &vip, "--vip-subnet-id", "front"];
    let words = [&create[..], &["--wait", "-f", "json"]].concat();
    let ended = openstack(&scene.lab, SECURE, &scene.key.token, &words)?;
    ensure!(ended.code == Some(0), "{}{}", ended.said, scene.agent.log());
    let made: Value = serde_json::from_str(&ended.printed)?;
    // Signed, the address is of the request, too.
    let Key { access, secret, token, project } = &scene.key;
    let mut client = Sdk::version_2(&scene.lab, [SECURE, access, secret, project])?;
    let (status, all) = client.call("list_loadbalancers", &json!({}), &Value::Null)?;
    ensure!(status == 200 && all["loadbalancers"][0]["id"] == made["id"], "{status} {all}");
    let id = json!({"loadbalancer_id": made["id"]});
    let (status, reply) = client.call("delete_loadbalancer", &id, &Value::Null)?;
    ensure!(status == 204, "{status} {reply}");
    let client = Sdk::openstack(&scene.lab, ["load_balancer", SECURE, token, project])?;
    echo_follows(&mut scene, Box::new(client))
}
