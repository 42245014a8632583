//! There and back.

use std::time::Duration;

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use hyper::Method;
use jiff::Timestamp;
use outbound::{Answer, Request};
use platform::{DbError, OrganizationId};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};
use vault::{Secret, VaultError};

use super::{
    CLIENT_SECRET, Oidc,
    discover::{AGAIN, FRESH, Metadata, Unavailable, get},
    token::{Distrust, Expected, Person, verify},
};
use crate::{
    AccessError,
    secret::{hash, random},
    session::{Page, later},
    sign_in::{Kind, SignedIn},
    users::normal,
};

/// How long somebody may stay at the provider.
const PATIENCE: Duration = Duration::from_mins(10);

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// There is no such provider.
    #[error("there is no provider {0}")]
    NoProvider(String),
    /// The address to go to afterwards is not one of ours.
    #[error("return_to must be a path of this service, such as /docs")]
    Elsewhere,
    /// What came back does not belong to a sign-in that this browser began, or did so already.
    #[error(
        "this is no answer to a sign-in that this browser began, or it came twice or too late: begin again"
    )]
    NotOurs,
    /// The provider refused, or gave up.
    #[error("the provider says {0}")]
    Provider(String),
    /// The provider's word is not believed.
    #[error(transparent)]
    Distrust(#[from] Distrust),
    /// Nobody in the organisation has the address, or the provider has not verified it.
    #[error("the provider vouches for nobody who may sign in here")]
    Nobody,
    /// The provider does not answer, or not sensibly.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The client secret does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The floor failed.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl From<DbError> for Failed {
    fn from(error: DbError) -> Self {
        Self::Access(error.into())
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Access(error.into())
    }
}

/// Where somebody is sent.
#[derive(Clone)]
pub struct Depart {
    /// The provider's page, with what it is asked.
    pub url: Url,
    /// The cookie by which the browser is known when it comes back: 256 random bits.
    pub browser: String,
}

/// What the provider had the browser bring back.
#[derive(Clone, Default)]
pub struct Back {
    /// The cookie of [`Depart::browser`].
    pub browser: Option<String>,
    /// What we sent along.
    pub state: Option<String>,
    /// What becomes a token.
    pub code: Option<String>,
    /// Who answers (RFC 9207).
    pub issuer: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// Somebody who came home.
#[derive(Clone)]
pub struct Home {
    /// Their session.
    pub page: Page,
    /// The page of ours to which they go.
    pub return_to: String,
}

struct Found {
    id: i64,
    organization: OrganizationId,
    issuer: String,
    client_id: String,
    secret: Secret,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    email: Option<String>,
    email_verified: Option<bool>,
}

/// What belongs to one sign-in follows from the browser's cookie, so that none of it is kept.
fn derived(what: &str, browser: &str) -> String {
    hex::encode(hash(&format!("oidc {what} {browser}")))
}

/// Whether this is a path of our own: whatever a browser makes of it, it leads nowhere else.
pub fn home(path: &str) -> bool {
    let own = path.starts_with('/') && !path.starts_with("//") && path.len() <= 500;
    own && path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

impl Oidc {
    /// Sends somebody to a provider (Core 3.1.2.1).
    pub async fn begin(&self, provider: &str, return_to: &str) -> Result<Depart, Failed> {
        if !home(return_to) {
            return Err(Failed::Elsewhere);
        }
        let found = self.find(provider).await?;
        let clock = &self.access.clock;
        let known = self
            .known
            .of(&self.client, &found.issuer, clock.monotonic(), FRESH);
        let (metadata, _) = known.await?;
        let (state, browser) = (hex::encode(random::<32>()?), hex::encode(random::<32>()?));
        let until = later(clock.now(), PATIENCE);
        let client = self.access.db.system().await?;
        client
            .execute(
                include_str!("../../queries/add_oidc_attempt.sql"),
                &[
                    &hash(&state).as_slice(),
                    &hash(&browser).as_slice(),
                    &found.organization,
                    &found.id,
                    &return_to,
                    &until,
                ],
            )
            .await?;
        let challenge = Sha256::digest(derived("verifier", &browser).as_bytes());
        let mut url = metadata.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("scope", "openid email")
            .append_pair("client_id", &found.client_id)
            .append_pair("redirect_uri", &self.redirect_uri(provider))
            .append_pair("state", &state)
            .append_pair("nonce", &derived("nonce", &browser))
            .append_pair("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256");
        Ok(Depart { url, browser })
    }

    /// Takes somebody back (Core 3.1.2.5 to 3.1.3.7), and begins their session.
    pub async fn finish(&self, provider: &str, back: &Back) -> Result<Home, Failed> {
        let found = self.find(provider).await?;
        let (browser, return_to) = self.take(&found, back).await?;
        let clock = &self.access.clock;
        let known = self
            .known
            .of(&self.client, &found.issuer, clock.monotonic(), FRESH);
        let (metadata, _) = known.await?;
        // RFC 9207, 2.4: an issuer that is there has to be right, and one that was announced has to be there.
        let announced = metadata.authorization_response_iss_parameter_supported;
        match back.issuer.as_deref() {
            Some(issuer) if issuer == found.issuer => {}
            None if !announced => {}
            _ => return Err(Distrust::Claim("the answer is of another issuer").into()),
        }
        if let Some(error) = &back.error {
            return Err(Failed::Provider(plain(error)));
        }
        let code = back.code.as_deref().ok_or(Failed::NotOurs)?;
        let tokens = self
            .redeem(provider, &found, &metadata, code, &browser)
            .await?;
        let person = self.believe(&found, &tokens.id_token, &browser).await?;
        let person = self
            .complete(person, &metadata, tokens.access_token.as_deref())
            .await?;
        let user = self.user(&found, &person, clock.now()).await?;
        match self
            .access
            .begin_session(found.organization, user, Kind::Page)
            .await?
        {
            SignedIn::Page(page) => Ok(Home { page, return_to }),
            SignedIn::Program(_) => Err(Failed::NotOurs),
        }
    }

    async fn find(&self, provider: &str) -> Result<Found, Failed> {
        let client = self.access.db.system().await?;
        let sql = include_str!("../../queries/find_provider.sql");
        let row = client.query_opt(sql, &[&provider]).await?;
        let missing = || Failed::NoProvider(plain(provider));
        let row = row.ok_or_else(missing)?;
        let id: i64 = row.get("id");
        let sealed: Option<&[u8]> = row.get("client_secret");
        let secret = self
            .ring
            .open(CLIENT_SECRET, id, sealed.ok_or_else(missing)?)?;
        Ok(Found {
            id,
            organization: row.get("organization_id"),
            issuer: row.get("issuer"),
            client_id: row.get("client_id"),
            secret,
        })
    }

    /// Takes the attempt away, whatever becomes of it: the cookie's text, and the page to go to.
    async fn take(&self, found: &Found, back: &Back) -> Result<(String, String), Failed> {
        let (Some(state), Some(browser)) = (&back.state, &back.browser) else {
            return Err(Failed::NotOurs);
        };
        let client = self.access.db.system().await?;
        let sql = include_str!("../../queries/take_oidc_attempt.sql");
        let row = client.query_opt(sql, &[&hash(state).as_slice()]).await?;
        let row = row.ok_or(Failed::NotOurs)?;
        let same = row.get::<_, &[u8]>("browser") == hash(browser)
            && row.get::<_, i64>("provider_id") == found.id
            && row.get::<_, Timestamp>("expires_at") > self.access.clock.now();
        if same {
            Ok((browser.clone(), row.get("return_to")))
        } else {
            Err(Failed::NotOurs)
        }
    }

    /// Core 3.1.3.1, with the client's secret as RFC 6749, 2.3.1 has it, and the verifier of RFC 7636, 4.5.
    async fn redeem(
        &self,
        provider: &str,
        found: &Found,
        metadata: &Metadata,
        code: &str,
        browser: &str,
    ) -> Result<Tokens, Failed> {
        let request = self.ask_for_token(provider, found, metadata, code, browser);
        let answer = self.client.call(request).await.map_err(Unavailable::from)?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body)
                .map_err(|_| Distrust::Unreadable("the provider gave none").into()),
            // RFC 6749, 5.2.
            400 | 401 => Err(Failed::Provider(error_of(&answer))),
            status => Err(Failed::Unavailable(Unavailable::Answer {
                what: "a token",
                reason: format!("status {status}"),
            })),
        }
    }

    fn ask_for_token(
        &self,
        provider: &str,
        found: &Found,
        metadata: &Metadata,
        code: &str,
        browser: &str,
    ) -> Request {
        let form =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let secret = String::from_utf8_lossy(found.secret.reveal());
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect_uri(provider))
            .append_pair("code_verifier", &derived("verifier", browser));
        let offers = |method: &str| {
            let methods = metadata.token_endpoint_auth_methods_supported.as_ref();
            methods.map(|all| all.iter().any(|one| one == method))
        };
        // Basic is what a provider that does not say supports (Discovery 3).
        let in_body = offers("client_secret_basic") == Some(false)
            && offers("client_secret_post") == Some(true);
        if in_body {
            body.append_pair("client_id", &found.client_id)
                .append_pair("client_secret", &secret);
        }
        let mut request =
            Request::new(Method::POST, metadata.token_endpoint.clone(), body.finish())
                .header("content-type", "application/x-www-form-urlencoded")
                .header("accept", "application/json");
        if !in_body {
            let both = format!("{}:{}", form(&found.client_id), form(&secret));
            let value = format!("Basic {}", BASE64_STANDARD.encode(both));
            request = request.header("authorization", &value);
        }
        request
    }

    /// Verifies the token; when its key is unknown, once more with keys that were fetched anew (Core 10.1.1).
    async fn believe(&self, found: &Found, token: &str, browser: &str) -> Result<Person, Failed> {
        let clock = &self.access.clock;
        let nonce = derived("nonce", browser);
        let expected = Expected {
            issuer: &found.issuer,
            client_id: &found.client_id,
            nonce: &nonce,
            now: clock.now(),
        };
        let mut distrust = Distrust::UnknownKey;
        for age in [FRESH, AGAIN] {
            let known = self
                .known
                .of(&self.client, &found.issuer, clock.monotonic(), age);
            let (_, keys) = known.await?;
            match verify(token, &keys, expected) {
                Ok(person) => return Ok(person),
                Err(Distrust::UnknownKey) => distrust = Distrust::UnknownKey,
                Err(other) => return Err(other.into()),
            }
        }
        Err(distrust.into())
    }

    /// Claims that the ID token leaves out are at the UserInfo endpoint (Core 5.4), of the same subject (5.3.2).
    async fn complete(
        &self,
        mut person: Person,
        metadata: &Metadata,
        token: Option<&str>,
    ) -> Result<Person, Failed> {
        let (false, Some(url), Some(token)) =
            (person.speaks_of_email, &metadata.userinfo_endpoint, token)
        else {
            return Ok(person);
        };
        let answer = get(&self.client, "the user's claims", url.clone(), Some(token)).await?;
        let info: UserInfo = serde_json::from_slice(&answer.body)
            .map_err(|_| Distrust::Unreadable("the user's claims are no JSON"))?;
        if info.sub != person.subject {
            return Err(Distrust::Claim("the user's claims are of another subject").into());
        }
        let verified = info.email_verified == Some(true);
        person.verified_email = info.email.filter(|_| verified);
        Ok(person)
    }

    /// The user whom the provider means: by its name for them, else by an address that it has verified and that a user
    /// of its organisation has.
    async fn user(&self, found: &Found, person: &Person, now: Timestamp) -> Result<i32, Failed> {
        let client = self.access.db.system().await?;
        let linked = client
            .query_opt(
                include_str!("../../queries/linked_user.sql"),
                &[&found.id, &person.subject],
            )
            .await?;
        if let Some(row) = linked {
            let disabled: bool = row.get("disabled");
            return (!disabled).then(|| row.get("id")).ok_or(Failed::Nobody);
        }
        let email = person.verified_email.as_deref().ok_or(Failed::Nobody)?;
        let email = normal(email).map_err(|_| Failed::Nobody)?;
        // Whoever is linked already stays so: an address may have been given to somebody else.
        let row = client
            .query_opt(
                include_str!("../../queries/link_user.sql"),
                &[
                    &found.id,
                    &person.subject,
                    &found.organization,
                    &email,
                    &now,
                ],
            )
            .await?;
        row.map(|row| row.get(0)).ok_or(Failed::Nobody)
    }
}

fn error_of(answer: &Answer) -> String {
    let read = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let word = read.and_then(|value| value["error"].as_str().map(plain));
    word.unwrap_or_else(|| format!("status {}", answer.status))
}

/// A word of somebody else's, fit for a log and a page.
fn plain(word: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    word.chars().filter(fits).take(64).collect()
}
