//! Signing in at an organisation's own provider: OpenID Connect Core 1.0, authorization code flow (3.1) with PKCE
//! (RFC 7636) and the issuer in the answer (RFC 9207).
//!
//! - `providers`: providers of organisations as data, their client secrets sealed
//! - `flow`: there and back: [`Oidc::begin`], [`Oidc::finish`]
//! - `discover`: metadata and keys, cached; [`keys`]: JWK Sets; [`token`]: ID tokens; both pure
//! - `standin` (feature `testing`): a provider with scripted faults
//!
//! | what somebody tries | what stands against it |
//! |---|---|
//! | has a victim come back with the attacker's code | the state belongs to the browser that was sent, by a cookie |
//! | shows an answer twice | the state is taken away with its first use |
//! | uses a code that was meant for another sign-in | nonce and PKCE verifier follow from that cookie |
//! | has a token of one provider taken for another's | issuer, audience, `iss` of the answer, keys by issuer |
//! | signs with `none`, or with the public key as a secret | the key decides the algorithm; only RS256 and ES256 |
//! | opens an account with somebody's address | only addresses that the provider has verified, only users of its organisation |
//! | has us send people elsewhere | only paths of our own |

mod discover;
mod flow;
pub mod keys;
mod providers;
#[cfg(feature = "testing")]
pub mod standin;
pub mod token;

use std::sync::Arc;

use outbound::{Client, Rules};
use url::Url;
use vault::{Column, Ring};

use crate::Access;

pub use discover::Unavailable;
pub use flow::{Back, Depart, Failed, Home, home};
pub use providers::{NewProvider, Provider};

/// Where client secrets are sealed.
pub const CLIENT_SECRET: Column = Column {
    table: "access.oidc_provider",
    column: "client_secret",
    row: "id",
};

/// Longest metadata or set of keys that is read, in bytes.
const LONGEST_ANSWER: usize = 256 * 1024;

/// Signs people in at providers. Cloning it is cheap; clones share what is known of providers.
#[derive(Clone, Debug)]
pub struct Oidc {
    access: Access,
    ring: Ring,
    client: Client,
    base: Url,
    known: Arc<discover::Known>,
}

impl Oidc {
    /// For people who know this service by `base`, such as `https://patio.example.com`. With `private` providers may be
    /// at addresses outside the public Internet, and speak HTTP without TLS.
    pub fn new(access: Access, ring: Ring, base: Url, private: bool) -> Self {
        let rules = Rules {
            plain_http: private,
            any_address: private,
            answer: LONGEST_ANSWER,
            ..Rules::STRANGERS
        };
        Self {
            access,
            ring,
            client: Client::new(rules),
            base,
            known: Arc::default(),
        }
    }

    /// Where a provider sends people back to; it has to be registered there.
    pub fn redirect_uri(&self, provider: &str) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        format!("{base}/v1/sign-in/oidc/{provider}/callback")
    }
}
