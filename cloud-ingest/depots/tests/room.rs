//! The room over real HTTP, on every flavour, with `depot-config`'s own client.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
};

use access::{Access, Permissions};
use axum::middleware::{from_fn, from_fn_with_state};
use depot_config::{
    Document,
    cloud::{self, Basis, Cloud, CloudError, Key, Pushed, Put},
};
use depots::Depots;
use platform::{
    Clock, Db, Register, Scope, migrate,
    testing::{TestDatabase, assert_commented, on_each_database, prepare_all},
};
use web::{Guard, guard, limit::Limits, request};

const DEMO: &str = include_str!("../../../depot-config/depots/demo.toml");

struct House {
    db: Db,
    url: String,
    scope: Scope,
    /// Of the organisation: may read and write; may read; of another organisation.
    keys: Vec<String>,
    folder: tempfile::TempDir,
}

impl House {
    async fn new(database: &TestDatabase) -> Self {
        let db = database.connect().await;
        let rooms = [
            platform::room(),
            access::room(),
            web::room(),
            jobs::room(),
            events::room(),
            audit::room(),
            depots::room(),
        ];
        migrate(&db, &rooms).await.unwrap();
        let clock = Clock::system();
        let register = Register::new(db.clone(), clock.clone());
        let access = Access::new(db.clone(), clock.clone());
        let (mut keys, mut scopes) = (Vec::new(), Vec::new());
        for (name, may) in [
            ("acme", &["depots.read", "depots.write"][..]),
            ("acme", &["depots.read"]),
            ("other", &["depots.read", "depots.write"]),
        ] {
            let id = register.add_organization(name).await.unwrap();
            let scope = Scope::of_system(id, "test");
            let permissions = Permissions::named(may.iter().copied()).unwrap();
            let key = access.add_key(&scope, "test", &permissions, None).await;
            keys.push(key.unwrap().key);
            scopes.push(scope);
        }
        let (router, document) = depots::routes::<Depots>().split_for_parts();
        let often = NonZeroU32::new(1000).unwrap();
        let document = serde_json::to_value(&document).unwrap();
        let guard = Guard::new(&document, access, Arc::new(Limits::new(often, often))).unwrap();
        let service = router
            .with_state(Depots {
                db: db.clone(),
                clock,
            })
            .layer(from_fn_with_state(guard, guard::guard))
            .layer(from_fn(request::identify));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            db,
            url,
            scope: scopes.remove(0),
            keys,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn cloud(&self, key: usize) -> Cloud {
        let key = Key::new(Some(self.keys[key].clone()), None).unwrap();
        Cloud::new(&self.url, key, None).unwrap()
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

/// The client waits for its answers: not where the server's tasks run.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn push(
    house: &House,
    key: usize,
    file: &Path,
    over: Option<u32>,
) -> Result<Pushed, CloudError> {
    let (cloud, file) = (house.cloud(key), file.to_owned());
    aside(move || cloud::push(&cloud, &file, over)).await
}

async fn import(
    house: &House,
    key: usize,
    id: &str,
    file: &Path,
) -> Result<cloud::Kept, CloudError> {
    let (cloud, file, id) = (house.cloud(key), file.to_owned(), id.to_owned());
    aside(move || cloud::import(&cloud, &id, &file)).await
}

fn version(pushed: Pushed) -> (u32, bool) {
    match pushed {
        Pushed::Done(written) => (written.version, written.changed),
        Pushed::Conflict { .. } => panic!("{pushed:?}"),
    }
}

#[test]
fn a_depot_goes_there_and_back() {
    on_each_database(|database| async move {
        let house = House::new(&database).await;
        assert_commented(&house.db, "depots").await;
        let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        assert_eq!(prepare_all(&house.db, &queries).await, 6);

        // New, again, changed.
        let file = house.file("a/demo.toml", DEMO);
        assert_eq!(
            version(push(&house, 0, &file, None).await.unwrap()),
            (1, true)
        );
        assert_eq!(
            version(push(&house, 0, &file, None).await.unwrap()),
            (1, false)
        );
        fs::write(&file, DEMO.replace("demand = 110", "demand = 111")).unwrap();
        assert_eq!(
            version(push(&house, 0, &file, None).await.unwrap()),
            (2, true)
        );

        // To somebody else, to the byte, and on from there.
        let other = house.file("b/x", "").with_file_name("demo.toml");
        let kept = import(&house, 1, "demo", &other).await.unwrap();
        assert_eq!(kept.version, 2);
        assert_eq!(fs::read(&other).unwrap(), fs::read(&file).unwrap());
        fs::write(&other, DEMO.replace("demand = 110", "demand = 112")).unwrap();
        assert_eq!(
            version(push(&house, 0, &other, None).await.unwrap()),
            (3, true)
        );

        // The first one has not read that.
        fs::write(&file, DEMO.replace("target = 95", "target = 96")).unwrap();
        let Pushed::Conflict {
            theirs,
            base,
            changes,
        } = push(&house, 0, &file, None).await.unwrap()
        else {
            panic!("a version was written over that its writer had not read");
        };
        let changes: Vec<_> = changes.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!((theirs.version, base), (3, Some(2)));
        assert_eq!(
            changes,
            [
                "~ contract.demand: 112 kW → 110 kW",
                "~ contract.target: 95 kW → 96 kW"
            ]
        );
        let refused = import(&house, 0, "demo", &file).await.unwrap_err();
        assert!(
            matches!(refused, CloudError::OwnChanges { .. }),
            "{refused}"
        );
        let late = push(&house, 0, &file, Some(2)).await.unwrap_err();
        assert!(
            matches!(
                late,
                CloudError::OverAnother {
                    wanted: 2,
                    found: 3
                }
            ),
            "{late}"
        );
        assert_eq!(
            version(push(&house, 0, &file, Some(3)).await.unwrap()),
            (4, true)
        );
        // Unchanged since: brought up to date in place.
        assert_eq!(import(&house, 0, "demo", &other).await.unwrap().version, 4);

        // Who may, and who sees what.
        let refused = push(&house, 1, &file, None).await.unwrap_err().to_string();
        assert!(
            refused.contains("403") && refused.contains("depots.write"),
            "{refused}"
        );
        let nothing = import(&house, 2, "demo", &house.folder.path().join("c.toml")).await;
        assert!(
            matches!(nothing, Err(CloudError::Missing(_))),
            "{nothing:?}"
        );

        // Every version is kept; each has its entry in the trail and its event.
        let tx = house.db.tenant(&house.scope).await.unwrap();
        let count = "SELECT count(*), count(DISTINCT digest) FROM depots.version";
        let row = tx.query_one(count, &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (4, 4));
        tx.execute("UPDATE depots.version SET text = ''", &[])
            .await
            .unwrap_err();
        drop(tx);
        let tx = house.db.tenant(&house.scope).await.unwrap();
        let trail = audit::trail(
            &tx,
            house.scope.organization,
            audit::Filter::default(),
            None,
            10,
        )
        .await
        .unwrap();
        let of_depots = trail.iter().filter(|was| was.action == "depots.write");
        assert_eq!(of_depots.count(), 4);
        let last = trail.iter().find(|was| {
            was.after
                .as_ref()
                .is_some_and(|after| after["version"] == 4)
        });
        let last = last.unwrap();
        assert_eq!(last.before.as_ref().unwrap()["version"], 3);
        assert_eq!(last.after.as_ref().unwrap()["changes"][0], changes[0]);
    });
}

#[test]
fn what_it_names_goes_along_and_nothing_else_is_opened() {
    on_each_database(|database| async move {
        let house = House::new(&database).await;
        let prices = include_str!("../../../depot-config/tariffs/prices/cfe-example.toml");
        let text = DEMO.replace("prices = \"cfe-example\"", "prices = \"own/prices.toml\"");
        house.file("a/own/prices.toml", prices);
        let file = house.file("a/demo.toml", &text);
        assert_eq!(
            version(push(&house, 0, &file, None).await.unwrap()),
            (1, true)
        );
        let copy = house.file("b/x", "").with_file_name("demo.toml");
        import(&house, 1, "demo", &copy).await.unwrap();
        let brought = fs::read_to_string(copy.with_file_name("own").join("prices.toml"));
        assert_eq!(brought.unwrap(), prices);

        // What is on the server's own disk is not looked at, and everything that is wrong is told.
        let secret = house.file("secret.toml", "a = 1\n");
        let secret = secret.to_str().unwrap().to_owned();
        let wrong = DEMO
            .replace(
                "holiday_calendar = \"mx\"",
                &format!("holiday_calendar = \"{secret}\""),
            )
            .replace("id = \"demo\"", "id = \"demp\"")
            .replacen("breaker = 300", "breaker = 30", 1);
        for (files, expected) in [
            (
                vec![],
                vec![
                    "depot.holiday_calendar",
                    "a file that came with this one",
                    "circuit[0].breaker",
                ],
            ),
            (
                vec![("../x.toml", "")],
                vec!["../x.toml", "below the folder"],
            ),
        ] {
            let files = files
                .into_iter()
                .map(|(path, text)| (path.to_owned(), text.to_owned()));
            let document = Document {
                text: wrong.clone(),
                files: files.collect(),
            };
            let cloud = house.cloud(0);
            let said = aside(move || cloud.put("demo", &document, &Basis::New)).await;
            let Err(CloudError::Invalid(said)) = said else {
                panic!("{said:?}");
            };
            for part in expected {
                assert!(said.contains(part), "{said}");
            }
        }
        let named = Document {
            text: DEMO.to_owned(),
            files: [("more.toml".to_owned(), String::new())].into(),
        };
        let cloud = house.cloud(0);
        let said = aside(move || cloud.put("other", &named, &Basis::New)).await;
        let said = said.unwrap_err().to_string();
        assert!(
            said.contains("other.toml:12: depot.id: expected `other`"),
            "{said}"
        );
        assert!(said.contains("more.toml"), "{said}");
    });
}

/// Two that go back to the same version, at once: one of them wins, the other one sees what the winner wrote.
#[test]
fn of_two_pushes_at_once_one_wins() {
    on_each_database(|database| async move {
        let house = House::new(&database).await;
        let mut files = Vec::new();
        for writer in 0..2 {
            files.push(house.file(&format!("{writer}/demo.toml"), DEMO));
        }
        // First for a depot that is new, then for one that both have read.
        for round in 0..4 {
            for (writer, file) in files.iter().enumerate() {
                let text = DEMO.replace(
                    "demand = 110",
                    &format!("demand = {}", 100 + round * 2 + writer),
                );
                fs::write(file, text).unwrap();
            }
            let (one, two) = tokio::join!(
                push(&house, 0, &files[0], None),
                push(&house, 0, &files[1], None)
            );
            let (one, two) = (one.unwrap(), two.unwrap());
            let (winner, loser) = match (&one, &two) {
                (Pushed::Done(_), Pushed::Conflict { .. }) => (0, two),
                (Pushed::Conflict { .. }, Pushed::Done(_)) => (1, one),
                _ => panic!("{one:?} {two:?}"),
            };
            let Pushed::Conflict {
                theirs, changes, ..
            } = loser
            else {
                panic!("{loser:?}");
            };
            assert_eq!(
                theirs.document.text,
                fs::read_to_string(&files[winner]).unwrap()
            );
            assert_eq!(changes.unwrap().len(), 1);
            // The loser writes over it, the winner reads it: both go back to the same version again.
            let over = push(&house, 0, &files[1 - winner], Some(theirs.version))
                .await
                .unwrap();
            assert!(version(over).1);
            import(&house, 0, "demo", &files[winner]).await.unwrap();
        }
    });
}

/// The answer is lost after the effect: the same push again is no conflict with itself.
#[test]
fn a_push_whose_answer_was_lost_is_pushed_again() {
    on_each_database(|database| async move {
        let house = House::new(&database).await;
        let file = house.file("demo.toml", DEMO);
        push(&house, 0, &file, None).await.unwrap();
        let before = fs::read_to_string(house.folder.path().join("demo.toml.cloud")).unwrap();
        fs::write(&file, DEMO.replace("demand = 110", "demand = 103")).unwrap();
        assert_eq!(
            version(push(&house, 0, &file, None).await.unwrap()),
            (2, true)
        );
        // As if nothing had come back.
        fs::write(house.folder.path().join("demo.toml.cloud"), before).unwrap();
        assert_eq!(
            version(push(&house, 0, &file, None).await.unwrap()),
            (2, false)
        );
        fs::write(&file, DEMO.replace("demand = 110", "demand = 104")).unwrap();
        assert_eq!(
            version(push(&house, 0, &file, None).await.unwrap()),
            (3, true)
        );
        // Also when it was the first one.
        let again = house.file("again/demo.toml", &fs::read_to_string(&file).unwrap());
        assert_eq!(
            version(push(&house, 0, &again, None).await.unwrap()),
            (3, false)
        );
    });
}

#[test]
fn a_cloud_that_is_none_is_said_to_be_none() {
    let key = || Key::new(Some("k".to_owned()), None).unwrap();
    for url in ["http://example.com", "ftp://x", "cloud", ""] {
        let wrong = Cloud::new(url, key(), None).unwrap_err();
        assert!(matches!(wrong, CloudError::Url { .. }), "{url}");
    }
    assert!(
        Key::new(None, None)
            .unwrap_err()
            .to_string()
            .contains("PATIO_API_KEY")
    );
    assert!(Key::new(Some("a b".to_owned()), None).is_err());
    let nobody = Cloud::new("http://127.0.0.1:1", key(), None).unwrap();
    let said = nobody.get("demo").unwrap_err().to_string();
    assert!(
        said.contains("no answer") && said.contains("127.0.0.1:1"),
        "{said}"
    );
    assert!(!format!("{nobody:?}").contains("\"k\""));
    let document = Document {
        text: DEMO.to_owned(),
        files: std::collections::BTreeMap::new(),
    };
    assert!(matches!(
        nobody
            .put("demo", &document, &Basis::New)
            .map(|put| matches!(put, Put::Written(_))),
        Err(CloudError::NoAnswer { .. })
    ));
}
