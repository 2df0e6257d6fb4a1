//! `demo`: elb at work in network namespaces.

use anyhow::Result;

use crate::hand_over;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave everything running, to look at, until Ctrl-C
    #[arg(long)]
    hold: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let hold = options.hold.then(|| "--hold".into());
    hand_over::to(&hand_over::DEMO, &Vec::from_iter(hold))
}
