//! Drafts that contradict each other are not alike.
