//! What the kernel knows of routes, neighbours and paths is followed, also after notifications were lost.
