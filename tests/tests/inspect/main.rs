//! `elb backend inspect` on real hosts: each cause is made for real, the report must name it, and
//! running the report's own fix must make the report clean.

mod scene;

mod addresses;
mod healthy;
mod iptables;
mod listening;
mod load;
mod nftables;
mod routes;
mod wrappers;
