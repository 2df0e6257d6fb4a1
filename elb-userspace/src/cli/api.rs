//! `elb api`: what the API is, without an agent.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use super::yaml::yaml;
use super::{print_json, print_text};
use crate::api::v3::openapi::openapi_document;

#[derive(Debug, Subcommand)]
pub(super) enum ApiCommand {
    /// Print the API as an OpenAPI 3.1 document, as agents of this version serve it.
    #[command(after_help = "\
It is made of the table by which an agent routes and validates requests. Operations with x-elb-supported: false are
refused with ELB.8903. An agent with [api] serves it at /docs/openapi.json, with a page to read it at /docs/.

Examples:
  elb api openapi > openapi.json
  elb api openapi -o yaml | less")]
    Openapi(OpenapiArgs),
}

#[derive(Debug, Args)]
pub(super) struct OpenapiArgs {
    /// How it is written.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// How the document is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Form {
    #[default]
    Json,
    Yaml,
}

pub(super) fn run(command: &ApiCommand) -> Result<ExitCode> {
    let ApiCommand::Openapi(OpenapiArgs { output }) = command;
    let document = openapi_document();
    match output {
        Form::Json => print_json(&document)?,
        Form::Yaml => print_text(&yaml(&document))?,
    }
    Ok(ExitCode::SUCCESS)
}
