//! Each virtual address of a member is probed and judged by itself.
