//! Slow and malicious peers do not stop the agent.
