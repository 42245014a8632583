//! What the API answers. Each file is one subject; the frame is in [`crate::http`] and the room `web`.

pub mod assets;
pub mod commands;
pub mod events;
pub mod devices;
pub mod gateways;
pub mod keys;
pub mod quarantine;
pub mod rollups;
pub mod oidc;
pub mod series;
pub mod sign_in;
pub mod signals;
