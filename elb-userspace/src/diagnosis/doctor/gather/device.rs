//! What drivers say: what of XDP they can, offloads, queues.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "drivers report more than is asked; the attributes of interest are picked out"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::pin::pin;

use ethtool::{EthtoolAttr, EthtoolChannelAttr, EthtoolFeatureAttr, EthtoolHandle};
use futures_util::TryStreamExt as _;

use super::host::text;
use super::{GatherError, Interfaces};
use crate::diagnosis::doctor::facts::Queues;
use crate::diagnosis::doctor::netdev;

/// Adds it to what is known about interfaces.
pub(super) async fn complete(interfaces: &mut Interfaces) -> Result<(), GatherError> {
    let (generic, mut netdev, _) = genetlink::new_connection()?;
    let (ethtool, mut handle, _) = ethtool::new_connection()?;
    let tasks = [tokio::spawn(generic), tokio::spawn(ethtool)];
    for (name, interface) in interfaces {
        interface.xdp_features = netdev::xdp_features(&mut netdev, interface.index).await;
        interface.offloads = offloads(&mut handle, name).await;
        interface.queues = queues(&mut handle, name).await;
        if interface.driver.is_none() {
            interface.driver = driver(name, interface.index);
        }
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// The offloads of one interface of the namespace that this thread is in.
pub(super) async fn offloads_of(name: &str) -> Option<BTreeSet<String>> {
    let (connection, mut handle, _) = ethtool::new_connection().ok()?;
    let connection = tokio::spawn(connection);
    let found = offloads(&mut handle, name).await;
    connection.abort();
    found
}

async fn offloads(handle: &mut EthtoolHandle, name: &str) -> Option<BTreeSet<String>> {
    let mut answers = pin!(handle.feature().get(Some(name)).execute().await.ok()?);
    let answer = answers.try_next().await.ok()??;
    answer.payload.nlas.into_iter().find_map(|attribute| match attribute {
        EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) => {
            Some(bits.into_iter().filter(|bit| bit.value).map(|bit| bit.name).collect())
        }
        _ => None,
    })
}

async fn queues(handle: &mut EthtoolHandle, name: &str) -> Option<Queues> {
    let mut answers = pin!(handle.channel().get(Some(name)).execute().await.ok()?);
    let answer = answers.try_next().await.ok()??;
    let (mut receive, mut combined) = ((0, 0), (0, 0));
    for attribute in answer.payload.nlas {
        match attribute {
            EthtoolAttr::Channel(EthtoolChannelAttr::RxCount(count)) => receive.0 = count,
            EthtoolAttr::Channel(EthtoolChannelAttr::RxMax(most)) => receive.1 = most,
            EthtoolAttr::Channel(EthtoolChannelAttr::CombinedCount(count)) => combined.0 = count,
            EthtoolAttr::Channel(EthtoolChannelAttr::CombinedMax(most)) => combined.1 = most,
            _ => {}
        }
    }
    let (now, most) = (receive.0 + combined.0, receive.1.max(combined.1));
    (now > 0).then_some(Queues { now, most, combined: combined.1 > 0 })
}

fn driver(name: &str, index: u32) -> Option<String> {
    let folder = Path::new("/sys/class/net").join(name);
    // sysfs may be of another network namespace than this process.
    let same = text(folder.join("ifindex"))?.trim().parse() == Ok(index);
    let driver = fs::read_link(folder.join("device/driver")).ok().filter(|_| same)?;
    Some(driver.file_name()?.to_str()?.to_owned())
}
