//! The XDP program that takes outer headers off, with maps and a link that outlive this process.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::{fs, io};

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp, XdpMode, loaded_programs};
use aya::{Ebpf, EbpfLoader};
use elb_common::counter::Counter;
use elb_common::names;
use elb_common::path::unwrap::Unwrapped;

use super::causes::with_causes;
use super::error::BackendError;
use super::{Attach, AttachedMode};
use crate::kernel::bpf::{DECAP_OBJECT, LoadError, Record, detach_pinned, errno};
use crate::kernel::net::links::Link;

/// The folder of the pins: `pin_dir/vN`, N being the version of the maps.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    pin_dir: PathBuf,
    directory: PathBuf,
}

const LINK: &str = "link-";
const MAPS: [&str; 4] =
    [names::DECAP_VIPS, names::DECAP_SOURCES, names::DECAP_SET, names::DECAP_COUNTERS];

impl Pins {
    pub(super) fn new(pin_dir: &Path) -> Self {
        let directory = pin_dir.join(format!("v{}", names::ABI_VERSION));
        Self { pin_dir: pin_dir.to_owned(), directory }
    }

    /// The pins of this version, or where there are none, those of an older one.
    pub(super) fn of_any_version(pin_dir: &Path) -> Self {
        let this = Self::new(pin_dir);
        match this.older() {
            Some(directory) if !this.exist() => Self { pin_dir: pin_dir.to_owned(), directory },
            _ => this,
        }
    }

    /// The folder of the latest older version.
    fn older(&self) -> Option<PathBuf> {
        let versions = (1..names::ABI_VERSION).rev();
        let mut directories = versions.map(|version| self.pin_dir.join(format!("v{version}")));
        directories.find(|directory| directory.exists())
    }

    /// Makes what an older version pinned this version's: its links get this version's program when
    /// it is attached. The map of addresses is the same, the counters are made anew. `None`: nothing
    /// older is there; otherwise the folder.
    pub(super) fn take_over_older(&self) -> Result<Option<&Path>, BackendError> {
        if !self.exist()
            && let Some(older) = self.older()
        {
            fs::rename(&older, &self.directory).map_err(|error| pin_error(&older, &error))?;
        }
        if !self.have_maps() || self.map(names::DECAP_SET).exists() {
            return Ok(None);
        }
        remove(&self.map(names::DECAP_COUNTERS))?;
        Ok(Some(&self.directory))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether anything is pinned.
    pub(super) fn exist(&self) -> bool {
        self.directory.exists()
    }

    /// Whether the maps are.
    pub(super) fn have_maps(&self) -> bool {
        self.map(names::DECAP_VIPS).exists()
    }

    /// Indices of the interfaces that have a pinned link.
    pub(super) fn links(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.strip_prefix(LINK)?.parse().ok()).collect()
    }

    /// Detaches the program from an interface.
    pub(super) fn remove_link(&self, index: u32) -> Result<(), BackendError> {
        let path = self.link(index);
        detach_pinned(&path).map_err(|error| pin_error(&path, &error))
    }

    /// Removes the pins of the maps, and the folders if nothing else is in them.
    pub(super) fn remove_maps(&self) -> Result<(), BackendError> {
        MAPS.iter().try_for_each(|name| remove(&self.map(name)))?;
        for directory in [&self.directory, &self.pin_dir] {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(pin_error(directory, &error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn link(&self, index: u32) -> PathBuf {
        self.directory.join(format!("{LINK}{index}"))
    }

    /// Removes the pins of the set of sources, as an older version has none.
    pub(super) fn remove_sources(&self) -> Result<(), BackendError> {
        remove(&self.map(names::DECAP_SOURCES))?;
        remove(&self.map(names::DECAP_SET))
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Fails unless the folder is, or would be, in a BPF file system.
    fn check(&self) -> Result<(), BackendError> {
        let there = self.directory.ancestors().find(|path| path.exists());
        match there.map(is_bpf) {
            Some(Ok(true)) => Ok(()),
            Some(Err(error)) => Err(pin_error(&self.pin_dir, &error)),
            Some(Ok(false)) | None => Err(BackendError::NotBpf(self.pin_dir.clone())),
        }
    }
}

fn is_bpf(path: &Path) -> io::Result<bool> {
    /// `BPF_FS_MAGIC`, linux/magic.h.
    const MAGIC: i64 = 0xcafe_4a11;
    Ok(rustix::fs::statfs(path)?.f_type == MAGIC)
}

fn remove(path: &Path) -> Result<(), BackendError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(pin_error(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The addresses that packets are unwrapped for.
pub(super) struct Vips(HashMap<MapData, Record<[u8; 16]>, u32>);

impl Vips {
    /// Opens the pinned map; `None` if there is none.
    pub(super) fn open(pins: &Pins) -> Result<Option<Self>, BackendError> {
        let path = pins.map(names::DECAP_VIPS);
        if !path.exists() {
            return Ok(None);
        }
        let error = |error: MapError| pin_error(&path, &error);
        let map = Map::from_map_data(MapData::from_pin(&path).map_err(error)?).map_err(error)?;
        match HashMap::try_from(map) {
            Ok(map) => Ok(Some(Self(map))),
            Err(error) => Err(BackendError::Incompatible { error: with_causes(&error), path }),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Result<Vec<IpAddr>, BackendError> {
        let keys: Result<Vec<_>, MapError> = self.0.keys().collect();
        let keys = keys.map_err(|error| BackendError::Pin {
            path: names::DECAP_VIPS.into(),
            error: with_causes(&error),
        })?;
        Ok(keys.iter().map(|Record(octets)| Ipv6Addr::from(*octets).to_canonical()).collect())
    }

    /// False if it is there already.
    pub(super) fn insert(&mut self, vip: IpAddr) -> Result<bool, BackendError> {
        let key = key(vip);
        if self.0.get(&key, 0).is_ok() {
            return Ok(false);
        }
        self.0.insert(key, 1, 0).map(|()| true).map_err(|error| map_error(vip, &error))
    }

    /// False if it is not there.
    pub(super) fn remove(&mut self, vip: IpAddr) -> Result<bool, BackendError> {
        match self.0.remove(&key(vip)) {
            Ok(()) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(MapError::SyscallError(error))
                if error.io_error.kind() == io::ErrorKind::NotFound =>
            {
                Ok(false)
            }
            Err(error) => Err(map_error(vip, &error)),
        }
    }
}

/// Packets and bytes by what became of them, in the order of [`Unwrapped::ALL`]; `None` where no map
/// is pinned. What an older version does not count is 0.
pub(super) fn counted(pins: &Pins) -> Result<Option<Vec<(u64, u64)>>, BackendError> {
    let path = pins.map(names::DECAP_COUNTERS);
    if !path.exists() {
        return Ok(None);
    }
    let error = |error: MapError| pin_error(&path, &error);
    let map = Map::from_map_data(MapData::from_pin(&path).map_err(error)?).map_err(error)?;
    let map: PerCpuArray<_, Record<Counter>> = map.try_into().map_err(error)?;
    let known = map.len();
    let sum = |what: &Unwrapped| {
        let number = *what as u32;
        if number >= known {
            return Ok((0, 0));
        }
        let values = map.get(&number, 0).map_err(error)?;
        let add = |(packets, bytes): (u64, u64), counter: &Record<Counter>| {
            (packets + counter.0.packets, bytes + counter.0.bytes)
        };
        Ok(values.iter().fold((0, 0), add))
    };
    Unwrapped::ALL.iter().map(sum).collect::<Result<_, BackendError>>().map(Some)
}

/// IPv4 addresses are held as IPv4-mapped ones (RFC 4291 §2.5.5.2).
fn key(vip: IpAddr) -> Record<[u8; 16]> {
    Record(match vip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    })
}

fn map_error(vip: IpAddr, error: &MapError) -> BackendError {
    BackendError::Map { vip, map: names::DECAP_VIPS, error: with_causes(error) }
}

/// The program, in the kernel.
pub(super) struct Decap {
    ebpf: Ebpf,
    pins: Pins,
}

/// What [`Decap::attach`] did.
pub(super) enum AttachOutcome {
    /// The link was there; it has this version's program now.
    Adopted,
    /// Attached; the reason why the driver refused, if it was asked first.
    New(AttachedMode, Option<String>),
}

impl Decap {
    /// Fails where loading could not work, before anything is changed.
    pub(super) fn check(pins: &Pins) -> Result<(), BackendError> {
        if DECAP_OBJECT.is_empty() {
            return Err(LoadError::NoObject.into());
        }
        pins.check()
    }

    /// Loads the program with the pinned maps; maps that are not there are made and pinned.
    pub(super) fn load(pins: &Pins) -> Result<Self, BackendError> {
        fs::create_dir_all(&pins.directory).map_err(|error| pin_error(&pins.directory, &error))?;
        let mut loader = EbpfLoader::new();
        for name in MAPS {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut ebpf = loader
            .load(DECAP_OBJECT)
            .map_err(|error| BackendError::Refused(with_causes(&error)))?;
        program(&mut ebpf).load().map_err(|error| BackendError::Refused(with_causes(&error)))?;
        Ok(Self { ebpf, pins: pins.clone() })
    }

    /// Attaches the program to an interface, in place of an earlier one of this set-up: no packet
    /// meets the interface without program then.
    pub(super) fn attach(
        &mut self,
        link: &Link,
        attach: Attach,
    ) -> Result<AttachOutcome, BackendError> {
        let path = self.pins.link(link.index);
        if path.exists() {
            if self.adopt(&path, &link.name)? {
                return Ok(AttachOutcome::Adopted);
            }
            remove(&path)?;
        }
        let refused = match attach {
            Attach::Generic => None,
            Attach::Auto | Attach::Native => match self.attach_as(XdpMode::Driver, link, &path) {
                Ok(()) => return Ok(AttachOutcome::New(AttachedMode::Native, None)),
                Err(Refusal::ByDriver(error)) if attach == Attach::Auto => Some(error),
                Err(refusal) => return Err(refusal.into_error(link)),
            },
        };
        match self.attach_as(XdpMode::Skb, link, &path) {
            Ok(()) => Ok(AttachOutcome::New(AttachedMode::Generic, refused)),
            Err(refusal) => Err(refusal.into_error(link)),
        }
    }

    fn attach_as(&mut self, mode: XdpMode, link: &Link, path: &Path) -> Result<(), Refusal> {
        let program = program(&mut self.ebpf);
        let id = program
            .attach_to_if_index(link.index, mode)
            .map_err(|error| Refusal::of(mode, &error))?;
        let attached = program.take_link(id).map_err(|error| Refusal::other(&error))?;
        let attached = FdLink::try_from(attached).map_err(|error| Refusal::other(&error))?;
        match attached.pin(path) {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::Pin(pin_error(path, &error))),
        }
    }

    /// False where the interface of the link is gone and another got its index.
    fn adopt(&mut self, path: &Path, interface: &str) -> Result<bool, BackendError> {
        let attach = |error: &dyn std::error::Error| BackendError::Attach {
            interface: interface.to_owned(),
            error: with_causes(error),
        };
        let link = PinnedLink::from_pin(path).map_err(|error| pin_error(path, &error))?;
        let link = XdpLink::try_from(FdLink::from(link)).map_err(|error| attach(&error))?;
        let program = program(&mut self.ebpf);
        match program.attach_to_link(link) {
            Ok(id) => {
                // The pin keeps the link alive when this handle of it is dropped.
                drop(program.take_link(id).map_err(|error| attach(&error))?);
                Ok(true)
            }
            Err(error) if errno(&error) == Some(libc::ENOLINK) => Ok(false),
            Err(error) => Err(attach(&error)),
        }
    }
}

fn program(ebpf: &mut Ebpf) -> &mut Xdp {
    ebpf.program_mut(names::DECAP_PROGRAM)
        .and_then(|program| program.try_into().ok())
        .expect("the embedded object has the program; the tests load it")
}

/// The name of a program in the kernel; none if there is none of this number.
pub(super) fn program_name(id: u32) -> Result<Option<String>, BackendError> {
    for program in loaded_programs() {
        let program = program.map_err(|error| BackendError::Refused(with_causes(&error)))?;
        if program.id() == id {
            return Ok(program.name_as_str().map(str::to_owned));
        }
    }
    Ok(None)
}

/// Why an interface did not take the program.
enum Refusal {
    /// Another program is there.
    Busy,
    /// The driver cannot; the network stack may.
    ByDriver(String),
    /// The link cannot be pinned.
    Pin(BackendError),
    Other(String),
}

impl Refusal {
    fn of(mode: XdpMode, error: &ProgramError) -> Self {
        let text = || {
            errno(error).map_or_else(
                || with_causes(error),
                |code| io::Error::from_raw_os_error(code).to_string(),
            )
        };
        match errno(error) {
            Some(libc::EBUSY | libc::EEXIST) => Self::Busy,
            Some(libc::EPERM | libc::EACCES | libc::ENODEV) | None => Self::Other(text()),
            Some(_) if mode == XdpMode::Driver => Self::ByDriver(text()),
            Some(_) => Self::Other(text()),
        }
    }

    fn other(error: &dyn std::error::Error) -> Self {
        Self::Other(with_causes(error))
    }

    fn into_error(self, link: &Link) -> BackendError {
        let interface = link.name.clone();
        match self {
            Self::Busy => BackendError::Busy(interface),
            Self::ByDriver(error) => BackendError::NoNative { interface, error },
            Self::Pin(error) => error,
            Self::Other(error) => BackendError::Attach { interface, error },
        }
    }
}

pub(super) fn pin_error(path: &Path, error: &dyn std::error::Error) -> BackendError {
    BackendError::Pin { path: path.to_owned(), error: with_causes(error) }
}
