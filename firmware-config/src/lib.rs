//! What a gateway is told: its configuration, and the profiles of the vehicles that it reads. Files are read with
//! everything that is wrong with them told at once, with line and key; what is read here is sound.
//!
//! | file | subject |
//! |---|---|
//! | `gateway.rs` | the gateway's configuration: [`Gateway`](gateway::Gateway) |
//! | `gateway/address.rs` | where a broker and a CAN bus are, as texts |
//! | `gateway/check.rs` | references followed, contradictions reported |
//! | `import/` | definitions made elsewhere as vehicle profiles |
//! | `profiles.rs` | vehicle profiles: [`PROFILES`](profiles::PROFILES), those that ship and anybody's own |
//! | `build.rs` | the profiles in the folder `profiles`, put into the binary |
//!
//! The command `firmware-config` is a thin shell over this library.

#![forbid(unsafe_code)]

pub mod gateway;
pub mod import;
pub mod profiles;
