//! The project's chores: `cargo xtask <verb>`.

mod artifact;
mod bench;
mod bpf;
mod build;
mod build_ebpf;
mod ci;
mod demo;
mod docs;
mod expected;
mod fuzz;
mod guest;
mod hand_over;
mod insns;
mod kernels;
mod lab_programs;
mod package;
mod paths;
mod portable;
mod privilege;
mod process;
mod setup;
mod stages;
mod tally;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets up, builds, tests and shows elb.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = include_str!("examples.txt"))]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Find or install all that builds and tests need; a second run changes nothing
    Setup,
    /// Build the BPF programs into the folder `bpf` of the target folder
    BuildEbpf(build_ebpf::Options),
    /// Build the `elb` binary for use, BPF programs included
    Build,
    /// Run every test: host, then, as root, program runs and network labs
    Test(test::Options),
    /// Let hostile input meet what reads packets, files, replies and requests
    Fuzz(fuzz::Options),
    /// Build elb and show it at work in network namespaces on this machine (root)
    Demo(demo::Options),
    /// Measure what a packet costs, as a ratio to a floor in the same run (root)
    Bench(bench::Options),
    /// Write the documents that are generated from the code: docs/configuration.md
    Docs,
    /// Make packages to install: .deb, .rpm, an archive, a container image, checksums and a list of components
    Package(package::Options),
    /// Run every check, then every test: what a change must pass (root)
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Setup => setup::run(),
        Verb::BuildEbpf(options) => build_ebpf::run(&options),
        Verb::Build => build::run(),
        Verb::Test(options) => test::run(&options),
        Verb::Fuzz(options) => fuzz::run(&options),
        Verb::Demo(options) => demo::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Docs => docs::run(),
        Verb::Package(options) => package::run(&options),
        Verb::Ci => ci::run(),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
