//! `bench`: what a packet costs, against a floor.

use std::path::PathBuf;

use anyhow::Result;

use crate::hand_over;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer rounds: the whole ends within two minutes
    #[arg(long)]
    quick: bool,
    /// Also write the results as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut arguments = Vec::from_iter(options.quick.then(|| "--quick".into()));
    if let Some(file) = &options.json {
        arguments.extend(["--json".into(), file.into()]);
    }
    hand_over::to("bench", &arguments)
}
