//! What elb puts into a host is kept: programs, interfaces, rules, routes, pins, announcements.
