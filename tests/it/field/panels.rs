//! Runs of a workflow: drafts, tools, failed writers, progress.

mod drafts;
mod tools;
mod writers;
