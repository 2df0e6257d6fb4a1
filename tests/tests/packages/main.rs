//! The packages, as an administrator meets them: installed in a root of their own, started as their units say, upgraded
//! under load, removed and purged.

mod backend;
mod host;
mod life;
mod manager;
mod rpm;
mod systemd;
mod unit;
mod units;
