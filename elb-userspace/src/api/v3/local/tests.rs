//! A file is applied to what its trial was of, also where others write at the same time.

use std::path::Path;

use super::super::resources::{ApiHost, ApiLimits, MemberHealths};
use super::super::server::ApiFiles;
use super::*;
use crate::source::store::{DocumentKind, Transaction};
use crate::source::subnet::Subnets;

const FILE: &str = "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"web\"\nvip_address = \"192.0.2.10\"\n";

fn server(folder: &Path) -> (ApiServer, Store) {
    let text = "[agent]\ninterfaces = [\"eth0\"]\n[api]\nforwarding = \"ipip\"\n";
    let settings = file::parse("elb.toml", text).unwrap().api.unwrap();
    let store = Store::open(&folder.join("store.db"), Box::new(|_| Ok(()))).unwrap();
    let limits =
        ApiLimits { listeners: 100, members: 1000, connections: 1 << 20, hides_clients: false };
    let host = ApiHost { limits, subnets: Subnets::none(), health: MemberHealths::default() };
    let (queries, _) = tokio::sync::mpsc::channel(1);
    let files = ApiFiles { keys: folder.join("keys.json"), signed: folder.join("signed.json") };
    (ApiServer::new(settings, host, files, Ok(store.clone()), queries), store)
}

/// A group that may ask over the socket is shown no private keys.
#[test]
fn root_and_the_agents_own_user_may_change_something() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = server(folder.path());
    let own = rustix::process::geteuid().as_raw();
    let other = own.max(7) + 1;
    for (uid, may) in [(Some(0), true), (Some(own), true), (Some(other), false), (None, false)] {
        let caller = server.local_caller(uid, "GET", "/v3/p/elb/certificates").unwrap();
        assert_eq!((caller.may_write, &*caller.project), (may, "p"), "{uid:?}");
    }
}

/// Changes what the file says of the load balancer, or tries to.
fn rename(transaction: &mut Transaction<'_>, is_done: bool) -> Result<(), ()> {
    let lb = transaction.documents().of(DocumentKind::LoadBalancer).next().cloned();
    let mut lb = (*lb.ok_or(())?).clone();
    lb.body.insert("name".to_owned(), "other".into());
    transaction.put(lb);
    if is_done { Ok(()) } else { Err(()) }
}

#[tokio::test]
async fn a_file_is_not_applied_behind_a_write_that_its_trial_did_not_see() {
    let folder = tempfile::tempdir().unwrap();
    let (server, store) = server(folder.path());
    let by = Applicant {
        actor: "local:test".to_owned(),
        project: "p".to_owned(),
        request: "r".to_owned(),
        now: "2026-01-01T00:00:00Z".to_owned(),
    };
    let model = |text: &str| Arc::new(file::parse("file", text).unwrap().model);
    let first = model(FILE);
    let (_, _, revision) = trial(&server, &store, &first, &by).await.unwrap();
    assert_eq!(
        done(&server, &store, &first, &by, revision.unwrap()).await.unwrap().unwrap().len(),
        1
    );
    let changed = model(&FILE.replace("192.0.2.10", "192.0.2.11"));
    for is_done in [true, false] {
        let (_, _, revision) = trial(&server, &store, &changed, &by).await.unwrap();
        let revision = revision.unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        // While the thread is held up, the others wait, and are committed together.
        let held = store.write(move |_| {
            let _ = wait.recv();
            Ok::<_, ()>(())
        });
        let renamed = store.write(move |transaction| rename(transaction, is_done));
        let released = async {
            tokio::task::yield_now().await;
            drop(go);
        };
        let (_, renamed, tried, applied, ()) = tokio::join!(
            held,
            renamed,
            trial(&server, &store, &changed, &by),
            done(&server, &store, &changed, &by, revision),
            released
        );
        assert_eq!(renamed.unwrap().is_ok(), is_done);
        assert_eq!(tried.unwrap().2.is_none(), is_done, "it saw what was not committed");
        assert_eq!(applied.unwrap().is_none(), is_done, "it was tried on something else");
    }
    let documents = store.read();
    let lb = documents.of(DocumentKind::LoadBalancer).next().unwrap();
    assert_eq!((lb.text("name"), lb.text("vip_address")), ("web", "192.0.2.11"));
}
