//! What is in `state_dir`: a damaged file is left aside, what is read of any is written and read again as it
//! was, and an agent can go on with whatever numbers fit its maps.

mod going_on;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use elb_userspace::agent::saved::{self, Drained, Numbers, SavedHealth, SavedMember};
use elb_userspace::health::{Cause, Failure, History, OperatingStatus, Stage, Verdict};
use elb_userspace::model::ResourceId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::campaign;

#[test]
fn saved_state() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    campaign::run("saved", vec![health(), going_on::numbers()], |input| {
        let file = folder.path().join("state.json");
        fs::write(&file, input).unwrap();
        let _ = (SavedHealth::read(&file), Drained::read(&file));
        if let Some(numbers) = stays::<Numbers>(&file) {
            going_on::reconcile(numbers.assignments);
        }
        fs::write(&file, input).unwrap();
        stays::<SavedHealth>(&file);
        fs::write(&file, input).unwrap();
        stays::<Drained>(&file);
    });
}

fn stays<T: Serialize + DeserializeOwned>(file: &Path) -> Option<T> {
    let read = saved::read::<T>(file)?;
    saved::write(file, &read).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let again = saved::read::<T>(file).expect("what was written is read");
    assert_eq!(serde_json::to_value(&again).unwrap(), written);
    Some(again)
}

fn health() -> Vec<u8> {
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let member = SocketAddr::from(([10, 0, 0, 1], 80));
    let refused = Failure::new(Cause::Refused { by: member.ip() });
    let timeout = Failure::new(Cause::Timeout { stage: Stage::Response });
    let reason = Some(refused.clone());
    let status = OperatingStatus::Offline;
    let verdict = Some(Verdict { status, since, reason, streak: 1, decided: None });
    let mut history = History::default();
    for result in [Err(&refused), Err(&timeout), Ok(())] {
        history.note(since, Duration::from_millis(3), result);
    }
    let members = vec![SavedMember { member, verdict, history }];
    let pools = BTreeMap::from([(ResourceId::of_pool("web"), members)]);
    let bound_load_balancers = [ResourceId::of_load_balancer("lb")].into();
    let boot = saved::boot_id().to_owned();
    let health = SavedHealth { boot, pools, bound_load_balancers, events: Vec::new() };
    serde_json::to_vec(&health).unwrap()
}
