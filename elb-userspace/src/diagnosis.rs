//! Why something does not work: what was checked, what was seen, and what to do about it.
//!
//! `elb diagnose` (a member, from the load balancer), `elb backend inspect` (the backend server's own
//! host) and `elb doctor` (the load balancer's own host) all answer with a [`report::Report`].

pub mod check;
pub mod inspect;
pub mod report;

mod packet_size;

pub mod doctor;
