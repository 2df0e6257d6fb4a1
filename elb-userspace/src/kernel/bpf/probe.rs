//! What the kernel would take, and what it carries already. Nothing is attached or pinned here.

use std::path::{Path, PathBuf};

use aya::EbpfLoader;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{loaded_links, loaded_programs};
use elb_common::names;

use super::attach::pin_path;
use super::object::{Capacity, LoadError, Program, XDP_OBJECT, program};
use super::pins;

/// As small as the maps can be.
const TINY: Capacity =
    Capacity { chunks: 1, flows: 64, backends: 1, listeners: 1, clients: 1, bindings: 1 };

/// Loads the forwarding program with tiny maps and forgets both: the kernel has every kind of map
/// and every function that it uses, and its verifier accepts it.
///
/// # Errors
/// See [`LoadError`].
pub fn accepts_program() -> Result<(), LoadError> {
    if XDP_OBJECT.is_empty() {
        return Err(LoadError::NoObject);
    }
    let mut loader = EbpfLoader::new();
    for name in names::MAPS {
        if let Some(entries) = TINY.entries(name) {
            loader.map_max_entries(name, entries);
        }
    }
    program(&mut loader.load(XDP_OBJECT)?, Program::Plain).load()?;
    Ok(())
}

/// The number of the program that an agent attached to an interface, by its pins of any version in
/// `pin_dir`.
pub fn own_program(pin_dir: &Path, index: u32) -> Option<u32> {
    let link = |directory: &PathBuf| PinnedLink::from_pin(pin_path(directory, index)).ok();
    let link = pins::directories(pin_dir).iter().find_map(link)?;
    FdLink::from(link).info().ok().map(|info| info.program_id())
}

/// The name of a program that is loaded; `None` also where this process may not ask.
pub fn program_name(id: u32) -> Option<String> {
    let program = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)?;
    program.name_as_str().map(str::to_owned)
}

/// The number of the link that holds a program to its interface; `None` where it is attached without
/// one, and where this process may not ask.
pub fn link_of(program: u32) -> Option<u32> {
    let link = loaded_links().filter_map(Result::ok).find(|link| link.program_id() == program)?;
    Some(link.id())
}
