//! A check accepts what clients accept.
