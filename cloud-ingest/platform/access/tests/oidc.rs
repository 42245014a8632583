//! Signing in at a provider, with a provider that does not always do what it should.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use access::{
    Access, NewUser,
    oidc::{
        Back, Depart, Failed, NewProvider, Oidc, home,
        standin::{CLIENT, Provider, SECRET, Signs, Wrong},
        token::Distrust,
    },
};
use jiff::Timestamp;
use platform::{
    Clock, Hand, Register, Scope, migrate,
    testing::{TestDatabase, on_each_database},
};
use url::Url;
use vault::{Ring, Secret};

/// Whether a refusal is the one that is meant.
type Says = fn(&Failed) -> bool;

const EMAIL: &str = "ana@example.com";

struct World {
    access: Access,
    oidc: Oidc,
    provider: Provider,
    clock: Clock,
    hand: Hand,
    scope: Scope,
    other: Scope,
}

impl World {
    async fn new(database: &TestDatabase, signs: Signs) -> Self {
        let db = database.connect().await;
        migrate(&db, &[platform::room(), audit::room(), access::room()])
            .await
            .unwrap();
        let start = Timestamp::from_second(1_790_000_000).unwrap();
        let (clock, hand) = Clock::by_hand(start);
        let register = Register::new(db.clone(), clock.clone());
        let scope = |organization| Scope::of_system(organization, "test");
        let a = scope(register.add_organization("a").await.unwrap());
        let b = scope(register.add_organization("b").await.unwrap());
        let access = Access::new(db, clock.clone());
        let ring = Ring::read(&Ring::new_line(1).unwrap()).unwrap();
        let provider = Provider::start(signs, start).await;
        for (scope, name) in [(&a, "acme"), (&b, "other")] {
            let new = NewProvider {
                name: name.to_owned(),
                issuer: provider.issuer(),
                client_id: CLIENT.to_owned(),
                client_secret: Secret::new(SECRET),
            };
            access.add_provider(scope, &ring, &new).await.unwrap();
        }
        let base = Url::parse("https://patio.example.com").unwrap();
        let oidc = Oidc::new(access.clone(), ring, base, true);
        let world = Self {
            access,
            oidc,
            provider,
            clock,
            hand,
            scope: a,
            other: b,
        };
        world.add(&world.scope, EMAIL).await;
        world
    }

    async fn add(&self, scope: &Scope, email: &str) {
        let new = NewUser {
            email: email.to_owned(),
            name: "Ana".to_owned(),
            password: "correct horse battery staple".to_owned(),
            roles: vec!["viewer".to_owned()],
        };
        self.access.add_user(scope, &new).await.unwrap();
    }

    async fn depart(&self) -> Depart {
        self.oidc.begin("acme", "/docs").await.unwrap()
    }

    fn back(&self, depart: &Depart, subject: &str, email: &str) -> Back {
        let answer = self.provider.visit(&depart.url, subject, email).unwrap();
        Back {
            browser: Some(depart.browser.clone()),
            state: answer.get("state").cloned(),
            code: answer.get("code").cloned(),
            issuer: answer.get("iss").cloned(),
            error: None,
        }
    }

    /// There and back.
    async fn sign_in(&self, subject: &str, email: &str) -> Result<String, Failed> {
        let depart = self.depart().await;
        let back = self.back(&depart, subject, email);
        let home = self.oidc.finish("acme", &back).await?;
        assert_eq!(home.return_to, "/docs");
        Ok(home.page.cookie)
    }

    fn pass(&self, time: Duration) {
        self.hand.advance(time);
        self.provider.set(self.clock.now());
    }
}

fn failed<T>(outcome: Result<T, Failed>) -> Failed {
    match outcome {
        Ok(_) => panic!("somebody was signed in"),
        Err(failed) => failed,
    }
}

#[test]
fn somebody_signs_in_whom_the_provider_vouches_for() {
    on_each_database(async |database: TestDatabase| {
        let world = World::new(&database, Signs::Rs256).await;
        let cookie = world.sign_in("sub-1", "Ana@Example.com").await.unwrap();
        let identity = world.access.whose_page(&cookie).await.unwrap().unwrap();
        assert_eq!(identity.organization, world.scope.organization);
        assert!(identity.permissions.has("telemetry.read"));
        // Linked once, the subject counts, whatever becomes of the address.
        world.sign_in("sub-1", "married@example.com").await.unwrap();
        // Somebody else who was given the address is not taken for her.
        let other = failed(world.sign_in("sub-2", EMAIL).await);
        assert!(matches!(other, Failed::Nobody), "{other}");
        // A provider vouches for its own organisation only.
        world.add(&world.other, "bob@example.com").await;
        let theirs = failed(world.sign_in("sub-3", "bob@example.com").await);
        assert!(matches!(theirs, Failed::Nobody), "{theirs}");
        world
            .access
            .disable_user(&world.scope, EMAIL)
            .await
            .unwrap();
        let disabled = failed(world.sign_in("sub-1", EMAIL).await);
        assert!(matches!(disabled, Failed::Nobody), "{disabled}");
    });
}

#[test]
fn what_a_provider_does_wrong_signs_nobody_in() {
    on_each_database(async |database: TestDatabase| {
        let world = World::new(&database, Signs::Rs256).await;
        for signs in [Signs::Rs256, Signs::Es256] {
            world.provider.signs(signs);
            let claim: Says = |failed| matches!(failed, Failed::Distrust(Distrust::Claim(_)));
            let algorithm: Says = |failed| matches!(failed, Failed::Distrust(Distrust::Algorithm));
            let signature: Says = |failed| matches!(failed, Failed::Distrust(Distrust::Signature));
            let unreadable: Says =
                |failed| matches!(failed, Failed::Distrust(Distrust::Unreadable(_)));
            let nobody: Says = |failed| matches!(failed, Failed::Nobody);
            let unavailable: Says = |failed| matches!(failed, Failed::Unavailable(_));
            let faults: [(Wrong, Says); 15] = [
                (Wrong::Nonce, claim),
                (Wrong::Audience, claim),
                (Wrong::TwoAudiences, claim),
                (Wrong::Party, claim),
                (Wrong::Issuer, claim),
                (Wrong::Unsigned, algorithm),
                (Wrong::PublicKeyAsSecret, algorithm),
                (Wrong::Forged, signature),
                (Wrong::Expired, claim),
                (Wrong::Future, claim),
                (Wrong::Unverified, nobody),
                (Wrong::VerifiedInWords, unreadable),
                (Wrong::OthersClaims, claim),
                (Wrong::Missing, unreadable),
                (Wrong::Down, unavailable),
            ];
            for (wrong, is) in faults {
                world.provider.script([wrong]);
                // Not yet linked: whoever is needs no address.
                let failed = failed(world.sign_in("sub-2", EMAIL).await);
                assert!(is(&failed), "{signs:?} {wrong:?}: {failed:?}");
            }
            for fine in [Wrong::ClaimsElsewhere, Wrong::JustExpired, Wrong::Nothing] {
                world.provider.script([fine]);
                world.sign_in("sub-1", EMAIL).await.unwrap();
            }
        }
    });
}

#[test]
fn keys_may_change_at_any_time() {
    on_each_database(async |database: TestDatabase| {
        let world = World::new(&database, Signs::Es256).await;
        world.sign_in("sub-1", EMAIL).await.unwrap();
        world.sign_in("sub-1", EMAIL).await.unwrap();
        assert_eq!(world.provider.fetched(), 1, "kept");
        world.provider.rotate();
        // Not more often than every ten seconds, or a stranger's tokens would have us ask all the time.
        let early = failed(world.sign_in("sub-1", EMAIL).await);
        assert!(
            matches!(early, Failed::Distrust(Distrust::UnknownKey)),
            "{early}"
        );
        assert_eq!(world.provider.fetched(), 1);
        world.pass(Duration::from_secs(11));
        world.sign_in("sub-1", EMAIL).await.unwrap();
        assert_eq!(world.provider.fetched(), 2);
    });
}

#[test]
fn an_answer_counts_once_for_who_asked() {
    on_each_database(async |database: TestDatabase| {
        let world = World::new(&database, Signs::Es256).await;
        let not_ours = |outcome| matches!(failed(outcome), Failed::NotOurs);
        // Replayed.
        let depart = world.depart().await;
        let back = world.back(&depart, "sub-1", EMAIL);
        world.oidc.finish("acme", &back).await.map(drop).unwrap();
        assert!(not_ours(world.oidc.finish("acme", &back).await));
        // The same code under a new state: the provider refuses it.
        let (one, two) = (world.depart().await, world.depart().await);
        let first = world.back(&one, "sub-1", EMAIL);
        let mut second = world.back(&two, "sub-1", EMAIL);
        world.oidc.finish("acme", &first).await.map(drop).unwrap();
        second.code.clone_from(&first.code);
        let twice = failed(world.oidc.finish("acme", &second).await);
        assert!(
            matches!(&twice, Failed::Provider(word) if word == "invalid_grant"),
            "{twice}"
        );
        // A code of another browser's sign-in, unused: PKCE refuses it.
        let (mine, theirs) = (world.depart().await, world.depart().await);
        let stolen = world.back(&theirs, "sub-1", EMAIL);
        let mut back = world.back(&mine, "sub-1", EMAIL);
        back.code.clone_from(&stolen.code);
        assert!(matches!(
            failed(world.oidc.finish("acme", &back).await),
            Failed::Provider(_)
        ));
        // Another browser, no browser, another provider's route, too late.
        let depart = world.depart().await;
        let mut back = world.back(&depart, "sub-1", EMAIL);
        back.browser = Some(world.depart().await.browser);
        assert!(not_ours(world.oidc.finish("acme", &back).await));
        let mut back = world.back(&world.depart().await, "sub-1", EMAIL);
        back.browser = None;
        assert!(not_ours(world.oidc.finish("acme", &back).await));
        let depart = world.depart().await;
        let back = world.back(&depart, "sub-1", EMAIL);
        assert!(not_ours(world.oidc.finish("other", &back).await));
        let depart = world.depart().await;
        let back = world.back(&depart, "sub-1", EMAIL);
        world.pass(Duration::from_secs(601));
        assert!(not_ours(world.oidc.finish("acme", &back).await));
        // What never came back is forgotten.
        world.depart().await;
        world.pass(Duration::from_secs(601));
        world.access.tidy().await.unwrap();
        let client = world.access.db().system().await.unwrap();
        let left: i64 = client
            .query_one("SELECT count(*) FROM access.oidc_attempt", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(left, 0);
    });
}

#[test]
fn who_answers_is_who_was_asked() {
    on_each_database(async |database: TestDatabase| {
        let world = World::new(&database, Signs::Es256).await;
        let mixed = |outcome| matches!(failed(outcome), Failed::Distrust(Distrust::Claim(_)));
        for issuer in [Some("https://login.example.com".to_owned()), None] {
            let depart = world.depart().await;
            let mut back = world.back(&depart, "sub-1", EMAIL);
            back.issuer = issuer;
            assert!(mixed(world.oidc.finish("acme", &back).await));
        }
        let depart = world.depart().await;
        let mut back = world.back(&depart, "sub-1", EMAIL);
        back.error = Some("access_denied<script>".to_owned());
        let refused = failed(world.oidc.finish("acme", &back).await);
        assert!(matches!(&refused, Failed::Provider(word) if word == "access_deniedscript"));
        // A provider that does not announce it need not say it.
        world.provider.tells_issuer(false);
        world.pass(Duration::from_secs(3601));
        world.sign_in("sub-1", EMAIL).await.unwrap();
    });
}

#[test]
fn nobody_is_sent_elsewhere() {
    for path in ["/", "/docs", "/v1/assets?limit=3"] {
        assert!(home(path), "{path}");
    }
    for path in [
        "",
        "docs",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/a\nb",
        "/a b",
        "/\u{e9}",
    ] {
        assert!(!home(path), "{path:?}");
    }
    on_each_database(async |database: TestDatabase| {
        let world = World::new(&database, Signs::Es256).await;
        assert!(matches!(
            failed(world.oidc.begin("acme", "//evil").await),
            Failed::Elsewhere
        ));
        assert!(matches!(
            failed(world.oidc.begin("nobody", "/").await),
            Failed::NoProvider(_)
        ));
        // Names are of all organisations; lists and removals of one.
        let names = async |scope| {
            let all = world.access.providers(scope).await.unwrap();
            all.into_iter().map(|one| one.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&world.scope).await, ["acme"]);
        world
            .access
            .remove_provider(&world.scope, "other")
            .await
            .unwrap_err();
        world
            .access
            .remove_provider(&world.scope, "acme")
            .await
            .unwrap();
        assert!(names(&world.scope).await.is_empty());
        assert_eq!(names(&world.other).await, ["other"]);
    });
}
