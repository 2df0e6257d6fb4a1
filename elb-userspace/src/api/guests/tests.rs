//! Known clients among strangers.

use super::*;

const FRIEND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn stranger(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

async fn seated(guest: &Guest) -> bool {
    tokio::time::timeout(Duration::from_millis(10), guest.be_seated()).await.is_ok()
}

#[tokio::test]
async fn strangers_take_no_place_of_known_clients() {
    let (guests, now) = (Guests::default(), Instant::now());
    let first = guests.arrive(FRIEND, now).unwrap();
    assert!(seated(&first).await);
    first.prove(now);
    drop(first);
    let mut held = Vec::new();
    for n in 0..20 {
        for _ in 0..100 {
            held.extend(guests.arrive(stranger(n), now));
        }
    }
    assert_eq!(held.len(), TAKEN);
    let mut served = 0;
    for one in held.iter().step_by(4) {
        served += usize::from(seated(one).await);
    }
    assert_eq!(served, STRANGERS, "{OF_NETWORK} of each network at the most");
    assert!(!seated(&held[1]).await);
    let mut friends = Vec::new();
    for _ in 0..KNOWN {
        let friend = guests.arrive(FRIEND, now).unwrap();
        assert!(seated(&friend).await);
        friends.push(friend);
    }
    assert!(guests.arrive(stranger(99), now).is_none());
    drop((held, friends));
    let lists = guests.0.lists();
    assert!(lists.taken == 0 && lists.strangers.is_empty());
    assert_eq!(guests.0.known.available_permits(), KNOWN);
    assert_eq!(guests.0.strangers.available_permits(), STRANGERS);
}

#[tokio::test]
async fn a_network_has_its_share_until_it_is_known() {
    let (guests, now) = (Guests::default(), Instant::now());
    let v6 = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
    let all: Vec<Guest> = (0..64).map(|n| guests.arrive(v6(n), now).unwrap()).collect();
    assert!(guests.arrive(v6(999), now).is_none(), "one has all addresses of a /64");
    assert!(guests.arrive(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]), now).is_some());
    assert_eq!(all.len(), TAKEN_OF_NETWORK);
    for (n, one) in all.iter().enumerate() {
        assert_eq!(seated(one).await, n < OF_NETWORK);
    }
    all[0].prove(now);
    assert!(seated(&all[OF_NETWORK]).await, "its place is free");
    assert!(guests.arrive(v6(999), now + REMEMBERED / 2).unwrap().place().own.is_none());
    assert!(guests.arrive(v6(999), now + REMEMBERED).unwrap().place().own.is_some());
}

/// Strangers on the address of a known client, as behind one gateway or on this host, keep it out for a moment only.
#[tokio::test]
async fn who_shows_nothing_gives_the_place_up_while_others_wait() {
    let (guests, now) = (Guests::default(), Instant::now());
    let proven = guests.arrive(FRIEND, now).unwrap();
    assert!(seated(&proven).await);
    proven.prove(now);
    let mut held = Vec::new();
    for _ in 1..KNOWN {
        let one = guests.arrive(FRIEND, now).unwrap();
        assert!(seated(&one).await);
        held.push(one);
    }
    let long = GRACE + 2 * ASKED;
    let idle = tokio::time::timeout(long, held[0].overstays()).await;
    assert!(idle.is_err(), "no one waits");
    let late = guests.arrive(FRIEND, now).unwrap();
    let waits = async {
        held[0].overstays().await;
        drop(held);
    };
    tokio::join!(late.be_seated(), waits);
    assert!(tokio::time::timeout(long, proven.overstays()).await.is_err());
}
