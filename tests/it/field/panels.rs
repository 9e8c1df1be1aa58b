//! Runs of a workflow: drafts, tools, failed writers, progress.

mod drafts;
mod legal;
mod progress;
mod tools;
mod writers;
