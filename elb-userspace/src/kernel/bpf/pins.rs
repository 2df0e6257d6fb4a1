//! What is pinned below `pin_dir`: a folder of maps and links for each version of their records.
//!
//! Usually there is one, `vN`. Maps that take the place of others are made in `vN-1`, `vN-2`, … and renamed
//! when nothing needs the others any more.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use aya::maps::{Map, MapData, MapInfo};
use elb_common::names;

static VERSION: OnceLock<u32> = OnceLock::new();

/// The version that this process pins under.
pub fn version() -> u32 {
    *VERSION.get_or_init(|| names::ABI_VERSION)
}

/// Lets this process pin under another version than its own: so tests upgrade to a program that is the
/// same otherwise. Without effect once anything was pinned or looked for.
#[doc(hidden)]
pub fn set_version(version: u32) {
    let _ = VERSION.set(version);
}

/// Pins are named by interface index, which outlives a renaming.
pub(super) const PREFIX: &str = "link-";

/// The pin of the program that forwards: who takes links over must be able to give it back, and without a pin
/// only CAP_SYS_ADMIN finds it.
pub(super) const PROGRAM: &str = "program";

/// A folder of pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pins {
    pub(super) path: PathBuf,
    /// Whether it is a folder of this process's version.
    pub(super) own: bool,
    /// Interfaces whose links are pinned here: only such a folder's maps may see packets.
    pub(super) links: Vec<u32>,
    /// The kernel's id of `RINGS`, which grows with time; 0: there is none.
    pub(super) generation: u32,
}

/// The folder of this process's version.
pub fn directory(pin_dir: &Path) -> PathBuf {
    pin_dir.join(format!("v{}", version()))
}

/// A folder for maps that take the place of others.
pub(super) fn next_directory(pin_dir: &Path) -> PathBuf {
    let mut names = (1..).map(|n: u32| pin_dir.join(format!("v{}-{n}", version())));
    names.find(|path| !path.exists()).unwrap_or_else(|| directory(pin_dir))
}

/// All folders of pins, those with links first, of these the latest first.
pub(super) fn find(pin_dir: &Path) -> Vec<Pins> {
    let mut found: Vec<_> = directories(pin_dir).into_iter().map(Pins::of).collect();
    found.sort_by_key(|pins| (pins.links.is_empty(), std::cmp::Reverse(pins.generation)));
    found
}

/// Paths of all folders of pins of the forwarding program, of any version.
pub fn directories(pin_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(pin_dir) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        // A backend server's maps have folders like these.
        name.is_some_and(is_folder) && !path.join(names::DECAP_VIPS).exists()
    };
    let mut paths: Vec<_> = paths.filter(is_ours).collect();
    paths.sort();
    paths
}

/// `v3`, `v3-1`: the file system reserves names with dots.
fn is_folder(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name.strip_prefix('v').is_some_and(|rest| match rest.split_once('-') {
        Some((version, n)) => is_number(version) && is_number(n),
        None => is_number(rest),
    })
}

impl Pins {
    fn of(path: PathBuf) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own = format!("v{}", version());
        let generation = MapInfo::from_pin(path.join(names::RINGS)).map_or(0, |info| info.id());
        Self { own: name.split('-').next() == Some(&own), links: pinned(&path), generation, path }
    }
}

/// Whether a folder is, or would be made, in a BPF file system.
pub(super) fn is_in_bpffs(path: &Path) -> bool {
    /// `BPF_FS_MAGIC`, linux/magic.h.
    const MAGIC: i64 = 0xcafe_4a11;
    let there = path.ancestors().find(|ancestor| ancestor.exists());
    let found = there.and_then(|there| rustix::fs::statfs(there).ok());
    found.is_some_and(|found| found.f_type == MAGIC)
}

/// Virtual IPv6 addresses in the maps of a folder, and the interfaces whose links are pinned there.
pub fn served_v6(directory: &Path) -> (Vec<Ipv6Addr>, Vec<u32>) {
    let map = MapData::from_pin(directory.join(names::VIPS_V6)).ok();
    let map = map
        .and_then(|map| aya::maps::HashMap::<_, [u8; 16], u64>::try_from(Map::HashMap(map)).ok());
    let keys = map.iter().flat_map(|map| map.keys().filter_map(Result::ok));
    (keys.map(Ipv6Addr::from).collect(), pinned(directory))
}

/// Removes a folder with all its pins; which. Links first: no packet meets a program without its maps'
/// names.
///
/// # Errors
/// Something cannot be removed.
pub fn remove(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_link = |pin: &PathBuf| {
        pin.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    };
    let entries = fs::read_dir(directory)?;
    let mut pins: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    pins.sort_by_key(|pin| (!is_link(pin), pin.clone()));
    pins.iter().try_for_each(fs::remove_file)?;
    fs::remove_dir(directory)?;
    Ok(pins)
}

/// Indices of the interfaces that have a pinned link.
pub fn pinned(directory: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_recognised_by_their_names() {
        for name in ["v2", "v3", "v3-1", "v10-12"] {
            assert!(is_folder(name), "{name}");
        }
        for name in ["", "v", "v-1", "v3-", "v3-new", "v3-1-2", "w3", "v-3", "v3.1"] {
            assert!(!is_folder(name), "{name}");
        }
    }

    #[test]
    fn folders_of_any_version_are_found_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["v2", "v3", "v3-1", "other", "v9"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("v9").join(names::DECAP_VIPS), "").unwrap();
        fs::write(folder.path().join("v2").join("link-7"), "").unwrap();
        let names = |found: Vec<PathBuf>| -> Vec<String> {
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().into()).collect()
        };
        assert_eq!(names(directories(folder.path())), ["v2", "v3", "v3-1"]);
        let linked = &find(folder.path())[0];
        assert_eq!((linked.links.as_slice(), linked.own), ([7].as_slice(), false));
        assert_eq!(remove(&linked.path).unwrap().len(), 1);
        assert_eq!(names(directories(folder.path())), ["v3", "v3-1"]);
        assert_eq!(next_directory(folder.path()), folder.path().join(format!("v{}-2", version())));
    }
}
