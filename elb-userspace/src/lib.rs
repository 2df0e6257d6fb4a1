//! The library that the binary `elb`, agent and command line, is made of.
//!
//! Each module here is a room, and a room uses only those that are listed before it. The first
//! decide without I/O: what is wanted ([`model`], read by [`source`]), what is seen ([`health`]), and
//! what the maps must hold for it ([`control`]).

pub mod model;

pub mod health;

pub mod source;

pub mod control;

pub mod kernel;

pub mod observe;

pub mod backend;

pub mod diagnosis;

pub mod api;

pub mod agent;

pub mod cli;
