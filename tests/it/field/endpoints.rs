//! What a failure tells of an endpoint, and what it costs to try again.
