//! A virtual address that is also the host's own.
