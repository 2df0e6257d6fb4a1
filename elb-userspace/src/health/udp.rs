//! The UDP_CONNECT check: an ICMP echo request must be answered, and then a datagram to the port
//! must not be answered with an ICMP error. Silence until the timeout is health: a service of UDP
//! owes no answer to what it does not know.

use socket2::{Protocol, Type};
use tokio::time::{Instant, timeout_at};

use super::connect::{no_resource, route_probe, socket};
use super::datagram::{connected, failure};
use super::path::Flow;
use super::spec::ProbeSpec;
use super::{Failure, echo};

/// What the datagram holds: a service that does not know it drops it, or says so.
const DATAGRAM: &[u8] = b"elb-health-check";

/// Succeeds when the host answers and nothing says that the port does not.
pub(super) async fn check(probe: &ProbeSpec, deadline: Instant) -> Result<(), Failure> {
    let target = probe.target;
    echo::check(probe, deadline).await?;
    let socket = socket(probe, Type::DGRAM, Protocol::UDP)?;
    route_probe(probe, &socket, Flow::UDP).map_err(|error| no_resource(&error))?;
    let socket = connected(socket, target)?;
    let answered = async {
        socket.send(DATAGRAM).await?;
        socket.recv(&mut [0]).await
    };
    match timeout_at(deadline, answered).await {
        Err(_) | Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failure(&socket, target.ip(), &error)),
    }
}
