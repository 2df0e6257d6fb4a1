//! `elb doctor` in hosts with one thing wrong: it is named, repaired as the report says, and gone.

mod host;
mod interface;
mod scene;
mod translation;
