//! What the other end of a veth computes before it hands packets over, be it in another network namespace.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::thread;

use futures_util::StreamExt as _;
use nix::sched::{CloneFlags, setns};
use rtnetlink::Handle;
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::nsid::{NsidAttribute, NsidMessage};

use super::device;

/// Its offloads. `None`: its namespace is that of no process that is seen from here, and has no name.
pub(super) async fn offloads(
    handle: &Handle,
    name: &str,
    namespace: Option<i32>,
) -> Option<BTreeSet<String>> {
    let namespace = match namespace {
        Some(id) => Some(find(handle, id).await?),
        None => None,
    };
    let name = name.to_owned();
    // Another namespace is entered by a thread of its own, which ends with what it is asked.
    let ask = move || {
        if let Some(namespace) = namespace {
            setns(namespace, CloneFlags::CLONE_NEWNET).ok()?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().ok()?;
        runtime.block_on(device::offloads_of(&name))
    };
    let asked = thread::spawn(ask);
    tokio::task::spawn_blocking(move || asked.join().ok().flatten()).await.ok().flatten()
}

/// The namespace that this one calls `id`.
async fn find(handle: &Handle, id: i32) -> Option<File> {
    for path in namespaces() {
        let Ok(file) = File::open(path) else { continue };
        if self::id(handle, &file).await == Some(id) {
            return Some(file);
        }
    }
    None
}

/// Each once: those with a name, as `ip netns` gives it, and those of processes.
fn namespaces() -> Vec<PathBuf> {
    let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries("/run/netns").map(|entry| entry.path());
    let of_processes = entries("/proc").map(|entry| entry.path().join("ns/net"));
    let mut seen = BTreeSet::new();
    let all = named.chain(of_processes);
    all.filter(|path| fs::metadata(path).is_ok_and(|file| seen.insert(file.ino()))).collect()
}

/// What this namespace calls another one (rtnetlink(7), RTM_GETNSID).
async fn id(handle: &Handle, namespace: &File) -> Option<i32> {
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Fd(u32::try_from(namespace.as_raw_fd()).ok()?));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(message));
    request.header.flags = NLM_F_REQUEST;
    let mut handle = handle.clone();
    let answer = pin!(handle.request(request).ok()?).next().await?;
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(answer)) = answer.payload else {
        return None;
    };
    answer
        .attributes
        .into_iter()
        .find_map(|attribute| if let NsidAttribute::Id(id) = attribute { Some(id) } else { None })
}
