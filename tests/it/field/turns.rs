//! What belongs to a turn survives it.
