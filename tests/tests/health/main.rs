//! Health checks by the real agent of real servers, in labs. The names of tests begin with the number
//! of the acceptance behaviour that they show.

mod calling;
mod configuring;
mod connecting;
mod datagrams;
mod requesting;
mod running;
mod securing;
mod talking;
mod unreachable;

mod addresses;
mod brisk;
mod counting;
mod pacing;
mod remembering;
mod telling;

mod sniff;
mod times;
mod vip_path;
mod watch;
mod watched;
