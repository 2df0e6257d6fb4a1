//! BPF programs that tests use, and what they and the tests agree on.
#![no_std]
