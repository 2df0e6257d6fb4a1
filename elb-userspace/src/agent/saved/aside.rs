//! Files that are of no use to this version, as those of a newer one: they are kept for the version that wrote
//! them, under another name, before they are replaced.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::read_bounded;

/// Keeps a file aside that is there and is no `T`; what is to be said of it.
pub fn keep_aside<T: DeserializeOwned>(path: &Path) -> Option<String> {
    let text = read_bounded(path).ok()?;
    let error = serde_json::from_slice::<T>(&text).err()?;
    let aside = name_aside(path);
    let kept = match fs::rename(path, &aside) {
        Ok(()) => format!("it is kept as {}", aside.display()),
        Err(failure) => format!("it cannot be kept as {}: {failure}", aside.display()),
    };
    Some(format!(
        "{} is of no use to this version of elb, as the file of a newer version or a broken one ({error}): {kept}; \
         what the maps show of its content is taken from there",
        path.display()
    ))
}

fn name_aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unread");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::saved::{Drained, Numbers};

    #[test]
    fn what_cannot_be_read_is_kept_for_the_version_that_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drained.json");
        assert_eq!(keep_aside::<Drained>(&file), None, "there is none");
        let newer = r#"{"format": 9, "drained": {"web": [{"by": "operator"}]}}"#;
        fs::write(&file, newer).unwrap();
        let said = keep_aside::<Drained>(&file).unwrap();
        assert!(said.contains("drained.json is of no use to this version"), "{said}");
        assert!(!file.exists());
        assert_eq!(fs::read_to_string(name_aside(&file)).unwrap(), newer);
    }

    #[test]
    fn keys_that_only_a_newer_version_has_are_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("numbers.json");
        let mut newer =
            serde_json::to_value(Numbers { generation: 7, ..Numbers::default() }).unwrap();
        newer["nodes"] = serde_json::json!([{"name": "other"}]);
        newer["assignments"]["zones"] = serde_json::json!(3);
        fs::write(&file, newer.to_string()).unwrap();
        assert_eq!(keep_aside::<Numbers>(&file), None);
        let read: Numbers = super::super::read(&file).unwrap();
        assert_eq!(read, Numbers { generation: 7, ..Numbers::default() });
    }
}
