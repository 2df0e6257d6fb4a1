//! Checks by real commands.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::health::spec::MemberNames;
use crate::model::command::CommandCheck;

const TARGET: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 11)), 5432);

/// A probe by a shell script, as the user of this test.
fn script(text: &str, arguments: &[&str]) -> ProbeSpec {
    of(["/bin/sh", "-c", text, "check"].iter().chain(arguments))
}

fn of<'a>(words: impl IntoIterator<Item = &'a &'a str>) -> ProbeSpec {
    let command = words.into_iter().map(|word| (*word).to_owned()).collect();
    let user = rustix::process::geteuid().as_raw().to_string().parse().unwrap();
    let names = MemberNames { pool: "db".to_owned(), member: "db 1".to_owned() };
    let check = HealthCheck::Command(CommandCheck { command, user });
    ProbeSpec { names: Some(names), ..spec(TARGET, check) }
}

fn exit(status: i32, said: &str) -> Result<(), Failure> {
    Err(Cause::CommandExit { status, said: said.to_owned() }.into())
}

#[tokio::test]
async fn the_exit_status_is_the_verdict() {
    assert_eq!(run(script("echo well", &[])).await.result, Ok(()));
    let said = "printf '\\n no primary \\nmore\\n' >&2; exit 3";
    assert_eq!(run(script(said, &[])).await.result, exit(3, "no primary"));
    assert_eq!(run(script("exit 1", &[])).await.result, exit(1, ""));
    let signal = Cause::CommandSignal { signal: 15, said: "bye".to_owned() };
    assert_eq!(run(script("echo bye; kill $$", &[])).await.result, Err(signal.into()));
}

#[tokio::test]
async fn arguments_and_environment_are_exactly_these() {
    let text = r#"test "$#" = 2 && test "$1" = 'a b' && test "$2" = '$HOME;' || exit 9
        env | grep -v '^\(PWD\|SHLVL\|_\|OLDPWD\)=' | sort | tr '\n' ' '; exit 1"#;
    let expected = "ELB_MEMBER_ADDRESS=10.0.0.11 ELB_MEMBER_NAME=db 1 ELB_MEMBER_PORT=5432 ELB_POOL=db \
                    ELB_TIMEOUT=20";
    let arguments = ["a b", "$HOME;"];
    // Environment of `sh` itself, and the tools that it finds by its own default path.
    assert_eq!(run(script(text, &arguments)).await.result, exit(1, expected));
}

/// The shell opens nothing while it looks: descriptors 0, 1 and 2 are all that it was given.
#[tokio::test]
async fn it_has_no_descriptors_of_the_agent_and_gains_no_privileges() {
    let text = r#"n=0; while [ $n -lt 2000 ]; do [ -e /proc/$$/fd/$n ] && open="$open$n "; n=$((n + 1)); done
        while read -r key value; do [ "$key" = NoNewPrivs: ] && break; done < /proc/$$/status
        echo "$open$key $value"; exit 1"#;
    let kept = fs::File::open("/proc/self/status").unwrap();
    rustix::io::fcntl_setfd(&kept, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(run(script(text, &[])).await.result, exit(1, "0 1 2 NoNewPrivs: 1"));
}

/// A command that hangs is ended in time with what it started, and its first words are kept.
#[tokio::test]
async fn a_hanging_command_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let text = format!("sleep 1000 & echo $! > {}; echo asking; wait", file.display());
    let begun = Instant::now();
    let timeout = Duration::from_millis(500);
    let outcome = run(ProbeSpec { timeout, ..script(&text, &[]) }).await;
    let killed = Cause::CommandTimeout { said: "asking".to_owned() };
    assert_eq!(outcome.result, Err(killed.into()));
    assert!(outcome.duration >= timeout && begun.elapsed() < LONG);
    let child: PathBuf = format!("/proc/{}/stat", fs::read_to_string(&file).unwrap().trim()).into();
    let is_gone = || !fs::read_to_string(&child).is_ok_and(|stat| !stat.contains(") Z "));
    while !is_gone() {
        assert!(begun.elapsed() < LONG, "{}", child.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_it_leaves_behind_is_ended_and_waits_for_nothing() {
    let begun = Instant::now();
    assert_eq!(run(script("sleep 1000 & exit 0", &[])).await.result, Ok(()));
    assert!(begun.elapsed() < LONG);
}

#[tokio::test]
async fn output_is_bounded() {
    let much = "head -c 900000 /dev/zero | tr '\\0' a; exit 0";
    assert_eq!(run(script(much, &[])).await.result, Ok(()));
    let what = "1024 KiB of output of the command".to_owned();
    assert_eq!(run(script("yes", &[])).await.result, Err(Cause::TooMuch { what }.into()));
}

#[tokio::test]
async fn what_cannot_be_run_is_this_hosts_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("check");
    let program = path.to_str().unwrap();
    let why = async || match run(of(&[program])).await.result {
        Err(Failure { cause: Cause::NoCommand { error } }) => error,
        other => panic!("{other:?}"),
    };
    assert!(why().await.contains("no such file or directory"), "{}", why().await);
    fs::write(&path, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    assert!(why().await.contains("interpreter (#!) is missing"), "{}", why().await);
    assert!(Cause::NoCommand { error: why().await }.is_local());
}

/// More than may run at once, each for longer than the others wait: these say nothing of their members.
#[tokio::test]
async fn commands_wait_for_each_other_and_say_so() {
    let timeout = Duration::from_millis(700);
    let probes = (0..80).map(|_| run(ProbeSpec { timeout, ..script("sleep 1000", &[]) }));
    let outcomes = join_all(probes).await;
    let waited = outcomes.iter().filter(|outcome| {
        matches!(&outcome.result, Err(failure) if failure.cause.is_local()
            && failure.to_string().contains("32 commands run already"))
    });
    let (waited, all) = (waited.count(), outcomes.len());
    assert!((1..=all - 32).contains(&waited), "{waited} of {all}");
    assert_eq!(run(script("exit 0", &[])).await.result, Ok(()), "room again");
}
