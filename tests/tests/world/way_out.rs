//! An operator can end what is served, drain an idle host, and cut connections.
