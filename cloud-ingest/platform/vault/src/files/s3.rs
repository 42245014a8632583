//! S3-compatible storage: Amazon S3, MinIO, Ceph, Cloudflare R2. Requests are signed with AWS Signature Version 4 in the
//! URL, and carry the checksum of the content, so that what arrives damaged is refused by the service.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::Method;
use outbound::{Answer, Client, Request};
use platform::Clock;
use rusty_s3::{Bucket as Place, Credentials, S3Action, UrlStyle};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::store::{Store, StoreError, Stored};
use crate::secret::Secret;

/// How long a signed request may be on its way.
const VALID: Duration = Duration::from_mins(5);
/// Attempts: every request may be sent twice without harm.
const ATTEMPTS: u32 = 3;

/// A bucket.
#[derive(Clone)]
pub struct Bucket {
    place: Arc<Place>,
    key_id: String,
    key: Secret,
    client: Client,
    clock: Clock,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.place.base_url())
    }
}

/// What a bucket is reached by.
#[derive(Clone, Debug)]
pub struct Access {
    /// The service, such as `https://s3.us-east-1.amazonaws.com`.
    pub endpoint: Url,
    /// The bucket.
    pub bucket: String,
    /// The region; `auto` or `us-east-1` where there are none.
    pub region: String,
    /// The access key's id.
    pub key_id: String,
    /// The access key.
    pub key: Secret,
    /// Whether the bucket is a part of the path (MinIO, Ceph) and not of the host's name (Amazon).
    pub path_style: bool,
}

impl Bucket {
    /// A bucket. The client must be one whose rules let it read answers as long as files are.
    pub fn new(access: Access, client: Client, clock: Clock) -> Result<Self, StoreError> {
        let style = if access.path_style {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let endpoint = access.endpoint.to_string();
        let place =
            Place::new(access.endpoint, style, access.bucket, access.region).map_err(|error| {
                StoreError::Failed {
                    key: endpoint,
                    reason: error.to_string(),
                }
            })?;
        Ok(Self {
            place: Arc::new(place),
            key_id: access.key_id,
            key: access.key,
            client,
            clock,
        })
    }

    fn credentials(&self) -> Credentials {
        let key = String::from_utf8_lossy(self.key.reveal());
        Credentials::new(self.key_id.clone(), key.into_owned())
    }

    async fn send(&self, method: Method, key: &str, body: Bytes) -> Result<Answer, StoreError> {
        let failed = |reason: String| StoreError::Failed {
            key: key.to_owned(),
            reason,
        };
        let credentials = self.credentials();
        let signer = Some(&credentials);
        let checksum = BASE64_STANDARD.encode(Sha256::digest(&body));
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(200) * attempt).await;
            }
            let now = self.clock.now();
            let mut request =
                Request::new(method.clone(), self.place.base_url().clone(), body.clone());
            request.url = match method {
                Method::PUT => {
                    let mut action = self.place.put_object(signer, key);
                    action
                        .headers_mut()
                        .insert("x-amz-checksum-sha256", checksum.clone());
                    request = request.header("x-amz-checksum-sha256", &checksum);
                    action.sign_with_time(VALID, &now)
                }
                Method::DELETE => self
                    .place
                    .delete_object(signer, key)
                    .sign_with_time(VALID, &now),
                _ => self
                    .place
                    .get_object(signer, key)
                    .sign_with_time(VALID, &now),
            };
            match self.client.call(request).await {
                Ok(answer) if answer.status < 500 && answer.status != 429 => return Ok(answer),
                Ok(answer) => last = refused(&answer),
                Err(error) => last = error.to_string(),
            }
        }
        Err(failed(last))
    }
}

fn refused(answer: &Answer) -> String {
    let says: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .take(300)
        .collect();
    format!("the service answers {}: {says}", answer.status)
}

fn done(key: &str, answer: &Answer, good: &[u16]) -> Result<(), StoreError> {
    if good.contains(&answer.status) {
        return Ok(());
    }
    if answer.status == 404 {
        return Err(StoreError::Missing(key.to_owned()));
    }
    Err(StoreError::Failed {
        key: key.to_owned(),
        reason: refused(answer),
    })
}

impl Store for Bucket {
    fn put<'a>(&'a self, key: &'a str, content: Bytes) -> Stored<'a, ()> {
        Box::pin(async move {
            let answer = self.send(Method::PUT, key, content).await?;
            done(key, &answer, &[200, 201, 204])
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> Stored<'a, Bytes> {
        Box::pin(async move {
            let answer = self.send(Method::GET, key, Bytes::new()).await?;
            done(key, &answer, &[200])?;
            if answer.cut {
                return Err(StoreError::Failed {
                    key: key.to_owned(),
                    reason: "the answer is longer than the client reads".to_owned(),
                });
            }
            Ok(answer.body)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Stored<'a, ()> {
        Box::pin(async move {
            let answer = self.send(Method::DELETE, key, Bytes::new()).await?;
            done(key, &answer, &[200, 204, 404])
        })
    }
}
