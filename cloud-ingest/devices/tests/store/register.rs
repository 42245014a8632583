//! Who is known, and to whom a device belongs.

use std::{collections::BTreeSet, time::Duration};

use devices::{Kind, Register, RegisterError, read};
use platform::{
    Scope,
    testing::{TestDatabase, on_each_database},
};

use crate::{IMEI, World};

const DEVICES: &str = "SELECT count(*) FROM devices.device";
const VEHICLES: &str = "SELECT count(*) FROM platform.asset";

#[test]
fn a_key_that_means_nothing_is_refused_with_what_was_expected() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let wrong = [
            (Kind::Teltonika, "35630704244101", "15 digits"),
            (Kind::Teltonika, "35630704244101x", "15 digits"),
            (Kind::Teltonika, "", "15 digits"),
            (Kind::Geotab, "acme", "database/id"),
            (Kind::Geotab, "acme/", "database/id"),
            (Kind::Geotab, "acme/b/1", "database/id"),
            (Kind::Json, "a/b", "letters, digits"),
            (Kind::Json, "#", "letters, digits"),
            (Kind::Json, "coche-eléctrico", "letters, digits"),
        ];
        for (kind, key, expected) in wrong {
            let error = world.register.add("acme", kind, key, None).await;
            let error = error.unwrap_err();
            assert!(matches!(error, RegisterError::Key { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
            // Nor can anybody ask for one, whatever the database would say of it.
            assert_eq!(world.register.find(kind, key).await.unwrap(), None);
        }
        let long = "x".repeat(49);
        let error = world.register.add("acme", Kind::Json, &long, None).await;
        assert!(matches!(error, Err(RegisterError::Key { .. })));
        assert_eq!(world.count(DEVICES).await, 0);
        assert_eq!(world.count(VEHICLES).await, 0);
        for (kind, key) in [
            (Kind::Teltonika, IMEI),
            (Kind::Geotab, "acme/b1A"),
            (Kind::Json, "pump_7.north"),
        ] {
            let added = world.register.add("acme", kind, key, None).await.unwrap();
            let found = world.register.find(kind, key).await.unwrap().unwrap();
            assert_eq!(added, *found);
            assert_eq!((found.kind, found.key.as_str()), (kind, key));
            assert_eq!(found.organization, world.acme);
        }
    });
}

#[test]
fn a_device_is_registered_once_and_belongs_to_one() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let add = async |organization: &str, asset: Option<i32>| {
            let register = &world.register;
            register
                .add(organization, Kind::Teltonika, IMEI, asset)
                .await
        };
        let error = add("nobody", None).await;
        assert!(matches!(error, Err(RegisterError::NoOrganization(_))));
        let first = add("acme", None).await.unwrap();
        assert_eq!(add("acme", None).await.unwrap(), first);
        assert_eq!(world.count(VEHICLES).await, 1);
        assert!(matches!(
            add("other", None).await,
            Err(RegisterError::Taken(_))
        ));
        // It measures another vehicle of its owner, but nobody else's.
        let register = &world.register;
        let json = register.add("acme", Kind::Json, "spare", None).await;
        let spare = json.unwrap().asset;
        let json = register.add("other", Kind::Json, "theirs", None).await;
        let theirs = json.unwrap().asset;
        let error = add("acme", Some(theirs)).await;
        assert!(
            matches!(error, Err(RegisterError::NoAsset { asset, .. }) if asset == theirs),
            "{error:?}"
        );
        assert_eq!(add("acme", None).await.unwrap().asset, first.asset);
        let moved = add("acme", Some(spare)).await.unwrap();
        assert_eq!((moved.id, moved.asset), (first.id, spare));
        let found = register.find(Kind::Teltonika, IMEI).await.unwrap();
        assert_eq!(found.unwrap().asset, spare);
    });
}

#[test]
fn who_was_taken_out_of_service_is_not_known_until_it_is_back() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let error = world.register.remove(Kind::Teltonika, IMEI).await;
        assert!(matches!(error, Err(RegisterError::NoDevice(_))));
        let device = world.tracker(IMEI).await;
        // Another process takes it out; what this one has read is believed for ten seconds, and no longer.
        let find = async || world.register.find(Kind::Teltonika, IMEI).await.unwrap();
        assert!(find().await.is_some());
        let elsewhere = Register::new(world.db.clone(), world.clock.clone());
        elsewhere.remove(Kind::Teltonika, IMEI).await.unwrap();
        world.hand.advance(Duration::from_millis(9999));
        assert!(find().await.is_some());
        world.hand.advance(Duration::from_millis(1));
        assert_eq!(find().await, None);
        let error = world.register.remove(Kind::Teltonika, IMEI).await;
        assert!(matches!(error, Err(RegisterError::NoDevice(_))));
        // A service that still names it does not bring it back; whoever registers it again does.
        let met = world
            .register
            .meet(world.acme, Kind::Teltonika, IMEI)
            .await
            .unwrap();
        assert_eq!(met, None);
        assert_eq!(world.tracker(IMEI).await.id, device.id);
        assert_eq!(find().await, Some(device));
    });
}

#[test]
fn a_device_that_many_meet_at_once_is_registered_once() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let meetings: Vec<_> = (0..12)
            .map(|_| {
                // Each its own cache, as in processes of their own.
                let register = Register::new(world.db.clone(), world.clock.clone());
                let acme = world.acme;
                tokio::spawn(async move { register.meet(acme, Kind::Geotab, "db/b1").await })
            })
            .collect();
        let mut numbers = BTreeSet::new();
        for meeting in meetings {
            let device = meeting.await.unwrap().unwrap().unwrap();
            numbers.insert((device.id, device.asset));
        }
        assert_eq!(numbers.len(), 1);
        assert_eq!(world.count(DEVICES).await, 1);
        assert_eq!(world.count(VEHICLES).await, 1);
        let stranger = world.register.meet(world.other, Kind::Geotab, "db/b1");
        assert_eq!(stranger.await.unwrap(), None);
        let nonsense = world.register.meet(world.other, Kind::Geotab, "b1");
        assert_eq!(nonsense.await.unwrap(), None);
        assert_eq!(world.count(DEVICES).await, 1);
    });
}

#[test]
fn an_organisation_lists_its_own_devices_page_by_page() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        for key in ["a", "b", "c"] {
            let added = world.register.add("acme", Kind::Json, key, None).await;
            added.unwrap();
        }
        let added = world.register.add("other", Kind::Json, "d", None).await;
        added.unwrap();
        world.register.remove(Kind::Json, "b").await.unwrap();
        let keys = async |organization, after, limit| {
            let scope = Scope::of_system(organization, "test");
            let tenant = world.db.tenant(&scope).await.unwrap();
            let listed = read::list(&tenant, after, limit).await.unwrap();
            listed
                .into_iter()
                .map(|device| (device.id, device.key, device.removed_at.is_some()))
                .collect::<Vec<_>>()
        };
        let first = keys(world.acme, 0, 2).await;
        let names: Vec<_> = first.iter().map(|(_, key, gone)| (&**key, *gone)).collect();
        assert_eq!(names, [("a", false), ("b", true)]);
        let rest = keys(world.acme, first[1].0, 2).await;
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0].1, "c");
        let theirs = keys(world.other, 0, 9).await;
        assert_eq!(theirs.len(), 1);
        assert_eq!(theirs[0].1, "d");
    });
}
