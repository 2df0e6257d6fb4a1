//! Where an agent keeps what it remembers: a folder of the state directory that is named after the pin
//! directory, since that is what the numbers belong to. It outlives the agent, a reboot and `elb detach`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Numbers, read};
use crate::source::file::AgentSettings;

/// The folder of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
    /// Where earlier versions kept the numbers: next to the socket.
    before: PathBuf,
}

impl Folder {
    /// The folder of an agent with these settings.
    pub fn of(agent: &AgentSettings) -> Self {
        Self::new(&agent.state_dir, &agent.pin_dir, &agent.socket)
    }

    /// The folder of an agent with these settings.
    pub fn new(state_dir: &Path, pin_dir: &Path, socket: &Path) -> Self {
        let before = socket.with_extension("state.json");
        Self { path: state_dir.join(name_of(pin_dir)), before }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)
    }

    /// Removes files that an agent was writing when it was killed. For the owner of the folder.
    pub fn tidy(&self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        for half in files.filter(|path| path.extension().is_some_and(|end| end == "new")) {
            let _ = fs::remove_file(half);
        }
    }

    /// The file of the numbers.
    pub fn numbers(&self) -> PathBuf {
        self.path.join("numbers.json")
    }

    /// The file of the members' health.
    pub fn health(&self) -> PathBuf {
        self.path.join("health.json")
    }

    /// The file of the members that are drained by command.
    pub fn drained(&self) -> PathBuf {
        self.path.join("drained.json")
    }

    /// The last good configuration.
    pub fn last_good(&self) -> PathBuf {
        self.path.join("last-good.json")
    }

    /// The numbers that the last agent wrote down, if it did in this boot: maps of another boot may have
    /// the same ids.
    pub fn read_numbers(&self) -> Option<Numbers> {
        self.read_any_numbers().filter(Numbers::is_of_this_boot)
    }

    /// The numbers that the last agent wrote down, whenever that was.
    pub fn read_any_numbers(&self) -> Option<Numbers> {
        read(&self.numbers()).or_else(|| read(&self.before))
    }

    /// Removes what means nothing without the maps. What an operator said stays.
    pub fn forget_numbers(&self) {
        for path in [&self.numbers(), &self.health(), &self.before] {
            let _ = fs::remove_file(path);
        }
    }
}

/// The longest name of a file.
const LONGEST: usize = 255;

/// A file name for a path, another one for every path: `/sys/fs/bpf/elb` is `sys-fs-bpf-elb`, as systemd
/// escapes paths.
fn name_of(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut name = String::new();
    for character in text.trim_matches('/').chars() {
        match character {
            '/' => name.push('-'),
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => name.push(character),
            other => name.push_str(&format!("\\x{:02x}", u32::from(other))),
        }
    }
    if name.len() > LONGEST {
        // The end says more than the beginning; characters are ASCII by now.
        let (hash, end) = (fnv(&text), name.split_off(name.len() - (LONGEST - 17)));
        name = format!("{hash:016x}-{end}");
    }
    if name.is_empty() { "-".to_owned() } else { name }
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_half_written_goes() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::new(state.path(), Path::new("/sys/fs/bpf/elb"), Path::new("/s"));
        folder.make().unwrap();
        fs::write(folder.drained(), "{}").unwrap();
        fs::write(folder.drained().with_extension("json.new"), "{").unwrap();
        folder.tidy();
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(left.collect::<Vec<_>>(), [folder.drained()]);
    }

    #[test]
    fn each_pin_directory_has_a_name_of_its_own() {
        let name = |path: &str| name_of(Path::new(path));
        assert_eq!(name("/sys/fs/bpf/elb"), "sys-fs-bpf-elb");
        assert_eq!(name("/sys/fs/bpf/elb-2"), "sys-fs-bpf-elb\\x2d2");
        assert_ne!(name("/sys/fs/bpf/elb-2"), name("/sys/fs/bpf/elb/2"));
        assert_eq!(name("/"), "-");
        let long = |end: &str| format!("/{}/{end}", "x".repeat(300));
        assert_eq!(name(&long("a")).len(), LONGEST);
        assert_ne!(name(&long("a")), name(&long("b")));
    }
}
