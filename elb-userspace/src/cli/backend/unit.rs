//! The systemd unit that repeats `elb backend up` at every boot.

use std::ffi::OsString;

use anyhow::{Context as _, Result};

/// The unit for a command line that has `--print-unit`.
///
/// # Errors
/// A word is no text, or the program is not found.
pub(super) fn of(arguments: impl IntoIterator<Item = OsString>) -> Result<String> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let program = program.to_str().context("the program's path is no text")?.to_owned();
    let mut words = Vec::new();
    for word in arguments.into_iter().skip(1) {
        let word = word.into_string().ok().context("an argument is no text")?;
        if word != "--print-unit" {
            words.push(word);
        }
    }
    Ok(text(&program, &words))
}

fn text(program: &str, words: &[String]) -> String {
    let program = quoted(program);
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let place: Vec<String> = words
        .iter()
        .zip(words.iter().skip(1))
        .filter(|(option, _)| ["--pin-dir", "--state-dir"].contains(&option.as_str()))
        .map(|(option, value)| format!(" {option} {value}"))
        .collect();
    format!(
        "[Unit]\n\
         Description=elb: virtual addresses of this backend server\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={program} {}\n\
         ExecStop={program} backend down --all{}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        words.join(" "),
        place.concat()
    )
}

/// A word as systemd reads it back (systemd.service(5), “Command lines”).
fn quoted(word: &str) -> String {
    let doubled = word.replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,%+".contains(c);
    if doubled.chars().all(plain) {
        return doubled;
    }
    format!("\"{}\"", doubled.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_repeats_the_command_and_undoes_it() {
        let words =
            "backend up --vip 192.0.2.10 --mode ipip --from 10.0.0.2 --pin-dir /sys/fs/bpf/x";
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let unit = text("/usr/bin/elb", &words);
        let start = "ExecStart=/usr/bin/elb backend up --vip 192.0.2.10 --mode ipip --from 10.0.0.2 \
                     --pin-dir /sys/fs/bpf/x\n";
        assert!(unit.contains(start), "{unit}");
        let stop = "ExecStop=/usr/bin/elb backend down --all --pin-dir /sys/fs/bpf/x\n";
        assert!(unit.contains(stop), "{unit}");
        assert!(unit.contains("Type=oneshot\nRemainAfterExit=yes\n"), "{unit}");
    }

    #[test]
    fn words_come_back_as_they_were() {
        assert_eq!(quoted("/opt/my elb/100%/$x\"y"), "\"/opt/my elb/100%%/$$x\\\"y\"");
        assert_eq!(quoted("fd00::/64"), "fd00::/64");
    }
}
