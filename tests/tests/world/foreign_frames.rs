//! Frames for others, hops, joined packets, two interfaces on one segment.
