//! Organisations do not see each other, whatever becomes of a connection.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use platform::{
    Actor, Clock, Db, DbError, OrganizationId, Register, RequestId, Scope, migrate,
    testing::{TestDatabase, on_each_database},
};
use tokio_postgres::error::SqlState;

async fn two(database: &TestDatabase) -> (Db, Scope, Scope) {
    // One connection: whatever one organisation leaves on it, the next would find.
    let db = Db::connect(&database.url, 1).await.unwrap();
    migrate(&db, &[platform::room()]).await.unwrap();
    let register = Register::new(db.clone(), Clock::system());
    let a = register.add_organization("a").await.unwrap();
    let b = register.add_organization("b").await.unwrap();
    let client = db.system().await.unwrap();
    for organization in [a, a, b] {
        client
            .execute(
                "INSERT INTO platform.asset (organization_id, name) VALUES ($1, 'x')",
                &[&organization],
            )
            .await
            .unwrap();
    }
    (db, scope(a), scope(b))
}

fn scope(organization: OrganizationId) -> Scope {
    Scope {
        organization,
        actor: Actor::User(7),
        request: RequestId::fresh(),
    }
}

async fn assets(client: &tokio_postgres::Client) -> i64 {
    let sql = "SELECT count(*) FROM platform.asset";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// The role and the organisation that a statement on a pooled connection would act for.
async fn left_behind(db: &Db) -> (String, Option<String>) {
    let client = db.system().await.unwrap();
    let sql = "SELECT current_user::text, nullif(current_setting('patio.organization', true), '')";
    let row = client.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[test]
fn a_pooled_connection_leaks_no_organization() {
    on_each_database(|database| async move {
        let (db, a, b) = two(&database).await;
        let clean = || ("patio_system".to_owned(), None);
        for _ in 0..3 {
            let tenant = db.tenant(&a).await.unwrap();
            assert_eq!(assets(&tenant).await, 2);
            let row = tenant
                .query_one("SELECT current_setting('patio.actor'), current_setting('patio.request'), current_user::text", &[])
                .await
                .unwrap();
            assert_eq!(row.get::<_, &str>(0), "user:7");
            assert_eq!(row.get::<_, &str>(1), a.request.as_str());
            assert_eq!(row.get::<_, &str>(2), "patio_app");
            tenant.commit().await.unwrap();
            assert_eq!(left_behind(&db).await, clean());

            let tenant = db.tenant(&b).await.unwrap();
            assert_eq!(assets(&tenant).await, 1);
            tenant.rollback().await.unwrap();
            assert_eq!(left_behind(&db).await, clean());

            // Dropped in the middle, also with a failed statement behind it.
            let tenant = db.tenant(&a).await.unwrap();
            tenant
                .execute("DELETE FROM platform.asset", &[])
                .await
                .unwrap_err();
            drop(tenant);
            assert_eq!(left_behind(&db).await, clean());
            drop(db.tenant(&a).await.unwrap());
            assert_eq!(left_behind(&db).await, clean());

            // Given up while a statement runs, and while the transaction begins.
            let tenant = db.tenant(&a).await.unwrap();
            let slow = tenant.batch_execute("SELECT pg_sleep(0.05)");
            tokio::time::timeout(Duration::from_millis(5), slow)
                .await
                .unwrap_err();
            drop(tenant);
            assert_eq!(left_behind(&db).await, clean());
            for micros in [0, 10, 100, 300] {
                let begun =
                    tokio::time::timeout(Duration::from_micros(micros), db.tenant(&a)).await;
                drop(begun);
                assert_eq!(left_behind(&db).await, clean(), "{micros}");
            }
            // Who resets everything is the system again, not the login.
            let client = db.system().await.unwrap();
            client.batch_execute("RESET ALL; RESET ROLE").await.unwrap();
            drop(client);
            assert_eq!(left_behind(&db).await, clean());
        }
    });
}

#[test]
fn an_organization_neither_reads_nor_writes_anothers_rows() {
    on_each_database(|database| async move {
        let (db, a, b) = two(&database).await;
        let tenant = db.tenant(&b).await.unwrap();
        let stolen = tenant
            .execute(
                "UPDATE platform.asset SET organization_id = $1",
                &[&a.organization],
            )
            .await
            .unwrap_err();
        assert_eq!(stolen.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
        drop(tenant);
        let tenant = db.tenant(&b).await.unwrap();
        let renamed = tenant
            .execute("UPDATE platform.asset SET name = 'mine'", &[])
            .await
            .unwrap();
        assert_eq!(renamed, 1, "only its own");
        tenant.commit().await.unwrap();
        let seen = |scope: Scope, sql: &'static str| {
            let db = db.clone();
            async move {
                let tenant = db.tenant(&scope).await.unwrap();
                let row = tenant.query_one(sql, &[]).await.unwrap();
                row.get::<_, i64>(0)
            }
        };
        let organizations = "SELECT count(*) FROM platform.organization";
        assert_eq!(seen(a.clone(), organizations).await, 1);
        let named = "SELECT count(*) FROM platform.asset WHERE name = 'mine'";
        assert_eq!((seen(a, named).await, seen(b, named).await), (0, 1));
        // An organisation that is not there sees nothing.
        let nobody = scope(OrganizationId(999_999));
        assert_eq!(seen(nobody, "SELECT count(*) FROM platform.asset").await, 0);
    });
}

#[test]
fn roles_own_nothing_and_bypass_nothing() {
    on_each_database(|database| async move {
        let (db, ..) = two(&database).await;
        let owner = db.owner().await.unwrap();
        let sql = "SELECT count(*) FROM pg_roles AS r WHERE r.rolname IN ('patio_app', 'patio_system', 'patio_reader')
            AND NOT (r.rolsuper OR r.rolbypassrls OR r.rolcanlogin OR r.rolcreaterole OR r.rolcreatedb)
            AND NOT EXISTS (SELECT FROM pg_shdepend AS d WHERE d.refobjid = r.oid AND d.deptype = 'o')";
        assert_eq!(owner.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 3);
        let client = db.system().await.unwrap();
        for sql in [
            "ALTER TABLE platform.asset DISABLE ROW LEVEL SECURITY",
            "DROP TABLE platform.asset",
            "CREATE TABLE platform.mine ()",
            "CALL platform.share('platform.asset')",
        ] {
            let refused = client.batch_execute(sql).await.unwrap_err();
            assert_eq!(
                refused.code(),
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                "{sql}"
            );
        }
    });
}

/// A login that may do nothing but take on the roles serves; one that may not is told so.
#[test]
fn owner_and_application_may_be_two_logins() {
    on_each_database(|database| async move {
        let (db, a, _) = two(&database).await;
        let owner = db.owner().await.unwrap();
        let login = format!("login_{}", std::process::id());
        owner
            .batch_execute(&format!(
                "DROP ROLE IF EXISTS {login}; CREATE ROLE {login} LOGIN PASSWORD 'guest'"
            ))
            .await
            .unwrap();
        let (_, rest) = database.url.split_once('@').unwrap();
        let url = format!("postgres://{login}:guest@{rest}");
        let stranger = Db::connect_with(&url, &database.url, 2).await.unwrap();
        let refused = stranger.system().await.unwrap_err();
        assert!(matches!(refused, DbError::Denied { .. }), "{refused}");
        owner
            .batch_execute(&format!("GRANT patio_app, patio_system TO {login}"))
            .await
            .unwrap();
        let tenant = stranger.tenant(&a).await.unwrap();
        assert_eq!(assets(&tenant).await, 2);
        drop((tenant, stranger));
        owner
            .batch_execute(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}'; DROP ROLE {login}"))
            .await
            .unwrap();
    });
}

/// Roles belong to the whole server: many databases are migrated at the same time.
#[test]
fn many_databases_are_migrated_at_once() {
    on_each_database(|database| async move {
        let db = database.connect().await;
        let owner = db.owner().await.unwrap();
        let (place, name) = database.url.rsplit_once('/').unwrap();
        let name = name.split('?').next().unwrap();
        let names: Vec<String> = (0..4).map(|n| format!("{name}_{n}")).collect();
        for name in &names {
            owner
                .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
                .await
                .unwrap();
        }
        let all = names.iter().map(|name| {
            let url = format!("{place}/{name}");
            tokio::spawn(async move {
                let db = Db::connect(&url, 2).await.unwrap();
                migrate(&db, &[platform::room()]).await.map(drop)
            })
        });
        for one in all.collect::<Vec<_>>() {
            one.await.unwrap().unwrap();
        }
        for name in &names {
            owner
                .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
                .await
                .unwrap();
        }
    });
}
