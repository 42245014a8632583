//! An OpenID provider on loopback that keeps to OpenID Connect Core 1.0 but where a script says otherwise.
//!
//! Discovery, keys, token and user-info endpoints speak HTTP; what a browser would do at the authorization endpoint is
//! [`Provider::visit`]. Its RSA key (`data/standin-rsa.der`) signs nothing but what tests look at.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{RawForm, State},
    http::{HeaderMap, StatusCode, header},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, task::JoinHandle};
use url::{Url, form_urlencoded};

/// As whom the provider knows us.
pub const CLIENT: &str = "patio client";
/// What it takes for us; it has what has to be escaped (RFC 6749, 2.3.1).
pub const SECRET: &str = "provider's secret: 100 %";

/// What is wrong with the next token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing.
    Nothing,
    /// Its nonce is of another sign-in (Core 3.1.3.7, 11).
    Nonce,
    /// It is for another client (3.1.3.7, 3).
    Audience,
    /// It is for us and for another client (3.1.3.7, 3).
    TwoAudiences,
    /// It was issued to another party (3.1.3.7, 5).
    Party,
    /// It names another issuer (3.1.3.7, 2).
    Issuer,
    /// It is not signed: `alg` is `none` (RFC 8725, 3.1).
    Unsigned,
    /// It is signed with HMAC, whose secret is the public key (RFC 8725, 2.1).
    PublicKeyAsSecret,
    /// It is signed with a key that is not published, under the name of one that is.
    Forged,
    /// It expired some minutes ago (3.1.3.7, 9).
    Expired,
    /// It was issued in the future (3.1.3.7, 10).
    Future,
    /// It has expired just now, as clocks that differ have it: no fault.
    JustExpired,
    /// Its address has not been verified (5.1).
    Unverified,
    /// Its address is "verified" by a text (5.1: it is a boolean).
    VerifiedInWords,
    /// It leaves claims to the user-info endpoint (5.4): no fault.
    ClaimsElsewhere,
    /// The user-info endpoint speaks of somebody else (5.3.2).
    OthersClaims,
    /// There is no token in the answer.
    Missing,
    /// The token endpoint fails.
    Down,
}

/// The algorithm by which the provider signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// RSA.
    Rs256,
    /// ECDSA on P-256.
    Es256,
}

struct Granted {
    nonce: String,
    challenge: String,
    redirect_uri: String,
    subject: String,
    email: String,
}

struct Inner {
    issuer: String,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    generation: u32,
    signs: Signs,
    now: Timestamp,
    tells_issuer: bool,
    wrong: VecDeque<Wrong>,
    granted: HashMap<String, Granted>,
    codes: u32,
    last: Value,
    /// How often the keys were fetched.
    fetched: u32,
}

/// The provider. It ends when it is dropped.
pub struct Provider {
    inner: Arc<Mutex<Inner>>,
    task: JoinHandle<()>,
}

type Shared = Arc<Mutex<Inner>>;
type Refusal = (StatusCode, Json<Value>);

fn lock(inner: &Shared) -> std::sync::MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fresh_key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("randomness");
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("it was just made")
}

impl Provider {
    /// Starts one whose clock stands at `now`.
    pub async fn start(signs: Signs, now: Timestamp) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        let rsa = include_bytes!("../../data/standin-rsa.der");
        let inner = Arc::new(Mutex::new(Inner {
            issuer: format!("http://{address}/realm"),
            rsa: RsaKeyPair::from_pkcs8(rsa).expect("a key for tests"),
            ec: fresh_key(),
            generation: 1,
            signs,
            now,
            tells_issuer: true,
            wrong: VecDeque::new(),
            granted: HashMap::new(),
            codes: 0,
            last: Value::Null,
            fetched: 0,
        }));
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(metadata))
            .route("/realm/keys", get(keys))
            .route("/realm/token", post(token))
            .route("/realm/userinfo", get(user_info))
            .with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { inner, task }
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> String {
        lock(&self.inner).issuer.clone()
    }

    /// What is wrong with the tokens to come, one after the other.
    pub fn script(&self, wrong: impl IntoIterator<Item = Wrong>) {
        lock(&self.inner).wrong = wrong.into_iter().collect();
    }

    /// Signs with another key from now on, whose name is new; the old one is not published any more.
    pub fn rotate(&self) {
        let mut inner = lock(&self.inner);
        inner.ec = fresh_key();
        inner.generation += 1;
    }

    /// Signs by this algorithm from now on.
    pub fn signs(&self, signs: Signs) {
        lock(&self.inner).signs = signs;
    }

    /// Moves its clock.
    pub fn set(&self, now: Timestamp) {
        lock(&self.inner).now = now;
    }

    /// Says who it is in its answers (RFC 9207), or does not.
    pub fn tells_issuer(&self, tells: bool) {
        lock(&self.inner).tells_issuer = tells;
    }

    /// How often its keys were fetched.
    pub fn fetched(&self) -> u32 {
        lock(&self.inner).fetched
    }

    /// What a browser is sent back with after somebody signed in: the parameters of the answer (Core 3.1.2.5). `None`: the
    /// question was not what Core 3.1.2.1 and RFC 7636 want it to be.
    pub fn visit(&self, url: &Url, subject: &str, email: &str) -> Option<HashMap<String, String>> {
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let mut inner = lock(&self.inner);
        let is = |name: &str, value: &str| asked.get(name).is_some_and(|found| found == value);
        let scopes: Vec<&str> = asked.get("scope")?.split(' ').collect();
        if !is("response_type", "code")
            || !is("client_id", CLIENT)
            || !is("code_challenge_method", "S256")
            || !scopes.contains(&"openid")
            || url.path() != "/realm/authorize"
        {
            return None;
        }
        inner.codes += 1;
        let code = format!("code-{}-{}", inner.codes, asked.get("nonce")?.get(..8)?);
        let granted = Granted {
            nonce: asked.get("nonce")?.clone(),
            challenge: asked.get("code_challenge")?.clone(),
            redirect_uri: asked.get("redirect_uri")?.clone(),
            subject: subject.to_owned(),
            email: email.to_owned(),
        };
        inner.granted.insert(code.clone(), granted);
        let mut answer = HashMap::from([
            ("code".to_owned(), code),
            ("state".to_owned(), asked.get("state")?.clone()),
        ]);
        if inner.tells_issuer {
            answer.insert("iss".to_owned(), inner.issuer.clone());
        }
        Some(answer)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn metadata(State(inner): State<Shared>) -> Json<Value> {
    let inner = lock(&inner);
    let issuer = &inner.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "authorization_response_iss_parameter_supported": inner.tells_issuer,
    }))
}

fn b64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

async fn keys(State(inner): State<Shared>) -> Json<Value> {
    let mut inner = lock(&inner);
    inner.fetched += 1;
    let rsa: PublicKeyComponents<Vec<u8>> = inner.rsa.public_key().into();
    let point = inner.ec.public_key().as_ref();
    Json(json!({"keys": [
        {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "rsa", "n": b64(&rsa.n), "e": b64(&rsa.e)},
        {"kty": "EC", "crv": "P-256", "use": "sig", "kid": format!("ec-{}", inner.generation),
            "x": b64(&point[1..33]), "y": b64(&point[33..])},
        {"kty": "OKP", "crv": "X25519", "use": "enc", "kid": "unknown", "x": b64(&[0; 32])},
    ]}))
}

fn refuse(status: StatusCode, word: &str) -> Refusal {
    (status, Json(json!({ "error": word })))
}

/// Core 3.1.3.2 and RFC 7636, 4.6.
async fn token(
    State(shared): State<Shared>,
    headers: HeaderMap,
    RawForm(form): RawForm,
) -> Result<Json<Value>, Refusal> {
    let asked: HashMap<String, String> = form_urlencoded::parse(&form).into_owned().collect();
    let mut inner = lock(&shared);
    let escape = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let both = format!("{}:{}", escape(CLIENT), escape(SECRET));
    let wanted = format!("Basic {}", BASE64_STANDARD.encode(both));
    let shown = headers.get(header::AUTHORIZATION);
    if shown.is_none_or(|value| value.as_bytes() != wanted.as_bytes()) {
        return Err(refuse(StatusCode::UNAUTHORIZED, "invalid_client"));
    }
    let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
    if field("grant_type") != "authorization_code" {
        return Err(refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type"));
    }
    // A code is good once, whatever becomes of it (RFC 6749, 4.1.2).
    let invalid = || refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    let granted = inner.granted.remove(&field("code")).ok_or_else(invalid)?;
    let challenge = b64(&Sha256::digest(field("code_verifier").as_bytes()));
    if granted.redirect_uri != field("redirect_uri") || granted.challenge != challenge {
        return Err(invalid());
    }
    let wrong = inner.wrong.pop_front().unwrap_or(Wrong::Nothing);
    if wrong == Wrong::Down {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "server_error"));
    }
    let claims = claims(&inner, &granted, wrong);
    inner.last = json!({
        "sub": if wrong == Wrong::OthersClaims { "somebody else" } else { &granted.subject },
        "email": granted.email,
        "email_verified": true,
    });
    let mut answer = json!({"access_token": "for-user-info", "token_type": "Bearer"});
    if wrong != Wrong::Missing {
        answer["id_token"] = sign(&inner, &claims, wrong).into();
    }
    Ok(Json(answer))
}

fn claims(inner: &Inner, granted: &Granted, wrong: Wrong) -> Value {
    let now = inner.now.as_second();
    let mut claims = json!({
        "iss": inner.issuer,
        "sub": granted.subject,
        "aud": CLIENT,
        "iat": now,
        "exp": now + 300,
        "nonce": granted.nonce,
        "email": granted.email,
        "email_verified": true,
    });
    let mut set = |name: &str, value: Value| claims[name] = value;
    match wrong {
        Wrong::Nonce => set("nonce", "0".repeat(64).into()),
        Wrong::Audience => set("aud", "another client".into()),
        Wrong::TwoAudiences => set("aud", json!([CLIENT, "another client"])),
        Wrong::Party => set("azp", "another client".into()),
        Wrong::Issuer => set("iss", "https://login.example.com".into()),
        Wrong::Expired => {
            set("iat", (now - 500).into());
            set("exp", (now - 120).into());
        }
        Wrong::JustExpired => set("exp", (now - 30).into()),
        Wrong::Future => set("iat", (now + 600).into()),
        Wrong::Unverified => set("email_verified", false.into()),
        Wrong::VerifiedInWords => set("email_verified", "false".into()),
        Wrong::ClaimsElsewhere | Wrong::OthersClaims => {
            set("email", Value::Null);
            set("email_verified", Value::Null);
        }
        _ => {}
    }
    claims
}

fn sign(inner: &Inner, claims: &Value, wrong: Wrong) -> String {
    let es256 = inner.signs == Signs::Es256;
    let (alg, kid) = match wrong {
        Wrong::Unsigned => ("none", String::new()),
        Wrong::PublicKeyAsSecret => ("HS256", "rsa".to_owned()),
        _ if es256 => ("ES256", format!("ec-{}", inner.generation)),
        _ => ("RS256", "rsa".to_owned()),
    };
    let head = json!({"alg": alg, "typ": "JWT", "kid": kid});
    let signed = format!(
        "{}.{}",
        b64(head.to_string().as_bytes()),
        b64(claims.to_string().as_bytes())
    );
    let bytes = signed.as_bytes();
    let random = SystemRandom::new();
    let signature = match wrong {
        Wrong::Unsigned => Vec::new(),
        Wrong::PublicKeyAsSecret => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, inner.rsa.public_key().as_ref());
            hmac::sign(&key, bytes).as_ref().to_vec()
        }
        Wrong::Forged if es256 => {
            let made = fresh_key().sign(&random, bytes);
            made.expect("randomness").as_ref().to_vec()
        }
        _ if es256 => {
            let made = inner.ec.sign(&random, bytes);
            made.expect("randomness").as_ref().to_vec()
        }
        _ => {
            let mut made = vec![0; inner.rsa.public().modulus_len()];
            let done = inner.rsa.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut made);
            done.expect("randomness");
            if wrong == Wrong::Forged {
                made[7] ^= 1;
            }
            made
        }
    };
    format!("{signed}.{}", b64(&signature))
}

/// Core 5.3.
async fn user_info(
    State(inner): State<Shared>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let shown = headers.get(header::AUTHORIZATION);
    if shown.is_none_or(|value| value != "Bearer for-user-info") {
        return Err(refuse(StatusCode::UNAUTHORIZED, "invalid_token"));
    }
    Ok(Json(lock(&inner).last.clone()))
}
