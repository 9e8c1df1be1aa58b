//! Faults that users of such servers reported in the field, a test per kind, named after it.

mod alike;
mod answers;
mod clients;
mod cuts;
mod endpoints;
mod errors;
mod first_hour;
mod panels;
mod refusals;
mod spellings;
mod state;
mod turns;
