//! Pools that remember their clients: a new connection goes to the backend of the client's earlier ones,
//! until the client was away for the pool's time, as long as that backend takes it.
//!
//! A client has two stages, as a flow has: any host can send first packets, and a flood of them pushes out
//! nothing but clients of which no second packet came.

use super::{Answer, Choice, Family, Question, Tables, turn};
use crate::client::{Client, ClientKey, Persistence};
use crate::flow::{Flow, Stage};

/// What happens to what is known of a client: numbers, since it may be a subprogram's argument.
pub mod occasion {
    /// It opens a connection: which backend serves it, 0: it is not known, or its backend takes none. Whether
    /// that has room is not asked here: a subprogram that calls others lies too deep on the stack.
    pub const OPENS: u32 = 0;
    /// The first packet of a connection went to a backend.
    pub const FIRST: u32 = 1;
    /// The second packet did.
    pub const SECOND: u32 = 2;
    /// A later packet went to a backend: the client was not away. It may have more recent connections at another
    /// backend; only where nothing is known of it, it is remembered with this one.
    pub const LATER: u32 = 3;
}

/// Does what an [`occasion`] asks for. Id of the backend that serves the client, where that is asked for.
#[inline(always)]
pub fn client<F: Family, T: Tables>(
    tables: &T,
    question: &Question<F::FlowKey>,
    occasion: u32,
    backend: u16,
) -> u16 {
    let choice = Choice::<F, T>::new(tables, question);
    let key = F::client_key(&question.tuple, choice.listener().pool, choice.persistence());
    if occasion == occasion::OPENS {
        return choice.served(&key);
    }
    let known = choice.backend_of_client(Stage::Live, &key);
    // Who is known keeps one place, by whatever packet: nothing is pushed out for that.
    let stage =
        if occasion == occasion::FIRST && known == 0 { Stage::Opening } else { Stage::Live };
    let moves = occasion == occasion::SECOND || occasion == occasion::LATER && known == 0;
    // By now its next connection may have gone elsewhere, since this backend takes none any more.
    if known == backend || occasion == occasion::FIRST || moves && choice.takes_new(backend) {
        choice.note_client(stage, &key, backend);
    }
    0
}

impl<F: Family, T: Tables> Choice<'_, F, T> {
    /// Who gets a new connection, in a pool that records every one.
    #[inline(always)]
    pub(super) fn next(&self) -> Answer {
        let served = self.client(occasion::OPENS, 0);
        turn::next(self.tables, self.listener(), self.now, served)
    }

    /// A packet of a flow came. One that opened before its listener went to this pool is with a backend of another.
    #[inline(always)]
    pub(super) fn came(&self, occasion: u32, flow: Flow) {
        if flow.pool == self.listener().pool {
            self.client(occasion, flow.backend);
        }
    }

    /// As [`client`], where the pool remembers clients.
    #[inline(always)]
    fn client(&self, occasion: u32, backend: u16) -> u16 {
        if self.persistence().is_on() {
            self.tables.client_at::<F>(self.question, occasion, backend)
        } else {
            0
        }
    }

    /// Id of the backend of the client's earlier connections, if it takes new ones; 0: there is none.
    #[inline(always)]
    fn served(&self, key: &ClientKey) -> u16 {
        for stage in [Stage::Live, Stage::Opening] {
            let backend = self.backend_of_client(stage, key);
            if self.takes_new(backend) {
                return backend;
            }
        }
        0
    }

    /// Id of the backend that the client is remembered with, 0: with none.
    #[inline(always)]
    fn backend_of_client(&self, stage: Stage, key: &ClientKey) -> u16 {
        let (pool, persistence) = (self.listener().pool, self.persistence());
        let found = self.tables.client(stage, key);
        found
            .filter(|client| client.is_known(pool, persistence, self.now))
            .map_or(0, |client| client.backend)
    }

    #[inline(always)]
    fn note_client(&self, stage: Stage, key: &ClientKey, backend: u16) {
        let client = Client { backend, pool: self.listener().pool, seen: self.now };
        self.tables.note_client(stage, key, client);
    }

    #[inline(always)]
    fn persistence(&self) -> Persistence {
        self.pool().persistence
    }
}
