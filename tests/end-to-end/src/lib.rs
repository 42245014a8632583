//! The whole house, run as its users run it: the real programs as processes of their own, a virtual depot, a database.
//! `scripts/run` is this crate's command; the end-to-end tests use the same pieces.
//!
//! - [`process`]: a program that runs, its log, its end (by signal, or by kill -9)
//! - [`house`]: configuration files, keys and the order of starting and stopping
//! - [`check`]: the database against what the depot really said
//! - [`server`]: a PostgreSQL of a test's own, which may be killed
//! - [`live`]: the status on the screen

pub mod check;
pub mod house;
pub mod live;
pub mod process;
pub mod server;
