//! `Idempotency-Key`: a request that is sent again has one effect, and gets the same answer.
//!
//! The answer is written in the transaction that does what is asked, so there is no moment in which one is there
//! without the other. Whoever asks at the same time waits for that transaction. A key is bound to who asks, method,
//! path and body. Errors are not kept: what had no effect may be tried again.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use platform::{Db, Tenant};
use serde::Serialize;

use crate::{
    body::Asked,
    caller::Caller,
    problem::{Code, Problem},
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Whose turn it is.
#[derive(Debug)]
pub enum Turn {
    /// Do it in this transaction, and [`finish`] it.
    Now(Box<Tenant>),
    /// It was done: this is the answer.
    Done(Response),
}

/// Begins a transaction of the caller, unless what they ask was done before.
pub async fn begin(db: &Db, caller: &Caller, asked: &Asked) -> Result<Turn, Problem> {
    let tenant = db.tenant(&caller.scope).await?;
    let Some(key) = &asked.key else {
        return Ok(Turn::Now(Box::new(tenant)));
    };
    let who = caller.scope.actor.to_string();
    let digest = asked.digest.as_slice();
    let (method, path) = (&asked.method, &asked.path);
    let organization = caller.scope.organization;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&organization, &who, key, method, path, &digest];
    let statement = tenant
        .prepare_cached(include_str!("../queries/claim.sql"))
        .await?;
    let claimed = tenant.execute(&statement, &parameters).await?;
    if claimed == 1 {
        return Ok(Turn::Now(Box::new(tenant)));
    }
    let statement = tenant
        .prepare_cached(include_str!("../queries/answered.sql"))
        .await?;
    let row = tenant.query_one(&statement, &parameters).await?;
    tenant.commit().await?;
    if !row.get::<_, bool>("same") {
        return Err(Problem::new(
            Code::IdempotencyKeyReused,
            "this Idempotency-Key was sent with another method, path or body: use a new one for what is new",
        ));
    }
    let status: Option<i16> = row.get("status");
    let status = status
        .and_then(|status| StatusCode::from_u16(status.cast_unsigned()).ok())
        .unwrap_or(StatusCode::OK);
    let body: Vec<u8> = row.get::<_, Option<Vec<u8>>>("body").unwrap_or_default();
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (REPLAYED, HeaderValue::from_static("true")),
    ];
    Ok(Turn::Done((status, headers, body).into_response()))
}

/// Commits what was done, and its answer with it.
pub async fn finish<T: Serialize>(
    tenant: Tenant,
    asked: &Asked,
    status: StatusCode,
    value: &T,
) -> Result<Response, Problem> {
    if let Some(key) = &asked.key {
        let body = serde_json::to_vec(value).map_err(|error| {
            tracing::warn!(%error, "an answer cannot be written");
            Problem::new(Code::Internal, "the log says more")
        })?;
        let who = tenant.scope().actor.to_string();
        let statement = tenant
            .prepare_cached(include_str!("../queries/answer.sql"))
            .await?;
        tenant
            .execute(
                &statement,
                &[
                    &tenant.scope().organization,
                    &who,
                    key,
                    &status.as_u16().cast_signed(),
                    &body,
                ],
            )
            .await?;
    }
    tenant.commit().await?;
    Ok((status, Json(value)).into_response())
}
