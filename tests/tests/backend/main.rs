//! `elb backend up` and `down` on a real host: what it then accepts, what it keeps to itself, and
//! that nothing is left of it.

mod inner;
mod scene;
mod segments;

mod answers;
mod refusals;
mod setup;
mod traffic;
