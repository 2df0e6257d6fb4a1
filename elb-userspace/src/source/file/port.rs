//! Ports as numbers of a file.

use crate::model::value::Ranged;

pub(super) type Port = Ranged<1, 65_535>;
pub(super) type PortOrAny = Ranged<0, 65_535>;

pub(super) fn port<const MIN: u32>(port: Option<Ranged<MIN, 65_535>>) -> Option<u16> {
    port.and_then(|port| u16::try_from(port.get()).ok())
}
