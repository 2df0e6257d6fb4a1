//! The status on its way to who asked, in parts that take little time each: however much there is, neither
//! the agent's loop waits for it nor is all of it ever in memory.

use std::any::Any;

use serde::Serialize;

use crate::api::shape::status::{
    Agent, ListenerStatus, LoadBalancerStatus, MemberStatus, PoolStatus, Reason, StatusRequest,
};

/// Which part of a status is asked for.
#[derive(Debug)]
pub enum PartRequest {
    /// The first.
    First(StatusRequest),
    /// The one that follows.
    Next(Underway),
}

/// How far a status is. Only who makes it looks inside.
#[derive(Debug)]
pub struct Underway(Box<dyn Any + Send>);

impl Underway {
    /// So far.
    pub fn new(state: impl Any + Send) -> Self {
        Self(Box::new(state))
    }

    /// The state, if it is of this type.
    pub fn state<T: Any>(self) -> Option<T> {
        self.0.downcast().ok().map(|state| *state)
    }
}

/// A part of a status, in the order in which they come: pools, each with its members; load balancers, each
/// with its listeners; the rest.
#[derive(Debug)]
pub enum Part {
    /// Nothing: it took time all the same.
    Nothing,
    /// A pool with its first members; more may follow.
    Pool(Box<PoolStatus>),
    /// Members of the pool.
    Members(Vec<MemberStatus>),
    /// A load balancer, whose listeners follow.
    Balancer(LoadBalancerStatus),
    /// Listeners of the load balancer.
    Listeners(Vec<ListenerStatus>),
    /// The last part.
    End(Box<Agent>, Vec<Reason>),
}

/// Writes parts as the JSON of a [`crate::api::shape::status::Status`].
#[derive(Debug, Default)]
pub struct Encoder {
    section: Section,
    /// Something of which more may follow is open: a pool or a load balancer.
    is_open: bool,
    /// The section, or what is open, has something in it already.
    needs_comma: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    #[default]
    Start,
    Pools,
    Balancers,
    End,
}

impl Encoder {
    /// The text of the next part.
    ///
    /// # Errors
    /// None of these types has a value that JSON cannot write.
    pub fn encode(&mut self, part: Part) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::new();
        match part {
            Part::Nothing => {}
            Part::Pool(pool) => {
                self.open(&mut out, Section::Pools, &pool)?;
                self.needs_comma = !pool.members.is_empty();
            }
            Part::Balancer(lb) => self.open(&mut out, Section::Balancers, &lb)?,
            Part::Members(members) => self.add(&mut out, &members)?,
            Part::Listeners(listeners) => self.add(&mut out, &listeners)?,
            Part::End(agent, reasons) => {
                self.enter(&mut out, Section::End);
                out.extend(b"\"agent\":");
                serde_json::to_writer(&mut out, &agent)?;
                out.extend(b",\"not_forwarded\":");
                serde_json::to_writer(&mut out, &reasons)?;
                out.push(b'}');
            }
        }
        Ok(out)
    }

    /// Begins an object whose last field is a list that may go on.
    fn open(
        &mut self,
        out: &mut Vec<u8>,
        section: Section,
        object: &impl Serialize,
    ) -> serde_json::Result<()> {
        self.enter(out, section);
        self.close(out);
        self.comma(out);
        serde_json::to_writer(&mut *out, object)?;
        debug_assert!(out.ends_with(b"]}"), "the list is the last field");
        out.truncate(out.len().saturating_sub(b"]}".len()));
        (self.is_open, self.needs_comma) = (true, false);
        Ok(())
    }

    fn add(&mut self, out: &mut Vec<u8>, items: &[impl Serialize]) -> serde_json::Result<()> {
        for item in items {
            self.comma(out);
            serde_json::to_writer(&mut *out, item)?;
            self.needs_comma = true;
        }
        Ok(())
    }

    fn comma(&self, out: &mut Vec<u8>) {
        if self.needs_comma {
            out.push(b',');
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.is_open {
            out.extend(b"]}");
            (self.is_open, self.needs_comma) = (false, true);
        }
    }

    /// Ends the sections before this one, and begins it.
    fn enter(&mut self, out: &mut Vec<u8>, section: Section) {
        while self.section < section {
            self.close(out);
            let (next, text) = match self.section {
                Section::Start => (Section::Pools, "{\"pools\":["),
                Section::Pools => (Section::Balancers, "],\"load_balancers\":["),
                Section::Balancers | Section::End => (Section::End, "],"),
            };
            out.extend(text.as_bytes());
            (self.section, self.needs_comma) = (next, false);
        }
    }
}

#[cfg(test)]
mod tests;
