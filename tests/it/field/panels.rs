//! Runs of a workflow: drafts, tools, failed writers, progress.

mod drafts;
mod progress;
mod tools;
mod writers;
