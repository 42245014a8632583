//! The program from the outside: its command line, its broker, its pipeline, its API.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod api;
mod backup;
mod broker;
mod charging;
mod config;
mod contract;
mod external;
mod files;
mod flood;
mod gateway;
mod http;
mod isolation;
mod json_devices;
mod live;
mod logs;
mod machine;
mod migrations;
mod operations;
mod operators;
mod pipeline;
mod positions;
mod privacy;
mod problems;
mod protocol;
mod register;
mod replica;
mod rooms;
mod serve;
mod service;
mod trackers;
mod transfer;
mod webhooks;
