#![no_main]

use chorus::fuzzing::{Body, body};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| body(Body::Messages, bytes));
