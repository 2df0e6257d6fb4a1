//! `elb diagnose` in labs: each cause is injected for real, is named first, and is repaired as the
//! report says; where nothing is wrong, nothing is named.

mod configuration;
mod filtered;
mod healthy;
mod host;
mod service;
mod translation;
mod tunnel;
mod way;

mod scene;
