//! What scripts and people ask the agent by: reloads, status, files, users, events.

mod completing;
mod events;
mod files;
mod readers;
mod reloads;
mod statuses;
mod webhooks;

mod scene;
