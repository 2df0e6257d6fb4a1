//! Configurations of keepalived and haproxy, written after their manuals, and what they become here.
//!
//! `ELB_UPDATE=1 cargo test -p elb-userspace --test import` writes the files anew; read the difference.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use elb_userspace::source::file;
use elb_userspace::source::import::{ImportOptions, SyntaxError, Translation, haproxy, keepalived};

type Translate = fn(&str, &str, &ImportOptions) -> Result<Translation, SyntaxError>;

#[test]
fn files_of_keepalived_are_translated() -> Result<()> {
    samples("keepalived", "conf", keepalived::translate)
}

#[test]
fn files_of_haproxy_are_translated() -> Result<()> {
    samples("haproxy", "cfg", haproxy::translate)
}

/// Every sample becomes a valid file, and the one that is kept next to it.
fn samples(folder: &str, extension: &str, translate: Translate) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(folder);
    let options = ImportOptions {
        vips: vec!["192.0.2.200".parse()?, "2001:db8::200".parse()?],
        ..ImportOptions::default()
    };
    let mut found = 0;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|found| found != extension) {
            continue;
        }
        found += 1;
        let name = path.file_name().and_then(|name| name.to_str()).context("no name")?;
        let text = fs::read_to_string(&path)?;
        let translated = translate(name, &text, &options)?.to_string();
        let expected = path.with_extension("toml");
        if std::env::var_os("ELB_UPDATE").is_some_and(|set| set == "1") {
            fs::write(&expected, &translated)?;
        }
        assert_eq!(translated, fs::read_to_string(&expected).unwrap_or_default(), "{name}");
        file::parse(name, &translated).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    }
    assert_eq!(found, 10, "{}", folder.display());
    Ok(())
}
