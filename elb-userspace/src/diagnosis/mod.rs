//! Why something does not work: what was checked, what was seen, and what to do about it.
//!
//! `elb diagnose` (a member, from the load balancer), `elb backend inspect` (the backend server's own
//! host) and `elb doctor` (the load balancer's own host) all answer with a [`report::Report`].
//!
//! A diagnosis gathers [`evidence`], completes it by fresh looks ([`look`], the only part with I/O),
//! asks what the failure makes likely ([`suspicion`]), and lets each of the [`checks`] conclude.

pub mod check;
pub mod inspect;
pub mod instrument;
pub mod report;

mod packet_size;
pub mod way_out;

pub mod doctor;
pub mod evidence;
pub mod fix;
pub mod suspicion;

pub mod checks;
pub mod command;
pub mod look;
