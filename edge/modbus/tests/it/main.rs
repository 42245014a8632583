//! The crate from outside: device maps, frames and registers of others, simulated lines with every fault, real peers.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod connections;
mod dead_unit;
mod decoding;
mod described;
mod encoded;
mod faults;
mod faulty_line;
mod frames;
mod late_answer;
mod limits;
mod maps;
mod numbers;
mod peers;
mod planning;
mod pymodbus;
mod registers;
mod sunspec;
mod support;
mod writes;
