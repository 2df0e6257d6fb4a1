//! One machine, from its start to its end: it is given a plan, and reports how each step ended.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Deserializer, Value, json};

use super::emulator::Emulator;
use super::initramfs::Initramfs;
use super::kernel::Kernel;
use super::programs::{PLACE, Programs, SYSTEM_PLACE, bpf_place};
use crate::process;
use crate::workspace::BPF_DIR_VARIABLE;

/// Seconds that a machine may run, by our clock.
const LIMIT: u32 = 1800;

/// Processors without features that cost much to emulate; a card, which needs no ROM as nothing
/// boots from it; the same randomness at every start.
const MACHINE: [&str; 16] = [
    "-accel",
    "tcg",
    "-cpu",
    "qemu64",
    "-m",
    "2048",
    "-seed",
    "1",
    "-nodefaults",
    "-device",
    "vmxnet3,romfile=",
    "-no-reboot",
    "-display",
    "none",
    "-serial",
    "stdio",
];
/// The clock counts instructions, one a nanosecond.
const COUNTING: [&str; 2] = ["-icount", "shift=0,sleep=off"];
/// A kernel that panics ends the machine; messages that are no emergency stay out of tests' output.
const KERNEL_OPTIONS: &str = "console=ttyS0 panic=-1 loglevel=1 nokaslr";

/// The second serial port: nothing but what is reported is written to it.
pub(crate) const REPORT_PORT: &str = "/dev/ttyS1";

/// A program of ours to run in a machine.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<&'static str>,
}

/// What a machine reported.
pub(crate) struct Report {
    values: Vec<Value>,
}

impl Report {
    /// The version of its kernel, in its own words.
    pub(crate) fn kernel(&self) -> &str {
        self.values.iter().find_map(|value| value["kernel"].as_str()).unwrap_or("?")
    }

    /// What steps reported themselves.
    pub(crate) fn figures(&self) -> impl Iterator<Item = &Value> {
        self.values.iter().filter_map(Value::as_array).flatten()
    }

    fn ensure_ok(&self, steps: &[Step]) -> Result<()> {
        for Step { name, .. } in steps {
            let output = self.values.iter().find(|value| value["step"] == **name);
            let output =
                output.with_context(|| format!("it ended before the step \"{name}\" did"))?;
            ensure!(output["ok"] == true, "the step \"{name}\" failed");
        }
        Ok(())
    }
}

/// What to run in a machine.
pub(crate) struct Plan {
    /// With one, the clock counts instructions. With more it is that of the host: by the other, kernel
    /// 6.1 waits forever for its second processor.
    pub(crate) processors: u32,
    pub(crate) steps: Vec<Step>,
}

/// Runs all steps, and fails if one failed or the machine did not come to its end.
pub(super) fn run(
    emulator: &Emulator,
    kernel: &Kernel,
    programs: &Programs,
    plan: &Plan,
    folder: &Path,
    mut say: impl FnMut(&str),
) -> Result<Report> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (archive, output) = (folder.join("initramfs"), folder.join("report"));
    // What another machine reported must not pass for this one's.
    fs::write(&output, "").with_context(|| format!("cannot write {}", output.display()))?;
    write_initramfs(&archive, kernel, programs, &plan.steps)?;
    let mut command = emulator.command(LIMIT)?;
    command
        .args(MACHINE)
        .args(["-smp", &plan.processors.to_string()])
        .args(if plan.processors == 1 { &COUNTING[..] } else { &[] })
        .arg("-serial")
        .arg(format!("file:{}", output.display()))
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&archive)
        .args(["-append", KERNEL_OPTIONS])
        .stdin(Stdio::null());
    let ended = process::run_lines(&mut command, |line| say(line.trim_end()));
    let report = parse(&fs::read_to_string(&output)?)?;
    ended.and_then(|()| report.ensure_ok(&plan.steps))?;
    Ok(report)
}

fn write_initramfs(
    file: &Path,
    kernel: &Kernel,
    programs: &Programs,
    steps: &[Step],
) -> Result<()> {
    let mut initramfs = Initramfs::create(file)?;
    programs.add_to(&mut initramfs)?;
    let mut modules = Vec::new();
    for module in &kernel.modules {
        let name = module.file_name().context("a module without a name")?.to_string_lossy();
        let place = format!("/modules/{name}");
        initramfs.add_file(&place, module)?;
        modules.push(place);
    }
    initramfs.add("/plan.json", written(&modules, steps).to_string().as_bytes())?;
    initramfs.finish()
}

/// A plan as the program `guest` of the tests reads it.
fn written(modules: &[String], steps: &[Step]) -> Value {
    let step = |step: &Step| {
        json!({
            "name": step.name,
            "program": format!("{PLACE}/{}", step.program),
            "arguments": step.arguments,
        })
    };
    json!({
        "modules": modules,
        "environment": {
            "PATH": SYSTEM_PLACE,
            "ELB_BIN": format!("{PLACE}/elb"),
            BPF_DIR_VARIABLE: bpf_place(),
            "ELB_HOSTILE_PACKETS": "20000",
        },
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn parse(output: &str) -> Result<Report> {
    let values: Result<_, _> = Deserializer::from_str(output).into_iter().collect();
    Ok(Report { values: values.with_context(|| format!("it reported what is no JSON: {output}"))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 2] = [
        Step { name: "runs", program: "program", arguments: Vec::new() },
        Step { name: "l2", program: "lab", arguments: Vec::new() },
    ];

    fn fault(output: &str) -> String {
        parse(output).and_then(|report| report.ensure_ok(&STEPS)).unwrap_err().to_string()
    }

    #[test]
    fn only_steps_that_are_reported_well_are_well() {
        let runs = r#"{"step":"runs","ok":true,"seconds":1.5}"#;
        let l2 = r#"{"step":"l2","ok":true,"seconds":1.5}"#;
        let both = format!("{{\"kernel\":\"6.1\"}}\n{runs}\n{l2}\n");
        let report = parse(&both).unwrap();
        report.ensure_ok(&STEPS).unwrap();
        assert_eq!(report.kernel(), "6.1");
        assert_eq!(fault(""), "it ended before the step \"runs\" did");
        assert_eq!(fault(runs), "it ended before the step \"l2\" did");
        assert_eq!(fault(&both.replace("true", "false")), "the step \"runs\" failed");
        assert!(fault(&both[..both.len() - 5]).starts_with("it reported what is no JSON"));
    }

    #[test]
    fn figures_are_distinguished_from_steps() {
        let report = parse("[{\"case\":\"a\"},{\"case\":\"b\"}]\n{\"step\":\"l2\"}").unwrap();
        let cases: Vec<_> = report.figures().map(|figure| &figure["case"]).collect();
        assert_eq!(cases, ["a", "b"]);
    }
}
