//! The cloud of Patio in one program: takes blocks from gateways over MQTT, has them stored, answers with signed
//! acknowledgements, and serves what is known over HTTP.
//!
//! | file | subject |
//! |---|---|
//! | [`cli`] | the command line, messages and exit status |
//! | [`config`] · [`keys`] · [`limits`] · [`log`] | what it is told before it starts |
//! | [`serve`] | starting everything in order, and stopping it in the other |
//! | [`broker`] | the embedded MQTT broker in a child process, and who looks after it |
//! | [`ingest`] | from the broker into the database, and the answer back |
//! | [`mod@devices`] | devices that are no gateways: trackers, JSON over MQTT, feeds |
//! | [`http`] · [`api`] | the frame of the HTTP API, and its routes |
//! | [`plans`] | plans with what the fleet assumes of cars that nobody knows |
//! | [`works`] | what is done in the background for every room: jobs, events on their way |
//! | [`replica`] | a streaming replica that answers what only reads |
//! | [`rooms`] | the rooms of the cloud, and what they need of the database |
//! | [`backup`] | backups of the database and of the store of files |
//! | [`status`] · [`metrics`] | how the parts are doing |
//!
//! What blocks mean and how they are stored is the room `telemetry`'s; gateways and their keys are `platform`'s.

pub mod api;
pub mod backup;
pub mod broker;
pub mod cli;
pub mod config;
pub mod devices;
pub mod http;
pub mod ingest;
pub mod keys;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod plans;
pub mod replica;
pub mod rooms;
pub mod serve;
pub mod status;
pub mod works;
