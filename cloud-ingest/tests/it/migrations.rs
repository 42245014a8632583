//! Migrations: from nothing is the same as from every earlier state, and twice is nothing.

use cloud_ingest::rooms;
use platform::{
    Db, Room,
    migrate::migrate_to,
    testing::{TestDatabase, on_each_database},
};

pub(crate) async fn schema(db: &Db) -> Vec<String> {
    let owner = db.owner().await.unwrap();
    let rows = owner
        .query(include_str!("queries/schema.sql"), &[])
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A database beside the test's own.
pub(crate) async fn beside(database: &TestDatabase, owner: &Db, name: &str) -> Db {
    let (place, own) = database.url.rsplit_once('/').unwrap();
    let own = own.split('?').next().unwrap();
    let client = owner.owner().await.unwrap();
    client
        .batch_execute(&format!("CREATE DATABASE {own}_{name} TEMPLATE template0"))
        .await
        .unwrap();
    Db::connect(&format!("{place}/{own}_{name}"), 4)
        .await
        .unwrap()
}

pub(crate) async fn drop_beside(database: &TestDatabase, owner: &Db, name: &str) {
    let own = database
        .url
        .rsplit_once('/')
        .unwrap()
        .1
        .split('?')
        .next()
        .unwrap();
    let client = owner.owner().await.unwrap();
    client
        .batch_execute(&format!("DROP DATABASE {own}_{name} WITH (FORCE)"))
        .await
        .unwrap();
}

fn latest(room: &Room) -> i32 {
    let migrations = (room.runner)();
    let versions = migrations.get_migrations().iter();
    versions.fold(0, |newest, migration| newest.max(migration.version()))
}

/// Every state that an older program may have left: each room at each of its versions, the rooms before it complete;
/// and the first rooms at their first version, before there were organisations' roles.
fn states() -> Vec<Vec<(Room, i32)>> {
    let rooms = rooms::all();
    let mut states = Vec::new();
    for (index, room) in rooms.iter().enumerate() {
        for version in 1..=latest(room) {
            let mut state: Vec<_> = rooms[..index].iter().map(|r| (*r, latest(r))).collect();
            state.push((*room, version));
            states.push(state);
        }
    }
    let first = |schema: &str| {
        let room = rooms.iter().find(|room| room.schema == schema).unwrap();
        (*room, 1)
    };
    states.push(vec![first("platform"), first("telemetry")]);
    states
}

#[test]
fn from_nothing_is_from_every_earlier_state() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        rooms::prepare(&db).await.unwrap();
        let expected = schema(&db).await;
        assert!(expected.len() > 300, "{}", expected.len());
        rooms::prepare(&db).await.unwrap();
        assert_eq!(schema(&db).await, expected, "twice is nothing");
        let states = states();
        for (index, state) in states.iter().enumerate() {
            let name = format!("s{index}");
            let older = beside(&database, &db, &name).await;
            let said: Vec<String> = state
                .iter()
                .map(|(r, v)| format!("{} V{v}", r.schema))
                .collect();
            migrate_to(&older, state).await.unwrap();
            rooms::prepare(&older).await.unwrap();
            let found = schema(&older).await;
            for line in &found {
                assert!(expected.contains(line), "from {said:?}, too much: {line}");
            }
            for line in &expected {
                assert!(found.contains(line), "from {said:?}, missing: {line}");
            }
            drop(older);
            drop_beside(&database, &db, &name).await;
        }
        eprintln!("{} earlier states on {}", states.len(), database.label);
    });
}

/// A login that is no superuser, but may make roles, owns everything and is bound by the policies like all others.
#[test]
fn an_owner_need_not_be_a_superuser() {
    on_each_database(async |database: TestDatabase| {
        let db = database.connect().await;
        let admin = db.owner().await.unwrap();
        let login = format!("owner_{}", std::process::id());
        let own = database
            .url
            .rsplit_once('/')
            .unwrap()
            .1
            .split('?')
            .next()
            .unwrap()
            .to_owned();
        admin
            .batch_execute(&format!(
                "CREATE ROLE {login} LOGIN CREATEROLE PASSWORD 'owner'; GRANT CREATE ON DATABASE {own} TO {login}"
            ))
            .await
            .unwrap();
        // Where the roles were made by somebody else, an administrator grants them.
        rooms_of_admin(&admin, &login).await;
        let (_, rest) = database.url.split_once('@').unwrap();
        let url = format!("postgres://{login}:owner@{rest}");
        let theirs = Db::connect(&url, 4).await.unwrap();
        let prepared = rooms::prepare(&theirs).await.map(drop);
        let stored = match &prepared {
            Ok(()) => telemetry::prepare_storage(&theirs, jiff::Timestamp::UNIX_EPOCH)
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
            Err(_) => Ok(()),
        };
        let mine: i64 = admin
            .query_one(
                "SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE n.nspname IN ('platform', 'access', 'web', 'telemetry') AND c.relowner <> $1::text::regrole AND c.relkind IN ('r', 'p', 'v')",
                &[&login],
            )
            .await
            .unwrap()
            .get(0);
        drop(theirs);
        admin
            .batch_execute(&format!("DROP OWNED BY {login} CASCADE; DROP ROLE {login}"))
            .await
            .unwrap();
        prepared.unwrap();
        stored.unwrap();
        assert_eq!(mine, 0, "all of it is the owner's");
    });
}

async fn rooms_of_admin(admin: &tokio_postgres::Client, login: &str) {
    let sql = format!(
        "DO $$ BEGIN
             IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'patio_app') THEN
                 GRANT patio_app, patio_system, patio_reader TO {login};
             END IF;
         END $$"
    );
    admin.batch_execute(&sql).await.unwrap();
}
