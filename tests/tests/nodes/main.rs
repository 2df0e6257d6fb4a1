//! Two nodes: the recipes of docs/several-nodes.md, as they are printed there, with real keepalived and BIRD.

mod edge;
mod recipe;
mod traffic;

mod ecmp;
mod moving;
mod vrrp;
