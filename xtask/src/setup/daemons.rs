//! Daemons that labs run next to elb, and what belongs to them. Debian's are unpacked, not installed: their
//! packages would start services, and enable them.

use std::path::Path;

use super::{apt, unpacked};
use crate::process;

/// Programs, and the Debian packages that hold them.
const DAEMONS: [(&str, &str); 10] = [
    ("keepalived", "keepalived"),
    ("bird", "bird2"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("sfcapd", "nfdump-sflow"),
    ("tshark", "tshark"),
    ("nginx", "nginx"),
    ("knotd", "knot"),
    ("dig", "bind9-dnsutils"),
    ("iperf3", "iperf3"),
];

/// Finds each, or unpacks its package into a folder of `place`. Returns a line for each that is not there.
pub(super) fn find_or_fetch(place: &Path) -> Vec<String> {
    DAEMONS.iter().filter_map(|daemon| missing(place, *daemon)).collect()
}

fn missing(place: &Path, (program, package): (&str, &str)) -> Option<String> {
    if let Some(found) = process::find_program(program) {
        super::found(&found.display().to_string());
        return None;
    }
    let folder = place.join(package);
    match unpacked::unpack(&folder, || apt::missing_with(package)) {
        Ok(()) => {
            super::found(&format!("{program}: {}", folder.display()));
            None
        }
        Err(error) => {
            let rule = format!("install your system's package of it (Debian's is {package})");
            Some(format!("{program} is missing; {rule}: {error:#}"))
        }
    }
}
