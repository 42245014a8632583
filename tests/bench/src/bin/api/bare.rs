//! The baseline: an axum server that runs the statements and writes the answer.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use platform::{
    Db, Register, Scope,
    asset::{self, NewAsset},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const CLAIM: &str = "INSERT INTO web.answer (organization_id, caller, key, method, path, digest) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
const ANSWER: &str = "UPDATE web.answer SET status = $4, body = $5 \
                      WHERE organization_id = $1 AND caller = $2 AND key = $3";
/// One more than a page has: it tells that there is another.
const PAGE: u32 = 101;

type Shared = State<(Db, Scope)>;

#[derive(Deserialize)]
struct Wanted {
    name: String,
}

async fn page(State((db, scope)): Shared) -> Result<Json<Value>, StatusCode> {
    let answer = async {
        let tenant = db.tenant(&scope).await?;
        let assets = telemetry::read::assets(&tenant, None, PAGE).await?;
        tenant.commit().await?;
        let items = &assets[..assets.len().min(PAGE as usize - 1)];
        anyhow::Ok(Json(json!({"items": items, "next": "x"})))
    };
    answer.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn make(
    State((db, scope)): Shared,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<(StatusCode, Json<NewAsset>), StatusCode> {
    let answer = async {
        let key = headers
            .get("idempotency-key")
            .and_then(|key| key.to_str().ok())
            .context("no key")?;
        let who = scope.actor.to_string();
        let digest = Sha256::digest(&wanted.name);
        let tenant = db.tenant(&scope).await?;
        let statement = tenant.prepare_cached(CLAIM).await?;
        tenant
            .execute(
                &statement,
                &[
                    &scope.organization,
                    &who,
                    &key,
                    &"POST",
                    &"/v1/assets",
                    &digest.as_slice(),
                ],
            )
            .await?;
        let made = asset::add(&tenant, None, &wanted.name).await?;
        let body = serde_json::to_vec(&made)?;
        let statement = tenant.prepare_cached(ANSWER).await?;
        tenant
            .execute(
                &statement,
                &[&scope.organization, &who, &key, &201_i16, &body],
            )
            .await?;
        tenant.commit().await?;
        anyhow::Ok((StatusCode::CREATED, Json(made)))
    };
    answer.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Serves until it is killed.
pub(crate) fn serve(database: &str, connections: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let db = Db::connect(database, connections).await?;
        let register = Register::new(db.clone(), platform::Clock::system());
        let organization = register
            .organization("default")
            .await?
            .context("there is no organisation `default`")?;
        let scope = Scope::of_system(organization, "bare");
        let router = Router::new()
            .route("/v1/assets", get(page).post(make))
            .with_state((db, scope));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("ready http=http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}
