//! `elb doctor` in hosts with one thing wrong: it is named, mended as the report says, and gone.

mod host;
mod interface;
mod scene;
