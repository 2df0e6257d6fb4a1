//! The command line with its help texts as paragraphs, which a terminal of any width wraps by itself.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The command line.
pub(super) fn command() -> Command {
    with_paragraphs(Cli::command())
}

fn with_paragraphs(mut command: Command) -> Command {
    if let Some(text) = command.get_after_help().map(ToString::to_string) {
        command = command.after_help(paragraphs(&text));
    }
    command.mut_subcommands(with_paragraphs)
}

/// Joins the lines of each paragraph. Lines that begin with a space, such as examples, stay.
fn paragraphs(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut is_open = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        let between = if is_open && is_prose { " " } else { "\n" };
        if !joined.is_empty() {
            joined += between;
        }
        joined += line;
        is_open = is_prose;
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_joined_and_examples_are_not() {
        let text = "One\ntwo.\n\nThree:\n  four\n  five\nSix,\nseven.";
        assert_eq!(paragraphs(text), "One two.\n\nThree:\n  four\n  five\nSix, seven.");
    }

    /// A line of prose ends where the next word would not fit.
    fn is_filled(help: &str, width: usize) -> bool {
        let lines: Vec<&str> = help.lines().collect();
        lines.windows(2).all(|pair| {
            let [line, next] = pair else { return true };
            let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
            let word = next.split(' ').next().unwrap_or_default();
            !is_prose(line)
                || !is_prose(next)
                || line.chars().count() + 1 + word.chars().count() > width
        })
    }

    fn each(command: Command, width: usize) {
        let mut command = command.term_width(width);
        let help = command.render_long_help().to_string();
        let options = help.rfind("Print help").unwrap_or_default();
        assert!(is_filled(&help[options..], width), "{}:\n{help}", command.get_name());
        for below in command.get_subcommands() {
            each(below.clone(), width);
        }
    }

    #[test]
    fn help_fills_a_terminal_of_any_width() {
        for width in [60, 80, 100] {
            each(command(), width);
        }
    }
}
