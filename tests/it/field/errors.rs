//! Errors in whatever words and places upstreams tell them.
