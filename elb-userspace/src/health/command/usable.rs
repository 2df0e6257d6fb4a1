//! Whether a command can be run on this host: its file, who may change it, and the user that it runs as.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::unistd::{Gid, Uid, User};

use crate::model::command::{CheckUser, CommandCheck};

/// CAP_KILL, CAP_SETGID and CAP_SETUID of linux/capability.h, without which no process of another user can be
/// started and ended.
const TO_CHANGE_USER: [(u32, &str); 3] = [(5, "CAP_KILL"), (6, "CAP_SETGID"), (7, "CAP_SETUID")];
/// Writable by its group, and by all.
const WRITABLE: u32 = 0o022;
/// Of a directory: only the owner of a file in it may replace the file.
const STICKY: u32 = 0o1000;

/// What is needed to run commands of the hardened unit as another user.
pub(super) const DROP_IN: &str = "systemctl edit elb, with [Service], CapabilityBoundingSet=CAP_SETUID \
                                  CAP_SETGID CAP_KILL and SystemCallFilter=@setuid, then restart it (see \
                                  docs/operating.md); or set [agent] check_user to the user of the agent";

/// Why a command cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// What is wrong, with the name of the file or of the user.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.fix)
    }
}

/// What the process that runs commands is, and may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capable {
    /// Its effective user.
    pub uid: u32,
    /// Its effective capabilities, a bit for each; none: not known, and nothing is said of them.
    pub capabilities: Option<u64>,
}

impl Capable {
    /// This process.
    pub fn own() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let capabilities = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        Self { uid: rustix::process::geteuid().as_raw(), capabilities }
    }

    fn lacks(self) -> Vec<&'static str> {
        let Some(set) = self.capabilities else { return Vec::new() };
        TO_CHANGE_USER
            .iter()
            .filter(|(bit, _)| set >> bit & 1 == 0)
            .map(|(_, name)| *name)
            .collect()
    }
}

/// The user and group that a command becomes.
pub(super) type Identity = Option<(u32, u32)>;

/// Whether the process may run a command: the user and group that it becomes; none: those of the process.
///
/// # Errors
/// Why it may not.
pub fn usable(check: &CommandCheck, process: Capable) -> Result<Identity, Unusable> {
    let user = user_of(&check.user)?;
    let path = Path::new(check.program());
    file(path, &user)?;
    if user.uid.as_raw() == process.uid {
        return Ok(None);
    }
    let name = &check.user;
    if process.uid != 0 {
        let what = format!(
            "the agent runs as uid {} and cannot become user {name}, which the command {} is to run as",
            process.uid,
            path.display()
        );
        let fix = format!("set [agent] check_user to \"{}\"", process.uid);
        return Err(Unusable { what, fix });
    }
    let lacks = process.lacks();
    if !lacks.is_empty() {
        let what = format!(
            "the agent lacks {} to run the command {} as user {name}",
            lacks.join(", "),
            path.display()
        );
        return Err(Unusable { what, fix: DROP_IN.to_owned() });
    }
    Ok(Some((user.uid.as_raw(), user.gid.as_raw())))
}

struct Found {
    uid: Uid,
    gid: Gid,
}

fn user_of(user: &CheckUser) -> Result<Found, Unusable> {
    let name = user.as_str();
    let number = name.parse::<u32>().ok().map(Uid::from_raw);
    let found = match number {
        Some(uid) => User::from_uid(uid),
        None => User::from_name(name),
    };
    match (found, number) {
        (Ok(Some(user)), _) => Ok(Found { uid: user.uid, gid: user.gid }),
        // A number needs no entry.
        (Ok(None), Some(uid)) => Ok(Found { uid, gid: Gid::from_raw(uid.as_raw()) }),
        (found, _) => {
            let why = found.err().map_or_else(String::new, |error| format!(" ({error})"));
            Err(Unusable {
                what: format!("there is no user {name:?} to run commands as{why}"),
                fix: "set [agent] check_user to a user of this host".to_owned(),
            })
        }
    }
}

fn file(path: &Path, user: &Found) -> Result<(), Unusable> {
    let shown = path.display();
    let unusable = |what: String, fix: String| Err(Unusable { what, fix });
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => {
            let error = error.to_string();
            let error = error.split(" (os error").next().unwrap_or_default().to_lowercase();
            let fix = "install it on every load balancer, or correct the path".to_owned();
            return unusable(format!("the command {shown} cannot be run: {error}"), fix);
        }
    };
    if !found.is_file() {
        let what = format!("the command {shown} is not a regular file");
        return unusable(what, "name a program or a script".to_owned());
    }
    if found.mode() & WRITABLE != 0 {
        let what = format!(
            "the command {shown} may be changed by others than its owner: its mode is {:04o}",
            found.permissions().mode() & 0o7777
        );
        return unusable(what, format!("chmod go-w {shown}"));
    }
    if !may_run(&found, user) {
        let what =
            format!("the command {shown} may not be executed by the user that it is to run as");
        return unusable(what, format!("chmod a+rx {shown}"));
    }
    // Who may write to a directory may put another file in its place.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let open = |folder: &&Path| fs::metadata(folder).is_ok_and(|found| is_open(&found));
    if let Some(folder) = real.ancestors().skip(1).find(open) {
        let folder = folder.display();
        let what =
            format!("the command {shown} may be replaced by others: they may write to {folder}");
        return unusable(what, format!("chmod go-w {folder}, or move the command"));
    }
    Ok(())
}

fn is_open(folder: &Metadata) -> bool {
    let (mode, is_roots) = (folder.mode(), folder.gid() == 0);
    let writable = if is_roots { mode & 0o002 } else { mode & WRITABLE };
    writable != 0 && mode & STICKY == 0
}

fn may_run(found: &Metadata, user: &Found) -> bool {
    let bits = match () {
        () if user.uid.is_root() => 0o111,
        () if user.uid.as_raw() == found.uid() => 0o100,
        () if user.gid.as_raw() == found.gid() => 0o010,
        () => 0o001,
    };
    found.mode() & bits != 0
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ROOT: Capable = Capable { uid: 0, capabilities: Some(u64::MAX) };

    fn of(program: &Path, user: &str) -> CommandCheck {
        let command = vec![program.display().to_string()];
        CommandCheck { command, user: user.parse().unwrap() }
    }

    fn why(check: &CommandCheck, process: Capable) -> String {
        usable(check, process).unwrap_err().to_string()
    }

    #[test]
    fn who_may_change_user_runs_commands_as_another_one() {
        let check = of(Path::new("/bin/sh"), "nobody");
        assert_eq!(usable(&check, ROOT).map(|one| one.map(|(uid, _)| uid)), Ok(Some(65534)));
        let hardened = Capable { capabilities: Some(0), ..ROOT };
        let said = why(&check, hardened);
        assert!(
            said.starts_with("the agent lacks CAP_KILL, CAP_SETGID, CAP_SETUID to run"),
            "{said}"
        );
        assert!(said.contains("SystemCallFilter=@setuid"), "{said}");
        let other = Capable { uid: 7, ..ROOT };
        assert!(why(&check, other).contains("set [agent] check_user to \"7\""));
        assert_eq!(usable(&of(Path::new("/bin/sh"), "7"), other), Ok(None));
        assert!(why(&of(Path::new("/bin/sh"), "no-such-user"), ROOT).contains("no user"));
    }

    #[test]
    fn files_that_others_may_change_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check");
        assert!(why(&of(&path, "0"), ROOT).contains("no such file or directory"));
        assert!(why(&of(folder.path(), "0"), ROOT).contains("not a regular file"));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let modes =
            [(0o644, "may not be executed"), (0o775, "mode is 0775"), (0o757, "mode is 0757")];
        for (mode, words) in modes {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let said = why(&of(&path, "0"), ROOT);
            assert!(said.contains(words), "{said}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(usable(&of(&path, "0"), ROOT), Ok(None));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(why(&of(&path, "0"), ROOT).contains("may be replaced by others"));
    }
}
