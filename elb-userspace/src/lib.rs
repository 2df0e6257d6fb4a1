//! The library that the binary `elb`, agent and command line, is made of.
//!
//! Read it in this order: what is wanted ([`model`], and [`config`], which reads it from a file),
//! what is seen ([`health`]), and which member gets which connection ([`ring`]).
//! These modules decide. Only [`config::load`] (one file) and [`health::probe`] (connections to
//! members) do I/O.

pub mod model;

pub mod config;

pub mod health;

pub mod ring;

pub mod assign;
pub mod census;
pub mod nexthop;
pub mod publish;
pub mod reconcile;

pub mod change;

pub mod endpoint;
pub mod names;
pub mod packet;

pub mod diagnosis;

pub mod capture;
pub mod drops;
pub mod events;
pub mod explain;
pub mod flows;
pub mod trace;

pub mod host;
pub mod kernel;
pub mod steering;

pub mod agent;
pub mod announce;
pub mod api;
pub mod backend;
pub mod cli;
pub mod saved;
pub mod status;

pub mod time;
