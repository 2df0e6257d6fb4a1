//! A served pool of which no member takes new connections any more: one line in the log when that begins, with
//! the reasons, and one when it ends, whatever it comes from.

use anyhow::Result;
use elb_tests::wait::wait_for;

use crate::served::{LIMIT, Served};

const BEGINS: &str = "no member takes new connections";
const ENDS: &str = "members take new connections again";

impl Served {
    /// The lines of the log that say this of a pool.
    fn lines(&self, what: &str, pool: &str) -> Vec<String> {
        let pool = format!("pool=\"{pool}\"");
        let log = self.agent.log();
        let is_one = |line: &&str| line.contains(what) && line.contains(&pool);
        log.lines().filter(is_one).map(str::to_owned).collect()
    }

    /// Waits for that many of these lines, of which the last has these words.
    fn says_once(&self, what: &str, pool: &str, count: usize, words: &str) -> Result<()> {
        let line = wait_for("a line in the log", LIMIT, || {
            Ok(self.lines(what, pool).get(count - 1).cloned())
        })?;
        assert!(line.contains(words), "no {words:?}: {line}");
        assert_eq!(self.lines(what, pool).len(), count, "{:?}", self.lines(what, pool));
        Ok(())
    }
}

#[test]
fn a_pool_without_a_member_that_takes_new_connections_is_said_once() -> Result<()> {
    let mut served = Served::start()?;
    assert_eq!(served.lines(BEGINS, "web"), Vec::<String>::new(), "not while members are INITIAL");

    // By command.
    for member in ["10.0.0.11", "10.0.0.12"] {
        served.agent.run(&["drain", member, "--pool", "web"])?;
    }
    assert_eq!(served.lines(BEGINS, "web").len(), 0, "one is left");
    served.agent.run(&["drain", "10.0.0.13", "--pool", "web"])?;
    served.says_once(BEGINS, "web", 1, "3 drained")?;
    assert!(served.lines(BEGINS, "web")[0].contains("WARN"), "{}", served.lines(BEGINS, "web")[0]);
    served.agent.run(&["drain", "10.0.0.13", "--pool", "web", "--cancel"])?;
    served.says_once(ENDS, "web", 1, "taking=1")?;
    assert_eq!(served.lines(BEGINS, "echo").len(), 0);

    // By the routes of the host.
    let lb = served.lab.lb();
    lb.ip("route flush table main")?;
    served.says_once(BEGINS, "web", 2, "1 without a next hop (there is no route to 10.0.0.13")?;
    served.says_once(BEGINS, "echo", 1, "3 without a next hop (there is no route to 10.0.0.11")?;
    lb.ip("route add 10.0.0.0/24 dev lb0")?;
    served.says_once(ENDS, "web", 2, "taking=1")?;
    served.says_once(ENDS, "echo", 1, "taking=")?;

    // By the file, and by health.
    let mut weightless = served.config.clone();
    weightless.pool_mut("echo").members.iter_mut().for_each(|member| member.weight = 0);
    served.agent.reload(&weightless)?;
    served.says_once(BEGINS, "echo", 2, "3 without weight")?;
    served.agent.reload(&served.config.clone())?;
    served.says_once(ENDS, "echo", 2, "taking=3")?;
    served.servers.clear();
    served.says_once(BEGINS, "echo", 3, "3 OFFLINE (")?;
    served.says_once(BEGINS, "web", 3, "1 OFFLINE (")?;
    served.servers = served.lab.serve()?;
    served.says_once(ENDS, "echo", 3, "taking=")?;
    Ok(())
}
