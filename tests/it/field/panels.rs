//! Runs of a workflow: drafts, tools, failed writers, progress.
