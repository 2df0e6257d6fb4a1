//! How a command says why it failed: a line on standard error, with `-o json` an object. Standard output
//! has nothing but what its schema describes.

use clap::ArgMatches;

use super::Output;
use super::written::Written;
use crate::agent::logging::say;
use crate::api::shape::error::Error;

/// Bytes of a line that standard error takes at once.
const MOST: usize = 4000;

/// How the command is to write its output.
pub(super) fn output_of(matches: &ArgMatches) -> Output {
    let own = matches.try_get_one("output").ok().flatten().copied();
    let written: Option<Written> = matches.try_get_one("output").ok().flatten().copied();
    let own = own.or_else(|| written.map(Written::of_errors));
    let below = || matches.subcommand().map(|(_, matches)| output_of(matches));
    own.or_else(below).unwrap_or_default()
}

/// Says why a command failed.
pub(super) fn report(error: &anyhow::Error, output: Output) {
    match output {
        Output::Table => say(&format!("elb: {error:#}")),
        Output::Json => say(&json(Error::of(error))),
    }
}

/// One line, shortened where it is longer than [`MOST`].
fn json(mut error: Error) -> String {
    loop {
        let line = serde_json::to_string(&error).unwrap_or_default();
        if line.len() <= MOST {
            return line;
        }
        let beyond = (line.len() - MOST).max(8);
        let end = error.message.len().saturating_sub(beyond);
        error.message.truncate(error.message.floor_char_boundary(end));
        error.message.push('…');
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::api::shape::error::ErrorCode;
    use crate::cli::Cli;

    #[test]
    fn the_command_says_how_to_write() {
        let output = |words: &str| {
            let words = format!("elb {words}");
            output_of(&Cli::command().try_get_matches_from(words.split_whitespace()).unwrap())
        };
        assert_eq!(output("status -o json"), Output::Json);
        assert_eq!(output("backend status --output json"), Output::Json);
        assert_eq!(output("status"), Output::Table);
        assert_eq!(output("agent"), Output::Table);
    }

    #[test]
    fn a_long_message_stays_an_object_on_one_line() {
        for message in ["é\n".repeat(9000), "\u{1}".repeat(9000), "short".to_owned()] {
            let line = json(Error::new(ErrorCode::Busy, message.clone()));
            assert!(line.len() <= MOST && !line.contains('\n'), "{} bytes", line.len());
            let read: Error = serde_json::from_str(&line).unwrap();
            let begins = message.starts_with(read.message.trim_end_matches('…'));
            assert!(begins && !read.message.is_empty(), "{line}");
        }
    }
}
