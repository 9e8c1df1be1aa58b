//! The built-in demonstration upstream.
