//! An agent that can serve something starts, whatever else is wrong.
