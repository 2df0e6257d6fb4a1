//! Backends unwrap what their load balancers sent, and nothing else.
