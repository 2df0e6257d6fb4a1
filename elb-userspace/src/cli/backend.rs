//! placeholder until the module arrives
#[derive(Debug, clap::Subcommand)]
pub(super) enum BackendCommand {}
pub(super) fn run(command: BackendCommand) -> anyhow::Result<std::process::ExitCode> {
    match command {}
}
