//! The token that clients show.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::source::file::read_bounded;

/// A secret text. It is not shown in any log.
pub(super) struct Token(Vec<u8>);

impl Token {
    /// Reads it; white space around it does not count.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = read_bounded(path)
            .with_context(|| format!("cannot read bearer_token_file {}", path.display()))?;
        let token = text.trim();
        let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(
            is_one,
            "bearer_token_file {} holds no token: write one line of letters and digits to it, as `openssl rand \
             -hex 32` makes",
            path.display()
        );
        Ok(Self(token.as_bytes().to_owned()))
    }

    /// Whether an `Authorization` header shows it. It takes as long for a wrong one of the same length.
    pub(super) fn is_shown(&self, header: Option<&[u8]>) -> bool {
        let Some((scheme, shown)) = header.and_then(|header| header.split_at_checked(7)) else {
            return false;
        };
        let differs = self.0.iter().zip(shown).fold(0, |all, (a, b)| all | (a ^ b));
        scheme.eq_ignore_ascii_case(b"Bearer ") && shown.len() == self.0.len() && differs == 0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_the_token_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "s3cret\n").unwrap();
        let token = Token::read(&path).unwrap();
        assert!(token.is_shown(Some(b"Bearer s3cret")) && token.is_shown(Some(b"bearer s3cret")));
        for wrong in
            [&b"Bearer s3cre"[..], b"Bearer s3crets", b"Basic s3cret", b"s3cret", b"", b"Bearer "]
        {
            assert!(!token.is_shown(Some(wrong)), "{wrong:?}");
        }
        assert!(!token.is_shown(None));
        fs::write(&path, " \n").unwrap();
        assert!(Token::read(&path).is_err());
    }
}
