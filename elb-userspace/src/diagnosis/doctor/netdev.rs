//! The generic netlink family `netdev`: what of XDP a driver can (Linux 6.3,
//! Documentation/netlink/specs/netdev.yaml).

use genetlink::GenetlinkHandle;
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use rtnetlink::packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, Nla as _,
    NlasIterator, Parseable as _, ParseableParametrized,
};

/// `NETDEV_XDP_ACT_BASIC`: the driver runs programs, and sends back what they say.
pub(super) const BASIC: u64 = 1;
/// `NETDEV_XDP_ACT_NDO_XMIT`: the driver sends frames that programs of other devices redirect to it.
pub(super) const TRANSMITS: u64 = 4;

const COMMAND_DEV_GET: u8 = 1;
const IFINDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;

/// The bits of what the driver of an interface can; `None` where the kernel does not say.
pub(super) async fn xdp_features(handle: &mut GenetlinkHandle, index: u32) -> Option<u64> {
    use futures_util::StreamExt as _;

    let ask = Dev(vec![DefaultNla::new(IFINDEX, index.to_ne_bytes().to_vec())]);
    let mut message = NetlinkMessage::from(GenlMessage::from_payload(ask));
    message.header.flags = NLM_F_REQUEST;
    let mut answers = std::pin::pin!(handle.request(message).await.ok()?);
    while let Some(Ok(answer)) = answers.next().await {
        if let NetlinkPayload::InnerMessage(answer) = answer.payload {
            return answer.payload.features();
        }
    }
    None
}

/// A message about a device.
#[derive(Debug)]
struct Dev(Vec<DefaultNla>);

impl Dev {
    fn features(&self) -> Option<u64> {
        let found = self.0.iter().find(|attribute| attribute.kind() == XDP_FEATURES)?;
        let mut value = vec![0; found.value_len()];
        found.emit_value(&mut value);
        Some(u64::from_ne_bytes(value.try_into().ok()?))
    }
}

impl GenlFamily for Dev {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        COMMAND_DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Dev {
    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }

    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Dev {
    fn parse_with_param(buffer: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(buffer).map(|nla| DefaultNla::parse(&nla?));
        attributes.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Option<u64> {
        let header = GenlHeader { cmd: COMMAND_DEV_GET, version: 1 };
        Dev::parse_with_param(bytes, header).ok()?.features()
    }

    #[test]
    fn features_are_found_among_other_attributes() {
        let attribute = |kind, value: &[u8]| DefaultNla::new(kind, value.to_vec());
        let device = Dev(vec![
            attribute(IFINDEX, &2_u32.to_ne_bytes()),
            attribute(XDP_FEATURES, &(BASIC | TRANSMITS).to_ne_bytes()),
        ]);
        let mut bytes = vec![0; device.buffer_len()];
        device.emit(&mut bytes);
        assert_eq!(read(&bytes), Some(5));
        assert_eq!(read(&bytes[..8]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            read(&bytes);
        }
    }
}
