//! Outgoing webhooks by Standard Webhooks (specification 1.0.0, standardwebhooks.com).
//!
//! - [`sign`]: secrets (`whsec_…`) and signatures; [`endpoints`]: where events go, their secrets, their delivery log
//! - [`Deliverer`] (`deliver`): sends, tries again as the specification proposes, gives up on endpoints that fail for days
//!
//! URLs are strangers': the client that sends goes to addresses of the public Internet only (`outbound`).

mod deliver;
pub mod endpoints;
pub mod sign;

pub(crate) use deliver::told;
pub use deliver::{Deliver, Deliverer, FAILING};
pub use endpoints::{Endpoint, EndpointError, Endpoints};
