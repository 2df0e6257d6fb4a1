//! Where models come from.

pub mod file;
pub mod settings;
pub mod unreadable;
