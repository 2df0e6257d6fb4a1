//! What a set-up server accepts and answers, and what it keeps to itself.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context as _, Result};
use elb_tests::address::Family;
use socket2::{Domain, Protocol, Socket, Type};

use crate::inner::*;
use crate::scene::*;

#[test]
fn wrapped_packets_of_every_kind_reach_a_server_and_its_answer_the_client() -> Result<()> {
    use elb_common::path::unwrap::Unwrapped;

    let bench = Bench::new()?;
    bench.up("ipip", &bench.vips())?;
    assert_eq!(bench.attached()?.as_deref(), Some("native decap"));

    for outer in FAMILIES {
        for vip in bench.vips() {
            assert!(bench.serves(outer, vip)?, "{vip} in {outer:?}");
        }
    }
    assert_eq!(bench.counted(Unwrapped::Yes)?, 4);

    // The same program takes datagrams.
    for outer in FAMILIES {
        for vip in bench.vips() {
            assert!(bench.serves(Tunnel { gue: true, ..outer.into() }, vip)?, "{vip} in {outer:?}");
        }
    }
    assert_eq!(bench.counted(Unwrapped::Yes)?, 8);

    let stranger = "192.0.2.77".parse()?;
    bench.send(Family::V4.into(), &bench.inner(stranger, UDP, udp(b"lost")))?;
    assert_eq!(bench.counted(Unwrapped::NotVip)?, 1);
    Ok(())
}

/// RFC 6040 §4.2, as the server's kernel sees it: a packet that is marked on its way comes with a
/// header that is right, or does not come where it cannot be marked.
#[test]
fn congestion_on_the_way_is_marked_for_those_who_know_of_it() -> Result<()> {
    use elb_common::path::unwrap::Unwrapped;

    const ECT: u8 = 2;
    const CE: u32 = 3;
    let bench = Bench::new()?;
    bench.up("gue", &bench.vips())?;
    for (count, gue) in (1..).zip([false, true]) {
        for outer in FAMILIES {
            for vip in bench.vips() {
                let tunnel = Tunnel { outer, gue, mark: CE };
                assert!(bench.serves_marked(tunnel, vip, ECT)?, "{vip} by {tunnel:?}");
                assert!(!bench.serves_marked(tunnel, vip, 0)?, "{vip} by {tunnel:?}");
            }
        }
        assert_eq!(bench.counted(Unwrapped::Yes)?, 4 * count);
        assert_eq!(bench.counted(Unwrapped::Congested)?, 4 * count);
    }
    Ok(())
}

#[test]
fn a_wrapped_connection_request_is_answered_from_the_address() -> Result<()> {
    let bench = Bench::new()?;
    bench.up("ipip", &bench.vips())?;
    for (vip, domain) in bench.vips().into_iter().zip([Domain::IPV4, Domain::IPV6]) {
        let _listener = bench.host().run(|| TcpListener::bind((vip, PORT)))??;
        // A raw socket sees the segments that the client gets, whatever socket they are for.
        let wire = bench.lab.client().run(|| -> Result<Socket> {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::TCP))?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            Ok(socket)
        })??;
        bench.send(Family::V4.into(), &bench.inner(vip, TCP, syn()))?;
        let mut buffer = [std::mem::MaybeUninit::new(0); 256];
        let (length, from) = wire.recv_from(&mut buffer).context("no answer")?;
        assert_eq!(from.as_socket().map(|from| from.ip()), Some(vip));
        // SAFETY: the array was made of initialised bytes, and receiving writes bytes.
        let bytes: Vec<u8> =
            buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect();
        let segment = if vip.is_ipv4() { &bytes[20..] } else { &bytes[..] };
        assert_eq!(segment[..4], [PORT, CLIENT_PORT].map(u16::to_be_bytes).concat());
        assert_eq!((&segment[8..12], segment[13]), (&[0, 0, 0, 2][..], 0x12), "no SYN and ACK");
    }
    Ok(())
}
