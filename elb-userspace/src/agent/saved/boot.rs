//! Which boot of the host this is: kernel ids and monotonic times of another one mean nothing.

use std::sync::OnceLock;

/// The id of this boot; empty where the kernel does not say.
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        id.map(|id| id.trim().to_owned()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_boot_has_an_id() {
        assert_eq!(super::boot_id().len(), 36);
    }
}
