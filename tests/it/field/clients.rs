//! What clients meet: names, paths, usage, headers, ends of streams.
