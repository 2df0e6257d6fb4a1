//! The keys of clients: a file that only its owner may read, which `elb key` changes and the API reads.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::signature::{hash, hex};
use crate::kernel::lock::{Lock, LockError};
use crate::kernel::replace::replace_private;

/// The project of a host on which no other is named.
pub const FIRST_PROJECT: &str = "e1b00000000000000000000000000000";

/// How long a change of the file waits for others, and how often it tries.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(10);

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRole {
    /// Everything in its project.
    Full,
    /// To read what is in its project.
    ReadOnly,
}

/// A key as it is kept. The secret that signs must be known to verify; of the token, its hash is enough.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientKey {
    /// What it is called.
    pub name: String,
    /// Whose resources it is for.
    pub project: String,
    /// What it allows.
    pub role: KeyRole,
    /// The access key id, which names it in a signature.
    pub access: String,
    secret: String,
    token_sha256: String,
    /// When it was made.
    pub created: String,
}

/// What a client needs to know of a key; shown once.
pub struct NewKey {
    /// What is kept.
    pub key: ClientKey,
    /// The secret access key.
    pub secret: String,
    /// The token.
    pub token: String,
}

/// The file of all keys.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ClientKeys {
    /// In the order in which they were made.
    pub keys: Vec<ClientKey>,
}

impl fmt::Debug for ClientKey {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ClientKey {
    /// What signs.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

impl ClientKeys {
    /// Reads the file; where there is none, there are no keys.
    ///
    /// # Errors
    /// It cannot be read, others may read it, or it is of no use.
    pub fn read(path: &Path) -> Result<Self> {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let mode = found.permissions().mode() & 0o777;
        ensure!(
            mode & 0o077 == 0,
            "{} has mode {mode:04o}, so that others may read the keys in it: `chmod 600 {}`",
            path.display(),
            path.display()
        );
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no file of keys", path.display()))
    }

    /// Changes the file: who else changes it at the same time waits, and finds what was changed.
    ///
    /// # Errors
    /// The change is refused, the file cannot be read or written, or another process keeps it for too long.
    pub fn change<T>(path: &Path, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let cannot = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        let _lock = lock(&path.with_added_extension("lock"))?;
        let mut keys = Self::read(path)?;
        let changed = change(&mut keys)?;
        keys.write(path)?;
        Ok(changed)
    }

    /// Replaces the file; it is readable by its owner alone, from the beginning.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        replace_private(path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Makes a key. Without a project it is for that of the others, or for [`FIRST_PROJECT`] if there is none.
    ///
    /// # Errors
    /// The name is taken, the project is none, or it is not clear which one is meant.
    pub fn create(
        &mut self,
        name: &str,
        project: Option<&str>,
        role: KeyRole,
        created: String,
    ) -> Result<NewKey> {
        let is_name = (1..=64).contains(&name.chars().count()) && !name.contains(char::is_control);
        ensure!(
            is_name,
            "key name {name:?}: use 1 to 64 characters, none of them a control character"
        );
        ensure!(
            self.keys.iter().all(|key| key.name != name),
            "there is a key {name:?}: `elb key revoke` it first, or use another name"
        );
        let project = match project {
            Some(project) => project.to_owned(),
            None => self.project_for_new()?,
        };
        let is_id = project.len() == 32 && project.bytes().all(|one| one.is_ascii_hexdigit());
        ensure!(is_id, "project {project:?}: use 32 hexadecimal digits");
        let (secret, token) = (random(20)?, random(32)?);
        let key = ClientKey {
            name: name.to_owned(),
            project: project.to_ascii_lowercase(),
            role,
            access: random(10)?.to_ascii_uppercase(),
            secret: secret.clone(),
            token_sha256: hash(token.as_bytes()),
            created,
        };
        self.keys.push(key.clone());
        Ok(NewKey { key, secret, token })
    }

    /// Takes a key away.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn revoke(&mut self, name: &str) -> Result<()> {
        let before = self.keys.len();
        self.keys.retain(|key| key.name != name);
        ensure!(self.keys.len() < before, "there is no key {name:?}: `elb key list` shows them");
        Ok(())
    }

    /// The one project that all keys are for; [`FIRST_PROJECT`] where there are no keys.
    ///
    /// # Errors
    /// They are for several.
    pub fn project_for_new(&self) -> Result<String> {
        let Some(first) = self.keys.first() else { return Ok(FIRST_PROJECT.to_owned()) };
        if self.keys.iter().any(|key| key.project != first.project) {
            bail!("the keys are for several projects: name one with --project");
        }
        Ok(first.project.clone())
    }

    pub(super) fn by_access(&self, access: &str) -> Option<&ClientKey> {
        self.keys.iter().find(|key| key.access == access)
    }

    /// Hashes are compared, of which one says nothing about the token of another.
    pub(super) fn by_token(&self, token: &str) -> Option<&ClientKey> {
        let hash = hash(token.as_bytes());
        self.keys.iter().find(|key| key.token_sha256 == hash)
    }
}

/// Waits for the lock. The file of the keys itself is replaced, so that it cannot be locked.
fn lock(path: &Path) -> Result<Lock> {
    let end = Instant::now() + PATIENCE;
    loop {
        match Lock::file(path) {
            Err(LockError::Held { .. }) if Instant::now() < end => thread::sleep(AGAIN),
            locked => return Ok(locked?),
        }
    }
}

/// So many random bytes, in hexadecimal digits.
pub(super) fn random(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    SystemRandom::new().fill(&mut random).ok().context("the kernel gives no random numbers")?;
    Ok(hex(&random))
}

#[cfg(test)]
mod tests {
    use super::super::key_file::KeyFile;
    use super::*;

    fn key(keys: &mut ClientKeys, name: &str, project: Option<&str>) -> Result<NewKey> {
        keys.create(name, project, KeyRole::Full, "2026-01-01T00:00:00Z".to_owned())
    }

    #[test]
    fn keys_are_made_found_and_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/keys.json");
        let mut keys = ClientKeys::read(&path).unwrap();
        let one = key(&mut keys, "one", None).unwrap();
        let two = key(&mut keys, "two", None).unwrap();
        assert_eq!(one.key.project, two.key.project, "of one project, until another is named");
        assert!(key(&mut keys, "one", None).is_err());
        assert!(key(&mut keys, "x", Some("web")).is_err());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        keys.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut file = KeyFile::new(path.clone());
        let found = file.now().unwrap();
        assert_eq!(found.by_token(&two.token).unwrap().name, "two");
        assert_eq!(found.by_access(&one.key.access).unwrap().secret(), one.secret);
        assert!(found.by_token(&two.token[1..]).is_none());
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&one.token), "tokens are not kept");
        keys.revoke("two").unwrap();
        assert!(keys.revoke("two").is_err());
        keys.write(&path).unwrap();
        assert!(file.now().unwrap().by_token(&two.token).is_none(), "at once");
    }

    /// Without the lock, most of them would be lost.
    #[test]
    fn keys_that_are_made_at_once_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/keys.json");
        thread::scope(|scope| {
            for n in 0..20 {
                let path = &path;
                scope.spawn(move || {
                    ClientKeys::change(path, |keys| key(keys, &n.to_string(), None)).unwrap()
                });
            }
        });
        assert_eq!(ClientKeys::read(&path).unwrap().keys.len(), 20);
        let error = ClientKeys::change(&path, |keys| keys.revoke("20")).unwrap_err();
        assert!(error.to_string().contains("elb key list"), "{error}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        ClientKeys::default().write(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = ClientKeys::read(&path).err().unwrap().to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    }
}
