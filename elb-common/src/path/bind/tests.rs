use std::vec::Vec;

use super::*;
use crate::addr::{Be16, Be32};
use crate::path::Memory;
use crate::pool::Pool;
use crate::snat::{BUCKETS, FIRST_PORT};

const IDLE: u32 = 300;

/// One address, whose flows live for so long.
fn memory() -> Memory {
    let network = Be32::from_raw(u32::from_ne_bytes([10, 0, 0, 16]));
    let mut memory = Memory { now: 10_000, ..Memory::default() };
    memory.snat = Some(Snat { network, addresses: 1, secret: 0x5851_f42d_4c95_7f2d });
    memory.pools.insert(1, Pool { idle_timeout: IDLE, ..Pool::default() });
    memory
}

fn bearer(client: u32, says: u32) -> Bearer {
    let owner = Owner::new(Be32::from_raw(client | 1), Be16::new(client as u16), 9);
    let bit = |bit: u32, flags: u32| if says & bit == 0 { 0 } else { flags };
    let flags = bit(says::OPENS, 0x02)
        | bit(says::CLOSES, 0x01)
        | bit(says::RESETS, 0x04)
        | bit(says::QUOTED, 1 << 9);
    Bearer { owner, backend: 2, pool: 1, flags: if flags == 0 { 0x10 } else { flags } }
}

/// Xorshift (Marsaglia, 2003).
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// How many flows come and go: `ELB_CLAIMS` says it for longer runs.
fn claims() -> u32 {
    std::env::var("ELB_CLAIMS").map_or(100_000, |claims| claims.parse().unwrap())
}

/// Seven of ten ports are in use, and whichever flow goes, another finds a port.
#[test]
fn a_table_that_is_full_by_seven_tenths_refuses_nobody() {
    let memory = memory();
    let room = BUCKETS * WAYS - FIRST_PORT;
    let mut random = 0x2545_f491_4f6c_dd1d;
    let open = |memory: &Memory, client: u32| {
        let number = bound(memory, bearer(client, says::OPENS)).unwrap();
        assert_eq!(number_of(memory, client), Ok(number));
        number
    };
    let mut live: Vec<u32> = (0..room / 10 * 7).map(|n| open(&memory, n * 2)).collect();
    for client in 0..claims() {
        let leaves = next(&mut random) as usize % live.len();
        memory.written.borrow_mut().bindings.remove(&live[leaves]);
        live[leaves] = open(&memory, 0x4000_0000 + client * 2);
    }
    assert_eq!(memory.written.borrow().bindings.len(), live.len());
}

/// A segment of the flow that goes on: its number.
fn number_of(memory: &Memory, client: u32) -> Result<u32, Stop> {
    bound(memory, bearer(client, 0))
}

/// First packets that are forged take the places of each other, and none of a connection.
#[test]
fn forged_first_packets_push_out_no_connection() {
    let mut memory = memory();
    let room = BUCKETS * WAYS - FIRST_PORT;
    let established: Vec<u32> = (0..room / 2).map(|n| n * 2).collect();
    for client in &established {
        bound(&memory, bearer(*client, says::OPENS)).unwrap();
        number_of(&memory, *client).unwrap();
    }
    for forged in 0..claims() {
        // Sixteen seconds' worth.
        memory.now = 10_000 + forged / (claims() / 16);
        // Refused, or let in: neither matters here.
        let _ = bound(&memory, bearer(0x4000_0000 + forged * 2, says::OPENS));
    }
    for client in &established {
        assert!(number_of(&memory, *client).is_ok(), "{client} was pushed out");
    }
}

#[test]
fn what_opens_nothing_gets_no_port() {
    let memory = memory();
    for says in [0, says::CLOSES, says::CLOSES | says::RESETS, says::QUOTED] {
        assert_eq!(bound(&memory, bearer(5, says)), Err(Stop(Reason::NotOpen)));
    }
    assert!(memory.written.borrow().bindings.is_empty());
    let nobody = Bearer { owner: Owner::BUSY, ..bearer(5, says::OPENS) };
    assert_eq!(bound(&memory, nobody), Err(Stop(Reason::NoSourcePort)));
    let none = Memory { snat: None, ..memory };
    assert_eq!(bound(&none, bearer(5, says::OPENS)), Err(Stop(Reason::NoSourcePort)));
}
