//! Webhooks: one that takes events, one that hangs, one that refuses.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use elb_tests::{address::Family, lab::Lab, status};
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::scene::{LIMIT, Scene};

/// A receiver of webhooks on the load balancer's host.
enum Receiving {
    Takes,
    Hangs,
    Refuses,
}

/// Bodies of requests that come in, and where.
fn receive(lab: &Lab, how: Receiving) -> Result<(SocketAddr, Receiver<Value>)> {
    let listener = lab.lb().run(|| TcpListener::bind("127.0.0.1:0"))??;
    let place = listener.local_addr()?;
    let (bodies, received) = channel();
    match how {
        Receiving::Refuses => {}
        // What connects waits in the queue of the kernel for as long as the lab runs.
        Receiving::Hangs => drop(thread::spawn(move || {
            thread::sleep(Duration::from_secs(120));
            drop(listener);
        })),
        Receiving::Takes => drop(thread::spawn(move || -> Result<()> {
            loop {
                let (mut stream, _) = listener.accept()?;
                let (mut text, mut piece) = (Vec::new(), [0; 4096]);
                while !text.ends_with(b"}") {
                    let count = stream.read(&mut piece)?;
                    text.extend_from_slice(&piece[..count]);
                }
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                let text = String::from_utf8(text)?;
                let (head, body) = text.split_once("\r\n\r\n").context("a head")?;
                assert!(head.starts_with("POST /hook HTTP/1.1"), "{head}");
                bodies.send(serde_json::from_str(body)?)?;
            }
        })),
    }
    Ok((place, received))
}

#[test]
fn events_go_to_webhooks_and_neither_a_hanging_nor_a_refusing_one_holds_anything_up() -> Result<()>
{
    let mut scene = Scene::start(2)?;
    let (takes, received) = receive(&scene.lab, Receiving::Takes)?;
    let (hangs, _kept) = receive(&scene.lab, Receiving::Hangs)?;
    let (refuses, _) = receive(&scene.lab, Receiving::Refuses)?;
    let hook = |place: SocketAddr, events: &str| {
        format!("[[notify]]\nurl = \"http://{place}/hook\"\nevents = [{events}]\n")
    };
    let text = scene.config.text()?
        + &hook(takes, "\"unhealthy\"")
        + &hook(hangs, "\"unhealthy\", \"recovered\"")
        + &hook(refuses, "\"unhealthy\"");
    scene.agent.write(&text)?;
    let reloaded = scene.agent.end(&["reload", "--wait"], LIMIT)?;
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");

    drop(scene.servers.remove(0));
    let first = scene.lab.member_addr(0, Family::V4);
    let both: Vec<Value> =
        (0..2).map(|_| received.recv_timeout(LIMIT)).collect::<Result<_, _>>()?;
    for body in &both {
        assert_eq!(body["event"], "unhealthy", "{body}");
        assert_eq!(body["event_id"], "healthCheckUnhealthy", "{body}");
        assert_eq!(body["address"], first.to_string(), "{body}");
    }
    // The agent goes on while one hangs.
    let asked = Instant::now();
    scene.agent.status()?;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    let counted = scene.agent.wait_status("the webhooks' counts", LIMIT, |said| {
        let of = |place: SocketAddr, key: &str| {
            let all = said["agent"]["notify"].as_array().cloned().unwrap_or_default();
            let url = format!("http://{place}/hook");
            all.iter().find(|one| one["url"] == *url).and_then(|one| one[key].as_u64())
        };
        of(takes, "sent") == Some(2)
            && of(refuses, "failed") == Some(2)
            && of(hangs, "failed") > Some(0)
    })?;
    let problems = counted["agent"]["problems"].to_string();
    assert!(problems.contains(&format!("{refuses}/hook: cannot connect")), "{problems}");
    assert!(problems.contains(&format!("{hangs}/hook: no answer within 5s")), "{problems}");

    scene.servers.clear();
    scene.servers = scene.lab.serve()?;
    scene.agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    let more = received.recv_timeout(Duration::from_millis(300));
    assert!(more.is_err(), "not asked for: {more:?}");
    Ok(())
}

/// Bodies of requests that a server of https on the load balancer's host gets, and the certificate that it shows.
fn receive_by_tls(lab: &Lab) -> Result<(SocketAddr, String, Receiver<Value>)> {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let secret =
        PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], secret)?;
    let config = Arc::new(config);
    let listener = lab.lb().run(|| TcpListener::bind("127.0.0.1:0"))??;
    let place = listener.local_addr()?;
    let (bodies, received) = channel();
    thread::spawn(move || -> Result<()> {
        loop {
            let (stream, _) = listener.accept()?;
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone())?, stream);
            let (mut text, mut piece) = (Vec::new(), [0; 4096]);
            // One that does not trust the certificate says so, and nothing else.
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                text.extend_from_slice(&piece[..count]);
                if text.ends_with(b"}") {
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                    let text = String::from_utf8_lossy(&text);
                    let (_, body) = text.split_once("\r\n\r\n").context("a head")?;
                    bodies.send(serde_json::from_str(body)?)?;
                    break;
                }
            }
        }
    });
    Ok((place, own.cert.pem(), received))
}

/// By https, with the authority that the file names, and without one; the one that is not trusted is named with
/// what to do, and no reload takes over a file of authorities that is none.
#[test]
fn certificates_of_webhooks_are_verified() -> Result<()> {
    let mut scene = Scene::start(2)?;
    let (place, certificate, received) = receive_by_tls(&scene.lab)?;
    let [ca_file, other_file] = ["hooks.pem", "other.pem"].map(|name| scene.lab.files().join(name));
    let mut another = rcgen::CertificateParams::new(Vec::new())?;
    another.distinguished_name.push(rcgen::DnType::CommonName, "another authority");
    fs::write(&other_file, another.self_signed(&rcgen::KeyPair::generate()?)?.pem())?;
    let (trusted, other) = (format!("https://{place}/hook"), format!("https://{place}/other"));
    let text = scene.config.text()?
        + &format!("[[notify]]\nurl = \"{trusted}\"\nca_file = {ca_file:?}\n")
        + &format!("[[notify]]\nurl = \"{other}\"\nca_file = {other_file:?}\n");
    scene.agent.write(&text)?;
    let refused = scene.agent.end(&["reload", "--wait"], LIMIT)?;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let said = format!("{}{}", refused.printed, refused.said);
    assert!(said.contains(&format!("notify \"{trusted}\": cannot use")), "{said}");
    fs::write(&ca_file, certificate)?;
    let reloaded = scene.agent.end(&["reload", "--wait"], LIMIT)?;
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");

    drop(scene.servers.remove(0));
    let body = received.recv_timeout(LIMIT)?;
    assert_eq!(body["event"], "unhealthy", "{body}");
    let said = scene.agent.wait_status("the certificate to be named", LIMIT, |said| {
        let all = said["agent"]["notify"].as_array().cloned().unwrap_or_default();
        let of = |url: &str, key: &str| all.iter().find(|one| one["url"] == url)?[key].as_u64();
        of(&trusted, "sent") > Some(0) && of(&other, "failed") > Some(0)
    })?;
    let problems = said["agent"]["problems"].to_string();
    let words = format!(
        "events do not arrive at {other}: the certificate of 127.0.0.1 is signed by no authority"
    );
    assert!(problems.contains(&words) && problems.contains("set ca_file"), "{problems}");
    assert!(!problems.contains(&trusted), "{problems}");
    Ok(())
}
