//! The commands of a kind of resource, as clap has them.

use clap::builder::ValueParser;
use clap::{
    Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches, Subcommand, value_parser,
};

use super::completing::names_of;
use super::kind::{AttributeOption, Form, KINDS, ResourceKind, When};
use crate::cli::duration::duration;
use crate::cli::socket::SocketArg;
use crate::cli::written::Written;
use crate::source::store::DocumentKind;

/// A command about resources of the kind with this number in [`KINDS`].
#[derive(Debug)]
pub(in crate::cli) struct ResourceCommand<const KIND: usize>(pub(super) Asked);

/// What was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) verb: String,
    pub(super) matches: ArgMatches,
    pub(super) agent: SocketArg,
}

impl<const KIND: usize> FromArgMatches for ResourceCommand<KIND> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (verb, matches) = matches.subcommand().ok_or_else(missing)?;
        let agent = SocketArg::from_arg_matches(matches)?;
        Ok(Self(Asked { verb: verb.to_owned(), matches: matches.clone(), agent }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<const KIND: usize> Subcommand for ResourceCommand<KIND> {
    fn augment_subcommands(command: Command) -> Command {
        let kind = &KINDS[KIND];
        command.after_help(format!("Examples:\n{}", kind.examples)).subcommands([
            create(kind),
            list(kind),
            show(kind),
            set(kind),
            delete(kind),
        ])
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        ["create", "list", "show", "set", "delete"].contains(&name)
    }
}

const CODES: &str = "\
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 there is no such resource, 4 a conflict: another resource, a
protection or a quota.";

fn verb(kind: &ResourceKind, name: &'static str, about: &str) -> Command {
    // What is said of the arguments of the agent is not said of the command.
    let command = SocketArg::augment_args(Command::new(name)).about(about.to_owned());
    let project = Arg::new("project").long("project").value_name("ID");
    command
        .arg(project.help("Whose resources are meant. Default: the project of the host's keys"))
        .after_help(format!("{CODES}\n\nExamples:\n{}", kind.examples))
}

fn create(kind: &ResourceKind) -> Command {
    let mut command = verb(kind, "create", &format!("Make a {}", kind.noun));
    command = command.arg(if kind.is_named() {
        Arg::new("name").value_name("NAME").required(true).help("Its name")
    } else {
        Arg::new("name").long("name").value_name("NAME").help("Its name")
    });
    let known = "If there is one already, show that, and change nothing";
    let known =
        Arg::new("if-not-exists").long("if-not-exists").action(ArgAction::SetTrue).help(known);
    let command = command.args(kind.options.iter().map(option));
    waiting(written(command.arg(any_attribute()).arg(known)))
}

fn set(kind: &ResourceKind) -> Command {
    let mut command = verb(kind, "set", &format!("Change a {}", kind.noun)).arg(resource(kind));
    command = command.arg(Arg::new("name").long("name").value_name("NAME").help("Its new name"));
    let changed = kind.options.iter().filter(|one| one.when == When::Always).map(option);
    waiting(written(command.args(changed).arg(any_attribute())))
}

fn delete(kind: &ResourceKind) -> Command {
    let command = verb(kind, "delete", &format!("Delete a {}", kind.noun)).arg(resource(kind));
    let known = "If there is none, it is deleted already";
    let known = Arg::new("if-exists").long("if-exists").action(ArgAction::SetTrue).help(known);
    waiting(command.arg(known))
}

fn show(kind: &ResourceKind) -> Command {
    written(verb(kind, "show", &format!("Show a {}", kind.noun)).arg(resource(kind)))
}

fn list(kind: &ResourceKind) -> Command {
    let mut command = verb(kind, "list", &format!("Show each {}", kind.noun));
    if kind.kind == DocumentKind::Member {
        let pool = Arg::new("pool").long("pool").value_name("POOL");
        let pool = pool.add(names_of(DocumentKind::Pool));
        command = command.arg(pool.help("Only those of this pool: its name or id"));
    }
    let filter = Arg::new("filter").long("filter").value_name("KEY=VALUE");
    let filter = filter.action(ArgAction::Append).value_parser(pair);
    let filter =
        filter.help("Only those with this value, by any filter of the API; may be repeated");
    written(command.arg(filter))
}

fn resource(kind: &ResourceKind) -> Arg {
    let help = match kind.kind {
        DocumentKind::Member => "Its name or id, its address, or address and port",
        DocumentKind::HealthMonitor => "Its name or id, or the name of its pool",
        DocumentKind::Listener => "Its name, LB/NAME, or its id",
        DocumentKind::LoadBalancer
        | DocumentKind::Pool
        | DocumentKind::IpGroup
        | DocumentKind::Job
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings => "Its name or id",
    };
    let resource = Arg::new("resource").value_name("RESOURCE").required(true).help(help);
    resource.add(names_of(kind.kind))
}

fn option(option: &AttributeOption) -> Arg {
    let parser: ValueParser = match option.form {
        Form::Number | Form::Drain | Form::Minimum => value_parser!(i64).into(),
        Form::Switch => value_parser!(bool),
        Form::Text | Form::Of(_) | Form::Ports | Form::Networks | Form::Group | Form::GroupType => {
            value_parser!(String)
        }
    };
    let value = match option.form {
        Form::Number | Form::Minimum => "NUMBER",
        Form::Drain => "SECONDS",
        Form::Switch => "true|false",
        Form::Of(_) | Form::Group => "RESOURCE",
        Form::Ports => "PORTS",
        Form::Networks => "NETWORKS",
        Form::Text | Form::GroupType => "VALUE",
    };
    let argument = Arg::new(option.flag)
        .long(option.flag)
        .value_name(value)
        .value_parser(parser)
        .required(option.when == When::Needed)
        .allow_hyphen_values(false)
        .help(option.help);
    let named = match option.form {
        Form::Of(kind) => Some(kind),
        Form::Group => Some(DocumentKind::IpGroup),
        Form::Text
        | Form::Number
        | Form::Switch
        | Form::Ports
        | Form::Networks
        | Form::Drain
        | Form::Minimum
        | Form::GroupType => None,
    };
    match named {
        Some(kind) => argument.add(names_of(kind)),
        None => argument,
    }
}

fn any_attribute() -> Arg {
    Arg::new("attribute")
        .long("attribute")
        .value_name("KEY=JSON")
        .action(ArgAction::Append)
        .value_parser(pair)
        .help("Any attribute of the API, as in description='\"x\"'; may be repeated")
}

/// A key and a value.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} has no =; write KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn written(command: Command) -> Command {
    let output = Arg::new("output").short('o').long("output").default_value("table");
    let output = output.value_parser(value_parser!(Written)).value_name("OUTPUT");
    command.arg(output.help("How to write it"))
}

fn waiting(command: Command) -> Command {
    let wait = Arg::new("wait").short('w').long("wait").action(ArgAction::SetTrue);
    let wait = wait.help("Wait until the data path has it: its load balancers are ACTIVE");
    let timeout = Arg::new("wait-timeout").long("wait-timeout").value_name("TIME").requires("wait");
    let timeout = timeout.value_parser(duration).default_value("60s");
    command.arg(wait).arg(timeout.help("How long to wait at most"))
}
