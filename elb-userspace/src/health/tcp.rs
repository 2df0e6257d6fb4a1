//! The TCP check: SYN, SYN-ACK, ACK, and then RST, so that neither side keeps state.

use tokio::time::Instant;

use super::Failure;
use super::connect::{connect, no_resource};
use super::spec::ProbeSpec;

/// Succeeds when the connection is established.
pub(super) async fn check(probe: &ProbeSpec, deadline: Instant) -> Result<(), Failure> {
    let stream = connect(probe, deadline).await?;
    // Dropping it now sends the RST.
    stream.set_zero_linger().map_err(|error| no_resource(&error))
}
