//! A change that the SDK signed is recorded on its way, and sent again by someone else; and one whose key is revoked while
//! it is under way.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::anyhow;
use elb_tests::netns::NetNs;

use super::*;

/// Passes connections on to the API, and keeps what clients send.
struct Eavesdropper {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

fn target() -> Result<SocketAddr> {
    Ok(ENDPOINT.trim_start_matches("http://").parse()?)
}

impl Eavesdropper {
    fn start(host: &NetNs) -> Result<Self> {
        let listener = host.run(|| TcpListener::bind("127.0.0.1:0"))??;
        let (address, target) = (listener.local_addr()?, target()?);
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let kept = heard.clone();
        // It ends with the process: no one connects any more.
        let _ = host.spawn(move || {
            for client in listener.incoming().flatten() {
                let kept = kept.clone();
                let Ok(api) = TcpStream::connect(target) else { continue };
                thread::spawn(move || pass(client, api, &kept));
            }
        });
        Ok(Self { address, heard })
    }

    /// The last request by this method, whole.
    fn request(&self, method: &str) -> Result<Vec<u8>> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(heard)?;
        let begin = text.rfind(&format!("{method} /")).context("no such request")?;
        Ok(text.as_bytes()[begin..].to_vec())
    }
}

/// Both ways, until one side closes.
fn pass(client: TcpStream, api: TcpStream, kept: &Mutex<Vec<u8>>) {
    let (Ok(mut from_api), Ok(mut to_client)) = (api.try_clone(), client.try_clone()) else {
        return;
    };
    let back = thread::spawn(move || {
        let _ = std::io::copy(&mut from_api, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut client, mut api, mut piece) = (client, api, [0; 4096]);
    while let Ok(size @ 1..) = client.read(&mut piece) {
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(&piece[..size]);
        if api.write_all(&piece[..size]).is_err() {
            break;
        }
    }
    let _ = api.shutdown(Shutdown::Both);
    let _ = back.join();
}

/// Whether an answer has all of its body.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length
        .and_then(|length| length.trim().parse().ok())
        .is_none_or(|length: usize| body.len() >= length)
}

/// What the API answers to bytes that someone sends.
fn sent(host: &NetNs, request: &[u8]) -> Result<String> {
    let target = target()?;
    host.run(|| -> Result<String> {
        let mut stream = TcpStream::connect(target)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(request)?;
        answered(&mut stream)
    })?
}

/// A whole answer.
fn answered(stream: &mut TcpStream) -> Result<String> {
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !is_whole(&answer) {
        let size = stream.read(&mut piece)?;
        ensure!(size > 0, "cut off: {}", String::from_utf8_lossy(&answer));
        answer.extend(&piece[..size]);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn names(session: &mut Session<'_>) -> Result<usize> {
    let all = session.get("list_load_balancers", json!({}), "loadbalancers")?;
    Ok(all.as_array().context("a list")?.len())
}

#[test]
fn a_signed_change_is_not_done_again_by_the_next_agent() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let host = scene.lab.lb().clone();
    let ear = Eavesdropper::start(&host)?;
    let endpoint = format!("http://{}", ear.address);
    let Key { access, secret, project, .. } = &scene.key;
    let sdk = Sdk::start(&scene.lab, [&endpoint, access, secret, project])?;
    let mut session = Session { client: Box::new(sdk), scene: &mut scene };
    let lb = |name: &str, vip: &str| {
        json!({
        "name": name, "vip_address": vip, "availability_zone_list": []})
    };
    let made = lb("one", "192.0.2.71");
    let made = session.make("create_load_balancer", json!({}), "loadbalancer", made)?;
    let request = ear.request("POST")?;
    // Without it, there is room for it again.
    session.deletes("delete_load_balancer", json!({"loadbalancer_id": made}))?;
    let again = |session: &Session<'_>, what: &str| {
        let answer = sent(session.scene.lab.lb(), &request)?;
        let is_refused = answer.starts_with("HTTP/1.1 401") && answer.contains("APIGW.0301");
        ensure!(is_refused, "{what}: {answer}");
        anyhow::Ok(answer)
    };
    // As soon as two that are equal are not meant any more.
    wait_for("the agent to know it", LIMIT, || {
        let answer = sent(session.scene.lab.lb(), &request)?;
        if answer.starts_with("HTTP/1.1 201") {
            let body = answer.split_once("\r\n\r\n").context("a body")?.1;
            let body: Value = serde_json::from_str(body)?;
            let id = body["loadbalancer"]["id"].clone();
            session.deletes("delete_load_balancer", json!({"loadbalancer_id": id}))?;
        }
        Ok(answer.starts_with("HTTP/1.1 401").then_some(()))
    })?;
    session.scene.agent.restart()?;
    let said = again(&session, "by the next agent")?;
    ensure!(said.contains("it was started"), "{said}");
    ensure!(names(&mut session)? == 0);

    // What cannot be read may have had everything in it.
    session.scene.agent.kill()?;
    let signed = session.scene.lab.files().join("state/api-signed.json");
    fs::write(&signed, "{\"")?;
    session.scene.agent.restart()?;
    again(&session, "by an agent that does not know")?;
    let problems = session.scene.agent.status()?["agent"]["problems"].to_string();
    ensure!(problems.contains("signed changes are refused until"), "{problems}");
    let (status, reply) = session.call(
        "create_load_balancer",
        json!({}),
        json!({"loadbalancer": lb("two", "192.0.2.72")}),
    )?;
    ensure!(status == 401, "{status} {reply}");
    ensure!(names(&mut session)? == 0);
    let Key { token, project, .. } = &session.scene.key;
    let curl = Curl::new(&session.scene.lab, ENDPOINT, token, project)?;
    let mut session = Session { client: Box::new(curl), scene: session.scene };
    session.make("create_load_balancer", json!({}), "loadbalancer", lb("two", "192.0.2.72"))?;
    ensure!(names(&mut session)? == 1);
    Ok(())
}

/// A change whose body the server waits for, and that body.
fn change_under_way(scene: &ApiScene) -> Result<(TcpStream, String)> {
    let (host, target) = (scene.lab.lb().clone(), target()?);
    let Key { token, project, .. } = &scene.key;
    let lb = json!({"name": "late", "vip_address": "192.0.2.73", "availability_zone_list": []});
    let body = json!({"loadbalancer": lb}).to_string();
    // The server says `Continue` once it knows who asks and reads the body.
    let head = format!(
        "POST /v3/{project}/elb/loadbalancers HTTP/1.1\r\nHost: h\r\nX-Auth-Token: {token}\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = host.run(|| TcpStream::connect(target))??;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(head.as_bytes())?;
    let mut piece = [0; 4096];
    let size = stream.read(&mut piece)?;
    let said = String::from_utf8_lossy(&piece[..size]);
    ensure!(said.starts_with("HTTP/1.1 100"), "{said}");
    Ok((stream, body))
}

/// An agent that stops answers what is under way.
#[test]
fn a_change_under_way_is_done_by_an_agent_that_stops() -> Result<()> {
    let mut scene = ApiScene::start()?;
    let (mut stream, body) = change_under_way(&scene)?;
    let agent = &mut scene.agent;
    let answer = thread::scope(|scope| {
        let stops = scope.spawn(|| agent.terminate());
        stream.write_all(body.as_bytes())?;
        let answer = answered(&mut stream)?;
        let ended = stops.join().map_err(|_| anyhow!("the agent cannot be stopped"))??;
        ensure!(ended.success(), "{ended}");
        anyhow::Ok(answer)
    })?;
    ensure!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    scene.agent.restart()?;
    let found = scene.agent.ask(&["lb", "list"])?;
    ensure!(found[0]["name"] == "late", "{found}");
    Ok(())
}

/// The body of a change may take its time, in which its key is taken away.
#[test]
fn a_change_under_way_is_not_done_by_a_key_that_was_revoked() -> Result<()> {
    let scene = ApiScene::start()?;
    let (mut stream, body) = change_under_way(&scene)?;
    let mut revoke = scene.lab.lb().command(elb_bin()?);
    revoke.args(["key", "revoke", "lab", "--config"]).arg(scene.agent.file());
    output(revoke, STUCK)?;
    stream.write_all(body.as_bytes())?;
    let answer = answered(&mut stream)?;
    ensure!(answer.starts_with("HTTP/1.1 401") && answer.contains("was revoked"), "{answer}");
    ensure!(scene.agent.ask(&["lb", "list"])? == json!([]));
    let records = scene.agent.run(&["audit"])?;
    ensure!(records.contains("createLoadbalancer  -  APIGW.0301"), "{records}");
    Ok(())
}
