//! A broken instrument of the load balancer's own gives no verdict on its members.
