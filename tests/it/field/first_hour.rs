//! The first hour with a config, a terminal and a browser.
