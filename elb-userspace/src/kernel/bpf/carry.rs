//! Maps take the place of others while packets come: those of another version, or of other sizes.
//!
//! 1. Maps are made in a folder of their own, and everything is copied to them: `first_pass`.
//! 2. The links are pinned there, too, and get the program of the new maps, one after the other: `share`,
//!    then [`super::Attachment::new`]. From here on the new maps are the ones that count.
//! 3. What the old program recorded since the copy is taken over: `finish`. Until then a packet that may
//!    have such a record waits for its repetition (`FlowTable::carried_until`). The old maps go.
//!
//! An agent that is killed on the way leaves nothing half done: a folder without links is thrown away by the next
//! agent, and where several have links the latest was complete, and the others are its sources.

mod copy;
mod error;
mod links;
mod raw;
mod source;
mod target;
mod v2;

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use elb_common::names;

use self::copy::{
    copy, copy_chunks, copy_clients, copy_flows, fill_listener_pools, is_copied, move_counters,
};
pub use self::error::CarryError;
use self::links::Carried;
use self::source::{Layout, Source};
use self::target::Target;
use super::clock::coarse_seconds;
use super::maps::{Maps, forget_clients_in};
use super::object::{Capacity, LoadedObject};
use super::{pins, syscall};

/// Seconds for which packets wait at most that may have a record in the old maps: as long as it takes to
/// start an agent again that was killed.
const CARRIED_FOR: u32 = 10;

/// The way from maps that are there to those that are wanted.
pub struct Carry {
    pin_dir: PathBuf,
    /// Where the wanted maps are, or are to be made.
    pub directory: PathBuf,
    /// Their sizes.
    pub capacity: Capacity,
    /// Why sizes are not as wanted.
    pub kept: Vec<String>,
    /// The latest first. None: there are no other maps.
    sources: Vec<Source>,
    /// Whether the maps are to be filled; else they were, before an agent was killed.
    fill: bool,
    /// Since when flows may have been recorded that were not copied.
    copied_at: u32,
    /// As `copied_at`, of clients.
    clients_at: u32,
    /// Flows refused by each listener's old maps at that time.
    refused: Vec<u64>,
    carried: Vec<Carried>,
    /// When packets began to wait that may have a record in the old maps.
    waiting: Option<Instant>,
    done: bool,
}

impl Carry {
    /// Looks at what is pinned, and changes nothing that packets meet.
    ///
    /// # Errors
    /// Something is pinned that cannot be carried over.
    pub fn plan(pin_dir: &Path, wanted: Capacity) -> Result<Self, CarryError> {
        let own = pins::directory(pin_dir);
        let mut found = pins::find(pin_dir);
        let linked = found.partition_point(|pins| !pins.links.is_empty());
        found.truncate(linked.max(1));
        if linked == 0 {
            // No packet meets these; of another version they are of no use, unless they are whole.
            found.retain(|pins| pins.path == own);
        }
        let mut carry = Self {
            pin_dir: pin_dir.to_owned(),
            directory: own,
            capacity: wanted,
            kept: Vec::new(),
            sources: Vec::new(),
            fill: false,
            copied_at: 0,
            clients_at: 0,
            refused: Vec::new(),
            carried: Vec::new(),
            waiting: None,
            done: false,
        };
        let opened: Result<Vec<_>, _> =
            found.iter().map(|pins| Source::open(pins, wanted)).collect();
        let mut sources = match opened {
            Ok(sources) => sources,
            // Not whole: the loader says what is wrong with them.
            Err(_) if linked == 0 => return Ok(carry),
            Err(error) => return Err(error),
        };
        let Some(latest) = sources.first() else { return Ok(carry) };
        let oldest = coarse_seconds().saturating_sub(latest.longest_idle()?);
        (carry.capacity, carry.kept) = latest.resized(wanted, oldest)?;
        let is_ours = found[0].own && matches!(latest.layout, Layout::Same);
        if is_ours && carry.capacity == latest.capacity {
            carry.directory = latest.path.clone();
            carry.sources = sources.split_off(1);
        } else {
            discard(pin_dir, &sources);
            carry.directory = pins::next_directory(pin_dir);
            carry.sources = sources;
            carry.fill = true;
            carry.share_bindings()?;
        }
        Ok(carry)
    }

    /// Lets old and new programs have one map of bindings, where its size stays: no copy of it would do, since both
    /// bind ports. Of another size, the new one begins empty.
    fn share_bindings(&self) -> Result<(), CarryError> {
        let latest = self.sources.first().filter(|latest| {
            matches!(latest.layout, Layout::Same)
                && latest.capacity.bindings == self.capacity.bindings
                && latest.path.join(names::BINDINGS_V4).exists()
        });
        let Some(latest) = latest else { return Ok(()) };
        let at = |error| CarryError::Copy { map: names::BINDINGS_V4, error };
        let map = syscall::open(&latest.path.join(names::BINDINGS_V4)).map_err(at)?;
        fs::create_dir_all(&self.directory).map_err(at)?;
        syscall::pin(map.as_fd(), &self.directory.join(names::BINDINGS_V4)).map_err(at)
    }

    /// Whether numbers of maps with this generation mean the same in the new ones.
    pub fn comes_from(&self, generation: u32) -> bool {
        self.sources.first().is_some_and(|source| self.fill && source.generation == generation)
    }

    /// Copies everything to maps that were just made, and that no packet meets yet.
    ///
    /// # Errors
    /// The old maps cannot be read, or the new ones not be written.
    pub fn first_pass(&mut self, maps: &mut Maps) -> Result<(), CarryError> {
        let Some(source) = self.sources.first().filter(|_| self.fill) else { return Ok(()) };
        tracing::info!(from = %source.path.display(), "the maps are carried over");
        let mut target = Target::open(&self.directory)?;
        for name in names::MAPS {
            match name {
                names::RINGS | names::RINGS_SEEN => copy_chunks(source, name, &self.directory)?,
                _ if is_copied(name) => copy(source, name, &self.directory)?,
                _ => {}
            }
        }
        if let Layout::V2(register) = &source.layout {
            fill_listener_pools(register, &self.directory)?;
            maps.rewrite()?;
        } else {
            target.set_swept(Target::open(&source.path)?.swept());
        }
        target.reset_counts();
        self.refused = target.refused();
        self.copied_at = coarse_seconds();
        self.clients_at = self.copied_at;
        copy_clients(source, &self.directory, 0)?;
        copy_flows(source, &mut target, 0)?;
        // What was recorded meanwhile: a full table takes a second.
        let since = std::mem::replace(&mut self.copied_at, coarse_seconds());
        copy_flows(source, &mut target, since)
    }

    /// Forgets which backends serve clients, so that none of those is taken over, also by an agent that goes on with this.
    /// Whether that was possible.
    pub fn forget_clients(&self) -> bool {
        let mut is_done = true;
        for source in &self.sources {
            if let Err(error) = forget_clients_in(&source.path) {
                tracing::error!(%error, "clients may be taken for those of other members");
                is_done = false;
            }
        }
        is_done
    }

    /// Pins the links in the new folder, so that they can get the program of the new maps.
    ///
    /// # Errors
    /// They cannot be; nothing has changed.
    pub fn share(&mut self) -> Result<(), CarryError> {
        if self.sources.is_empty() {
            return Ok(());
        }
        let until = coarse_seconds().saturating_add(CARRIED_FOR);
        self.set_carried_until(until)?;
        self.waiting = Some(Instant::now());
        self.carried = Carried::share(&self.sources, &self.directory)?;
        Ok(())
    }

    /// Takes over what the old programs did since the copy, when no link carries them any more, and
    /// removes the old maps. Until then packets meet the new maps all the same: what goes wrong is
    /// logged.
    pub fn finish(mut self, object: &mut LoadedObject) {
        self.done = true;
        if !self.sources.is_empty() {
            object.adopted = true;
            wait_for_packets();
            if let Err(error) = self.second_pass() {
                tracing::error!(%error, "flows of the last moments are not carried over");
            }
            if let Err(error) = self.set_carried_until(0) {
                tracing::error!(%error, "packets without a record are refused for some seconds");
            }
            let waited = self.waiting.map(|since| since.elapsed()).unwrap_or_default();
            tracing::info!(?waited, "the maps replaced others");
            let since = self.clients_at.saturating_sub(1);
            for source in &self.sources {
                // No packet waits for what is known of clients.
                if let Err(error) = copy_clients(source, &self.directory, since) {
                    tracing::error!(%error, "clients of the last moments are not carried over");
                }
                if let Err(error) = move_counters(source, &self.directory) {
                    tracing::error!(%error, "counters are not carried over");
                }
            }
        }
        if let Err(error) = self.tidy(object) {
            tracing::error!(%error, "the next start puts it in its place");
        }
    }

    fn second_pass(&self) -> Result<(), CarryError> {
        let mut target = Target::open(&self.directory)?;
        for source in &self.sources {
            // The clock that records are timed by is a tick late.
            copy_flows(source, &mut target, self.copied_at.saturating_sub(1))?;
            let Layout::Same = source.layout else { continue };
            let refused = Target::open(&source.path)?.refused();
            for (listener, (now, then)) in refused.iter().zip(&self.refused).enumerate() {
                target.add_refused(listener, now.saturating_sub(*then));
            }
        }
        Ok(())
    }

    /// Removes all other folders, and gives this one its name.
    fn tidy(&self, object: &mut LoadedObject) -> Result<(), CarryError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| CarryError::Folder { path, error }
        };
        for path in pins::directories(&self.pin_dir) {
            if path != self.directory {
                pins::remove(&path).map_err(at(&path))?;
            }
        }
        let own = pins::directory(&self.pin_dir);
        if self.directory != own {
            fs::rename(&self.directory, &own).map_err(at(&self.directory))?;
            object.directory = own;
        }
        Ok(())
    }

    fn set_carried_until(&self, until: u32) -> Result<(), CarryError> {
        Target::open(&self.directory)?.set_carried_until(until);
        // With several interfaces, the old program goes on at some of them for a moment.
        for source in self.sources.iter().filter(|source| matches!(source.layout, Layout::Same)) {
            Target::open(&source.path)?.set_carried_until(until);
        }
        Ok(())
    }
}

impl Drop for Carry {
    /// Without [`Carry::finish`] everything is as it was.
    fn drop(&mut self) {
        if self.done || self.sources.is_empty() {
            return;
        }
        self.carried.iter().for_each(Carried::undo);
        let _ = self.set_carried_until(0);
        if self.fill {
            let _ = pins::remove(&self.directory);
        }
    }
}

/// Removes folders that an agent made that was killed before any packet met them.
fn discard(pin_dir: &Path, sources: &[Source]) {
    let is_source = |path: &PathBuf| sources.iter().any(|source| source.path == *path);
    for path in pins::directories(pin_dir).iter().filter(|path| !is_source(path)) {
        if let Err(error) = pins::remove(path) {
            tracing::warn!(folder = %path.display(), %error, "cannot remove maps that nothing uses");
        }
    }
}

/// Waits until no CPU is in a program that a link carried before.
fn wait_for_packets() {
    const GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes numbers only. It waits for all that runs under RCU, as programs do.
    let waited = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if waited != 0 {
        // With CPUs that have no timer the kernel does not offer it.
        thread::sleep(Duration::from_millis(100));
    }
}
