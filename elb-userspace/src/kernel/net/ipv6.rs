//! Whether the kernel speaks IPv6 on an interface.

use std::fs;
use std::path::Path;

/// Whether IPv6 is switched off on an interface.
pub fn is_off(interface: &str) -> bool {
    let setting = Path::new("/proc/sys/net/ipv6/conf").join(interface).join("disable_ipv6");
    fs::read_to_string(setting).is_ok_and(|value| value.trim() != "0")
}
