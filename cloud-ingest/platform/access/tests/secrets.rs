//! Who may read secrets, in the database and in memory.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use access::{Access, AccessError, Kind, NewUser, Permissions, SECRETS, SignedIn};
use jiff::Timestamp;
use platform::{
    Clock, Db, Register, Scope, migrate,
    testing::{TestDatabase, on_each_database},
};
use tokio_postgres::error::SqlState;
use vault::Ring;

const EMAIL: &str = "ana@example.com";
const PASSWORD: &str = "correct horse battery staple";
const START: i64 = 1_790_000_000;

fn ring(lines: &[&str]) -> Ring {
    Ring::read(&lines.join("\n")).unwrap()
}

async fn world(database: &TestDatabase, ring: Option<Ring>) -> (Db, Access, Scope) {
    let db = database.connect().await;
    migrate(&db, &[platform::room(), audit::room(), access::room()])
        .await
        .unwrap();
    let (clock, _) = Clock::by_hand(Timestamp::from_second(START).unwrap());
    let register = Register::new(db.clone(), clock.clone());
    let organization = register.add_organization("a").await.unwrap();
    let access = Access::new(db.clone(), clock).with_ring(ring);
    let scope = Scope::of_system(organization, "test");
    let new = NewUser {
        email: EMAIL.to_owned(),
        name: "Ana".to_owned(),
        password: PASSWORD.to_owned(),
        roles: vec!["viewer".to_owned()],
    };
    access.add_user(&scope, &new).await.unwrap();
    (db, access, scope)
}

async fn refused(client: &tokio_postgres::Client, sql: &str) {
    let error = client.batch_execute(sql).await.expect_err(sql);
    let code = error.code().unwrap_or_else(|| panic!("{sql}: {error}"));
    assert_eq!(code, &SqlState::INSUFFICIENT_PRIVILEGE, "{sql}: {error}");
}

#[test]
fn the_application_reads_no_hash_and_no_secret() {
    on_each_database(async |database: TestDatabase| {
        let line = Ring::new_line(1).unwrap();
        let (db, access, scope) = world(&database, Some(ring(&[&line]))).await;
        access.require_codes(&scope, EMAIL).await.unwrap();
        let permissions = Permissions::named(["telemetry.read"]).unwrap();
        access
            .add_key(&scope, "app", &permissions, None)
            .await
            .unwrap();
        let hidden = [
            ("access.user", "password_hash"),
            ("access.user", "code_secret"),
            ("access.user", "code_sealed"),
            ("access.api_key", "hash"),
            ("access.token", "hash"),
            ("access.token", "session_id"),
            ("access.attempt", "account"),
            ("access.oidc_provider", "client_secret"),
            ("access.oidc_attempt", "state"),
            ("access.oidc_attempt", "browser"),
        ];
        for (table, column) in hidden {
            for sql in [
                format!("SELECT {column} FROM {table}"),
                format!("SELECT count(*) FROM {table} WHERE {column}::text LIKE '%a%'"),
                format!("SELECT to_jsonb(t) FROM {table} AS t"),
                format!("COPY {table} ({column}) TO STDOUT"),
                format!("SELECT 1 FROM {table} ORDER BY {column}"),
                format!("DELETE FROM {table} RETURNING {column}"),
                format!("UPDATE {table} SET {column} = DEFAULT RETURNING {column}"),
            ] {
                let tenant = db.tenant(&scope).await.unwrap();
                refused(&tenant, &sql).await;
                drop(tenant);
                let client = db.owner().await.unwrap();
                client.batch_execute("SET ROLE patio_reader").await.unwrap();
                refused(&client, &sql).await;
            }
        }
        // What it may do goes on.
        assert_eq!(access.users(&scope, None, 10).await.unwrap().len(), 1);
        assert!(access.users(&scope, None, 10).await.unwrap()[0].needs_code);
        assert_eq!(access.keys(&scope, None, 10).await.unwrap().len(), 1);
        access
            .set_password(&scope, EMAIL, "another horse battery")
            .await
            .unwrap();
    });
}

#[test]
fn secrets_of_one_time_codes_are_sealed() {
    on_each_database(async |database: TestDatabase| {
        let (one, two) = (Ring::new_line(1).unwrap(), Ring::new_line(2).unwrap());
        let (db, bare, scope) = world(&database, None).await;
        let none = bare.require_codes(&scope, EMAIL).await.unwrap_err();
        assert!(matches!(none, AccessError::NoRing), "{none}");
        // As a program before sealing left it.
        let owner = db.owner().await.unwrap();
        let secret = b"12345678901234567890".to_vec();
        owner
            .execute("UPDATE access.user SET code_secret = $1", &[&secret])
            .await
            .unwrap();
        let code = |step: i64| {
            totp_rs::Builder::new()
                .with_secret(totp_rs::Secret::from(b"12345678901234567890".to_vec()))
                .build_noncompliant()
                .generate((START + 30 * step).unsigned_abs())
                .to_string()
        };
        let sign_in = async |access: &Access, code: Option<String>| {
            let code = code.as_deref();
            access
                .sign_in(EMAIL, PASSWORD, code, Kind::Program)
                .await
                .map(drop)
        };
        sign_in(&bare, Some(code(-1))).await.unwrap();
        assert_eq!(bare.seal_codes(&ring(&[&one])).await.unwrap(), 1);
        assert_eq!(bare.seal_codes(&ring(&[&one])).await.unwrap(), 0);
        let row = owner
            .query_one(
                "SELECT code_secret IS NULL, code_sealed FROM access.user",
                &[],
            )
            .await
            .unwrap();
        let sealed: &[u8] = row.get(1);
        assert!(row.get::<_, bool>(0) && !sealed.windows(20).any(|part| part == secret));
        // Without the ring nobody gets past; with it, and after a rotation, the same codes are good.
        let closed = sign_in(&bare, Some(code(0))).await.unwrap_err();
        assert!(matches!(closed, AccessError::NoRing), "{closed}");
        let open = bare.clone().with_ring(Some(ring(&[&one])));
        assert!(matches!(
            sign_in(&open, None).await.unwrap_err(),
            AccessError::CodeNeeded
        ));
        sign_in(&open, Some(code(0))).await.unwrap();
        assert_eq!(
            vault::rotate(&db, &ring(&[&one, &two]), &SECRETS)
                .await
                .unwrap(),
            1
        );
        let rotated = bare.clone().with_ring(Some(ring(&[&two])));
        sign_in(&rotated, Some(code(1))).await.unwrap();
    });
}

#[test]
fn debug_shows_no_secret() {
    on_each_database(async |database: TestDatabase| {
        let line = Ring::new_line(1).unwrap();
        let (_, access, scope) = world(&database, Some(ring(&[&line]))).await;
        let permissions = Permissions::named(["telemetry.read"]).unwrap();
        let key = access
            .add_key(&scope, "app", &permissions, None)
            .await
            .unwrap();
        let signed = async |kind| access.sign_in(EMAIL, PASSWORD, None, kind).await.unwrap();
        let (page, program) = (signed(Kind::Page).await, signed(Kind::Program).await);
        let (SignedIn::Page(inner), SignedIn::Program(tokens)) = (&page, &program) else {
            panic!("asked for otherwise");
        };
        let identity = access.whose_page(&inner.cookie).await.unwrap();
        let new = NewUser {
            email: EMAIL.to_owned(),
            name: "Ana".to_owned(),
            password: PASSWORD.to_owned(),
            roles: Vec::new(),
        };
        let shown = format!("{key:?} {page:?} {program:?} {identity:?} {new:?} {access:?}");
        for secret in [
            key.key.as_str(),
            &inner.cookie,
            &inner.csrf,
            &tokens.access_token,
            &tokens.refresh_token,
            PASSWORD,
            EMAIL,
            line.split(' ').nth(1).unwrap(),
        ] {
            assert!(!shown.contains(secret), "{shown}");
        }
    });
}
