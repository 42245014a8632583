//! Decoders against recordings of real vehicles and what other decoders make of them. The data is not part of the
//! project: the folder is `$PATIO_DATA`, else `../shared/data` beside the repository; without it the tests say that they
//! are skipped. They read whatever files, cars and cases they find there.

#![expect(clippy::unwrap_used, reason = "all of it is test")]

mod adapter;
mod data;
mod dbc;
mod kona;
mod lengths;
mod obdb;
