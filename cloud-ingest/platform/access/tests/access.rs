//! Signing in, tokens and keys on real databases.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::Path, time::Duration};

use access::{
    Access, AccessError, Kind, NewUser, Permissions, SignedIn, Tokens, lockout, session, who,
};
use jiff::Timestamp;
use platform::{
    Actor, Clock, Hand, Register, RequestId, Scope, migrate,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use totp_rs::{Builder, Secret};

const EMAIL: &str = "ana@example.com";
const PASSWORD: &str = "correct horse battery staple";

struct World {
    access: Access,
    hand: Hand,
    scope: Scope,
    other: Scope,
}

async fn world(database: &TestDatabase) -> World {
    let db = database.connect().await;
    migrate(&db, &[platform::room(), audit::room(), access::room()])
        .await
        .unwrap();
    let (clock, hand) = Clock::by_hand(Timestamp::from_second(1_790_000_000).unwrap());
    let ring = vault::Ring::read(&vault::Ring::new_line(1).unwrap()).unwrap();
    let register = Register::new(db.clone(), clock.clone());
    let scope = |organization| Scope::of_system(organization, "test");
    World {
        scope: scope(register.add_organization("a").await.unwrap()),
        other: scope(register.add_organization("b").await.unwrap()),
        access: Access::new(db, clock).with_ring(Some(ring)),
        hand,
    }
}

impl World {
    async fn add(&self, email: &str, roles: &[&str]) -> Result<i32, AccessError> {
        let new = NewUser {
            email: email.to_owned(),
            name: "Ana".to_owned(),
            password: PASSWORD.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        self.access.add_user(&self.scope, &new).await
    }

    async fn tokens(&self, password: &str, code: Option<&str>) -> Result<Tokens, AccessError> {
        match self
            .access
            .sign_in(EMAIL, password, code, Kind::Program)
            .await?
        {
            SignedIn::Program(tokens) => Ok(tokens),
            SignedIn::Page(_) => panic!("a page"),
        }
    }

    async fn is_good(&self, token: &str) -> bool {
        self.access.who(token).await.unwrap().is_some()
    }
}

#[test]
fn everything_is_commented_and_every_query_is_sound() {
    on_each_database(|database| async move {
        let world = world(&database).await;
        assert_commented(world.access.db(), "access").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert!(prepare_all(world.access.db(), &queries).await > 20);
    });
}

#[test]
fn a_session_is_begun_refreshed_and_ended() {
    on_each_database(|database| async move {
        let world = world(&database).await;
        let id = world.add(" Ana@Example.com ", &["viewer"]).await.unwrap();
        assert!(matches!(
            world.add(EMAIL, &[]).await,
            Err(AccessError::Taken(_))
        ));
        let first = world.tokens(PASSWORD, None).await.unwrap();
        let known = world
            .access
            .who(&first.access_token)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (known.actor, known.organization),
            (Actor::User(id), world.scope.organization)
        );
        assert!(known.permissions.has("telemetry.read") && !known.permissions.has("assets.write"));
        // A refresh token is no access token, nor the other way round.
        assert!(!world.is_good(&first.refresh_token).await);
        let refused = world.access.refresh(&first.access_token).await.unwrap_err();
        assert!(matches!(refused, AccessError::Refused), "{refused}");

        world
            .hand
            .advance(session::ACCESS_LIFE + Duration::from_secs(1));
        assert!(
            !world.is_good(&first.access_token).await,
            "it is short-lived"
        );
        let second = world.access.refresh(&first.refresh_token).await.unwrap();
        assert!(world.is_good(&second.access_token).await);
        // The first refresh token again: somebody has stolen it. Nothing of the family is good any more.
        let reused = world
            .access
            .refresh(&first.refresh_token)
            .await
            .unwrap_err();
        assert!(matches!(reused, AccessError::Reused), "{reused}");
        assert!(!world.is_good(&second.access_token).await);
        assert!(world.access.refresh(&second.refresh_token).await.is_err());
        // Another sign-in is another family.
        let third = world.tokens(PASSWORD, None).await.unwrap();
        assert!(world.is_good(&third.access_token).await);
        world
            .access
            .sign_out(
                world
                    .access
                    .who(&third.access_token)
                    .await
                    .unwrap()
                    .unwrap()
                    .session
                    .unwrap(),
            )
            .await
            .unwrap();
        assert!(!world.is_good(&third.access_token).await);

        // Roles and passwords take effect at once.
        let fourth = world.tokens(PASSWORD, None).await.unwrap();
        world
            .access
            .set_roles(&world.scope, EMAIL, &["operator".to_owned()])
            .await
            .unwrap();
        let known = world
            .access
            .who(&fourth.access_token)
            .await
            .unwrap()
            .unwrap();
        assert!(known.permissions.has("assets.write"));
        world
            .access
            .set_password(&world.scope, EMAIL, "another horse battery")
            .await
            .unwrap();
        assert!(!world.is_good(&fourth.access_token).await);
        assert!(world.tokens(PASSWORD, None).await.is_err());
        let fifth = world.tokens("another horse battery", None).await.unwrap();
        world
            .access
            .disable_user(&world.scope, EMAIL)
            .await
            .unwrap();
        assert!(!world.is_good(&fifth.access_token).await);
        assert!(world.tokens("another horse battery", None).await.is_err());
        let nobody = world
            .access
            .disable_user(&world.other, EMAIL)
            .await
            .unwrap_err();
        assert!(
            matches!(nobody, AccessError::Missing { .. }),
            "another organisation's"
        );

        world
            .hand
            .advance(session::PROGRAM_LIFE + Duration::from_hours(31 * 24));
        world.access.tidy().await.unwrap();
        let client = world.access.db().system().await.unwrap();
        let left = client
            .query_one("SELECT (SELECT count(*) FROM access.session), (SELECT count(*) FROM access.token), (SELECT count(*) FROM access.attempt)", &[])
            .await
            .unwrap();
        assert_eq!(
            (
                left.get::<_, i64>(0),
                left.get::<_, i64>(1),
                left.get::<_, i64>(2)
            ),
            (0, 0, 0)
        );
    });
}

#[test]
fn a_refresh_token_is_good_once_however_many_use_it_at_once() {
    on_each_database(|database| async move {
        let world = world(&database).await;
        world.add(EMAIL, &["viewer"]).await.unwrap();
        let first = world.tokens(PASSWORD, None).await.unwrap();
        let all: Vec<_> = (0..12)
            .map(|_| {
                let (access, token) = (world.access.clone(), first.refresh_token.clone());
                tokio::spawn(async move { access.refresh(&token).await })
            })
            .collect();
        let mut good = Vec::new();
        for one in all {
            good.extend(one.await.unwrap().ok());
        }
        assert_eq!(good.len(), 1);
        assert!(
            !world.is_good(&good[0].access_token).await,
            "the others ended the family"
        );
    });
}

#[test]
fn whoever_guesses_learns_nothing() {
    on_each_database(|database| async move {
        let world = world(&database).await;
        world.add(EMAIL, &["viewer"]).await.unwrap();
        let said = |email: &'static str, password: &'static str| {
            let access = world.access.clone();
            async move {
                let before = access.passwords_checked();
                let error = access
                    .sign_in(email, password, None, Kind::Program)
                    .await
                    .unwrap_err();
                (error.to_string(), access.passwords_checked() - before)
            }
        };
        let wrong = said(EMAIL, "wrong password").await;
        assert_eq!(wrong.1, 1);
        for email in ["nobody@example.com", "no address", ""] {
            assert_eq!(said(email, "wrong password").await, wrong, "{email}");
        }
        // Locked after a few, for somebody and nobody alike; then the right password gets the same answer, too.
        for _ in 0..lockout::FREE {
            assert_eq!(said(EMAIL, "wrong password").await, wrong);
            assert_eq!(said("nobody@example.com", "wrong password").await, wrong);
        }
        assert_eq!(said(EMAIL, PASSWORD).await, wrong);
        let client = world.access.db().system().await.unwrap();
        let rows = client
            .query("SELECT failures, locked_until IS NOT NULL FROM access.attempt WHERE failures > 2 ORDER BY 1", &[])
            .await
            .unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].get::<_, i32>(0), rows[1].get::<_, i32>(0));
        drop(client);
        world.hand.advance(lockout::FIRST + Duration::from_secs(1));
        world.tokens(PASSWORD, None).await.unwrap();
        // The count is forgiven.
        for _ in 1..lockout::FREE {
            assert_eq!(said(EMAIL, "wrong password").await, wrong);
        }
        world.tokens(PASSWORD, None).await.unwrap();
    });
}

/// Many guesses at the same moment are no way round the count.
#[test]
fn guesses_at_once_are_counted() {
    on_each_database(|database| async move {
        let world = world(&database).await;
        world.add(EMAIL, &["viewer"]).await.unwrap();
        let mut all = Vec::new();
        for n in 0..20 {
            let access = world.access.clone();
            let password = if n == 19 {
                PASSWORD.to_owned()
            } else {
                format!("wrong password {n}")
            };
            all.push(tokio::spawn(async move {
                if n == 19 {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                access.sign_in(EMAIL, &password, None, Kind::Program).await
            }));
        }
        for one in all {
            assert!(one.await.unwrap().is_err(), "the right one came too late");
        }
    });
}

#[test]
fn one_time_codes_are_taken_once() {
    on_each_database(|database| async move {
        let world = world(&database).await;
        world.add(EMAIL, &["viewer"]).await.unwrap();
        let url = world
            .access
            .require_codes(&world.scope, EMAIL)
            .await
            .unwrap();
        let base32 = url
            .split("secret=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        // An authenticator with its defaults: RFC 6238, SHA-1, 6 digits, 30 s.
        let authenticator = Builder::new()
            .with_secret(Secret::try_from_base32(base32).unwrap())
            .build_noncompliant();
        let code = |seconds: u64| authenticator.generate(1_790_000_000 + seconds).to_string();
        let none = world.tokens(PASSWORD, None).await.unwrap_err();
        assert!(matches!(none, AccessError::CodeNeeded), "{none}");
        let wrong = world.tokens("wrong password", None).await.unwrap_err();
        assert!(
            matches!(wrong, AccessError::Refused),
            "only who knows the password hears of codes"
        );
        assert!(world.tokens(PASSWORD, Some("000000")).await.is_err());
        world.tokens(PASSWORD, Some(&code(0))).await.unwrap();
        assert!(
            world.tokens(PASSWORD, Some(&code(0))).await.is_err(),
            "once"
        );
        world.hand.advance(Duration::from_secs(60));
        world.tokens(PASSWORD, Some(&code(60))).await.unwrap();
        assert!(
            world.tokens(PASSWORD, Some(&code(30))).await.is_err(),
            "none before the last"
        );
    });
}

/// RFC 6238, appendix B: the standard's own vectors, cut to six digits.
#[test]
fn codes_are_the_standards() {
    let codes = Builder::new()
        .with_secret(Secret::from(b"12345678901234567890".to_vec()))
        .build_noncompliant();
    for (time, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        assert_eq!(codes.generate(time).to_string(), code, "{time}");
    }
}

#[test]
fn keys_are_made_rotated_and_revoked() {
    on_each_database(|database| async move {
        let world = world(&database).await;
        let permissions = Permissions::named(["telemetry.read"]).unwrap();
        let make = || {
            world
                .access
                .add_key(&world.scope, "app", &permissions, None)
        };
        let first = make().await.unwrap();
        let known = world.access.who(&first.key).await.unwrap().unwrap();
        assert_eq!(
            (known.actor, known.permissions),
            (Actor::Key(first.id), permissions.clone())
        );
        for wrong in [
            "",
            "patio_key_",
            "patio_key_0123",
            &first.key[..first.key.len() - 1],
            &format!("{}0", first.key),
        ] {
            assert!(!world.is_good(wrong).await, "{wrong}");
        }
        let none = world
            .access
            .add_key(&world.scope, "app", &Permissions::default(), None)
            .await
            .unwrap_err();
        assert!(none.to_string().contains("scopes must be"), "{none}");

        let second = world
            .access
            .rotate_key(&world.scope, first.id, Duration::from_hours(1))
            .await
            .unwrap();
        assert!(
            world
                .access
                .rotate_key(&world.scope, first.id, Duration::ZERO)
                .await
                .is_err(),
            "once"
        );
        assert!(
            world.is_good(&first.key).await && world.is_good(&second.key).await,
            "both, for a while"
        );
        world.hand.advance(Duration::from_hours(1));
        assert!(!world.is_good(&first.key).await && world.is_good(&second.key).await);

        // Another process believes its cache for a moment, and no longer.
        let elsewhere = Access::new(world.access.db().clone(), {
            // The same hands would move both clocks.
            Clock::system()
        });
        assert!(elsewhere.who(&second.key).await.unwrap().is_some());
        assert!(
            world
                .access
                .revoke_key(&world.other, second.id)
                .await
                .is_err(),
            "another organisation's"
        );
        world
            .access
            .revoke_key(&world.scope, second.id)
            .await
            .unwrap();
        assert!(!world.is_good(&second.key).await);
        tokio::time::sleep(who::FRESH + Duration::from_millis(200)).await;
        assert!(elsewhere.who(&second.key).await.unwrap().is_none());

        let listed = world.access.keys(&world.scope, None, 10).await.unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].rotated_to, Some(second.id));
        assert!(listed[1].revoked_at.is_some() && listed[1].last_used_at.is_some());
        assert!(first.key.contains(&listed[0].prefix));
        assert_eq!(listed[0].created_by, "system:test");
        assert!(
            world
                .access
                .keys(&world.other, None, 10)
                .await
                .unwrap()
                .is_empty()
        );
        // Nothing that is kept is a key.
        let client = world.access.db().system().await.unwrap();
        let kept: String = client
            .query_one(
                "SELECT string_agg(k::text, ';') FROM access.api_key AS k",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert!(!kept.contains(first.key.rsplit('_').next().unwrap()));
    });
}

#[test]
fn pages_have_a_cookie_and_a_value_to_send_back() {
    on_each_database(|database| async move {
        let world = world(&database).await;
        world.add(EMAIL, &["administrator"]).await.unwrap();
        let SignedIn::Page(page) = world
            .access
            .sign_in(EMAIL, PASSWORD, None, Kind::Page)
            .await
            .unwrap()
        else {
            panic!("no page")
        };
        let known = world
            .access
            .whose_page(&page.cookie)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(known.csrf.as_deref(), Some(page.csrf.as_str()));
        assert!(
            !world.is_good(&page.cookie).await,
            "a cookie is no bearer token"
        );
        let access = RequestId::fresh();
        assert!(
            world
                .access
                .whose_page(access.as_str())
                .await
                .unwrap()
                .is_none()
        );
        world.hand.advance(session::PAGE_LIFE);
        assert!(
            world
                .access
                .whose_page(&page.cookie)
                .await
                .unwrap()
                .is_none()
        );
    });
}
