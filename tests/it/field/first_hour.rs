//! The first hour with a config, a terminal and a browser.

mod config;
mod pipes;
mod servers;
mod tasks;
