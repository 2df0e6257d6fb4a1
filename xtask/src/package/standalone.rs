//! Whether the binary is what packages promise: of the processor that they name, needing no library where it is
//! static, and able to start with nothing else in sight.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::target::Target;
use crate::privilege::is_root;
use crate::process;
use crate::setup::{apt, unpacked};

/// Debian's emulators of other processors, one static file each. Not installed: the package would tell the kernel to
/// use them for every binary of those.
const EMULATORS: &str = "qemu-user-static";

/// Returns what could not be checked, and why.
pub(crate) fn check(
    elb: &Path,
    target: &Target,
    tools: &Path,
    work: &Path,
) -> Result<Option<String>> {
    let content = fs::read(elb).with_context(|| elb.display().to_string())?;
    let needs = needs(&content, target)?;
    if !target.is_static() {
        return Ok(None);
    }
    ensure!(needs.is_empty(), "the binary is not static: it wants {}", needs.join(", "));
    let emulator = match target.is_of_this_machine() {
        true => None,
        false => match emulator(target, tools) {
            Ok(emulator) => Some(emulator),
            Err(error) => {
                return Ok(Some(format!("`elb --version` on {}: {error:#}", target.triple)));
            }
        },
    };
    let said = first_words(elb, emulator.as_deref(), work)?;
    println!("in a root with nothing else in it: {said}");
    Ok(None)
}

/// What the system would have to bring: a program that loads it, a table of libraries.
fn needs(content: &[u8], target: &Target) -> Result<Vec<&'static str>> {
    let header = FileHeader64::<Endianness>::parse(content).context("not a 64-bit ELF file")?;
    let endian = header.endian()?;
    let machine = header.e_machine(endian);
    let wanted = target.processor.machine;
    ensure!(machine == wanted, "the binary is for machine {machine}, not {}", target.triple);
    let mut needs = Vec::new();
    for segment in header.program_headers(endian, content)? {
        if segment.p_type(endian) == elf::PT_INTERP {
            needs.push("a program interpreter");
        }
        let entries = segment.dynamic(endian, content)?.unwrap_or_default();
        if entries.iter().any(|entry| entry.d_tag.get(endian) == elf::DT_NEEDED) {
            needs.push("shared libraries");
        }
    }
    Ok(needs)
}

/// What `elb --version` prints where `/` is a folder with this one file, and the emulator if it needs one.
fn first_words(elb: &Path, emulator: Option<&Path>, work: &Path) -> Result<String> {
    let root = work.join("bare");
    fs::create_dir_all(&root)?;
    let put = |from: &Path, name: &str| {
        fs::copy(from, root.join(name)).with_context(|| from.display().to_string())?;
        anyhow::Ok(fs::set_permissions(root.join(name), Permissions::from_mode(0o755))?)
    };
    put(elb, "elb")?;
    let mut words = vec!["/elb", "--version"];
    if let Some(emulator) = emulator {
        put(emulator, "emulator")?;
        words.insert(0, "/emulator");
    }
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let said = process::output(unshare.arg("--root").arg(&root).args(words).env_clear())?;
    ensure!(said.starts_with("elb "), "`elb --version` said {said:?}");
    Ok(said.trim().to_owned())
}

/// The system's, or Debian's, unpacked.
fn emulator(target: &Target, tools: &Path) -> Result<PathBuf> {
    let program = format!("qemu-{}-static", target.processor.name);
    if let Some(found) = process::find_program(&program) {
        return Ok(found);
    }
    let folder = tools.join(EMULATORS);
    unpacked::unpack(&folder, || apt::missing_with(EMULATORS)).with_context(|| {
        format!("no {program}; install your system's package of it (Debian's is {EMULATORS})")
    })?;
    Ok(folder.join("usr/bin").join(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_wants_libraries_is_not_static() {
        let this = fs::read(std::env::current_exe().unwrap()).unwrap();
        let target = |arch: &str| Target::named(&format!("{arch}-unknown-linux-musl")).unwrap();
        let needs = needs(&this, &target(std::env::consts::ARCH)).unwrap();
        assert_eq!(needs, ["a program interpreter", "shared libraries"]);
    }

    #[test]
    fn a_binary_for_another_processor_is_refused() {
        let this = fs::read(std::env::current_exe().unwrap()).unwrap();
        let other = if std::env::consts::ARCH == "x86_64" { "aarch64" } else { "x86_64" };
        let target = Target::named(&format!("{other}-unknown-linux-musl")).unwrap();
        assert!(needs(&this, &target).unwrap_err().to_string().contains(other));
    }
}
