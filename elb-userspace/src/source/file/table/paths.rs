//! Keys that are paths of files.

use std::path::PathBuf;

use super::Table;

const RULE: &str = "an absolute path, which starts with /";

impl Table<'_> {
    /// An absolute path, if there is one.
    pub(in crate::source) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(key, RULE)?);
        Some(self.absolute(key, path))
    }

    /// An absolute path.
    pub(in crate::source) fn path_or(
        &mut self,
        key: &'static str,
        default: &'static str,
    ) -> PathBuf {
        let path = PathBuf::from(self.text_or(key, RULE, default));
        self.absolute(key, path)
    }

    /// The certificate and the key of a TLS server, of which one is of no use without the other.
    pub(in crate::source) fn certificate_and_key(&mut self) -> (Option<PathBuf>, Option<PathBuf>) {
        const KEYS: [&str; 2] = ["tls_certificate", "tls_key"];
        let paths = (self.path(KEYS[0]), self.path(KEYS[1]));
        for (one, other) in [(KEYS[0], KEYS[1]), (KEYS[1], KEYS[0])] {
            if self.has(one) && !self.has(other) {
                let what = format!("{one} is of no use without {other}");
                self.wrong(one, what, format!("set {other}, too"));
            }
        }
        paths
    }

    fn absolute(&mut self, key: &'static str, path: PathBuf) -> PathBuf {
        if !path.is_absolute() {
            let what = format!("{key} \"{}\" is not an absolute path", path.display());
            self.wrong(key, what, format!("use {RULE}"));
        }
        path
    }
}
