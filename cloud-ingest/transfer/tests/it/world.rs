//! Two assets with samples of every kind, written through the door that devices use, and what of them is stored.

use std::{collections::BTreeMap, path::Path};

use jiff::{Timestamp, ToSpan as _};
use platform::{Clock, Db, Register, migrate, testing::TestDatabase};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use shared_protocol::{Decimal, Encoding, SignalDef, SignalRef, Source, catalogue};
use telemetry::{
    prepare_storage,
    readings::{Reading, prepare},
    samples::{Selection, each},
};
use transfer::{Exported, Format, ImportError, Imported, Plan, export, import};

pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) assets: BTreeMap<i32, String>,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn now() -> Timestamp {
    "2026-09-21T12:00:00Z".parse().unwrap()
}

pub(crate) fn definitions() -> Vec<SignalDef> {
    let scaled = |scale: &str, offset: &str| Encoding::Scaled {
        scale: scale.parse().unwrap(),
        offset: offset.parse().unwrap(),
    };
    let known = |name: &str| {
        let signal = catalogue().by_name(name).unwrap();
        SignalDef {
            signal: SignalRef::Catalogue(signal.id),
            encoding: Encoding::Scaled {
                scale: signal.resolution,
                offset: Decimal::ZERO,
            },
        }
    };
    let named = |name: &str, encoding| SignalDef {
        signal: SignalRef::Named {
            name: name.to_owned(),
            unit: "°C, \"odd\"".to_owned(),
        },
        encoding,
    };
    vec![
        known("Vehicle.Speed"),
        known("Vehicle.TraveledDistance"),
        known("Vehicle.CurrentLocation.Latitude"),
        named("M.Temp", scaled("0.390625", "-40")),
        named("M.Temp", scaled("1e-7", "0")),
        named(
            "M.Count",
            Encoding::Unsigned {
                scale: "0.1".parse().unwrap(),
                offset: "-3".parse().unwrap(),
            },
        ),
        named("M.Float", Encoding::Float),
    ]
}

impl World {
    /// With assets and without samples.
    pub(crate) async fn empty(database: &TestDatabase) -> Self {
        let db = database.connect().await;
        migrate(&db, &[platform::room(), telemetry::room()])
            .await
            .unwrap();
        prepare_storage(&db, now()).await.unwrap();
        let register = Register::new(db.clone(), Clock::system());
        let organization = register.add_organization("acme").await.unwrap();
        let owner = db.system().await.unwrap();
        for name in ["car \"A\"", "car, B"] {
            owner
                .execute(
                    "INSERT INTO platform.asset (organization_id, name, kind) VALUES ($1, $2, 'vehicle')",
                    &[&organization, &name],
                )
                .await
                .unwrap();
        }
        let assets = transfer::assets(&owner, organization).await.unwrap();
        assert_eq!(assets.len(), 2);
        Self {
            db,
            assets,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With random samples of both assets over some days, some of them equal to each other.
    pub(crate) async fn furnished(database: &TestDatabase, seed: u64, count: usize) -> Self {
        let world = Self::empty(database).await;
        let mut random = StdRng::seed_from_u64(seed);
        let definitions = definitions();
        let begin = now() - 72.hours();
        let mut client = world.db.system().await.unwrap();
        for source in [Source::Can, Source::Obd] {
            let mut readings: Vec<Reading<'_>> = (0..count)
                .map(|_| {
                    let signal = &definitions[random.random_range(0..definitions.len())];
                    Reading {
                        asset: *world.assets.keys().nth(random.random_range(0..2)).unwrap(),
                        // Many at one instant.
                        time: begin
                            + (random.random_range(0..count as i64 / 4) * 1_000_003).microseconds(),
                        signal,
                        raw: match signal.encoding {
                            Encoding::Float => random
                                .random_range(-1e300..1e300f64)
                                .to_bits()
                                .cast_signed(),
                            Encoding::Unsigned { .. } => random.random(),
                            Encoding::Scaled { .. } => random.random_range(0..20_000),
                        },
                    }
                })
                .collect();
            let twice: Vec<Reading<'_>> = readings.iter().step_by(17).cloned().collect();
            readings.extend(twice);
            let (ready, unfit) = prepare(&client, source, &readings, now()).await.unwrap();
            assert!(unfit.is_empty(), "{unfit:?}");
            let tx = client.transaction().await.unwrap();
            ready.store(&tx, |_| true, now()).await.unwrap();
            tx.commit().await.unwrap();
        }
        world
    }

    pub(crate) fn selection(&self) -> Selection {
        Selection {
            assets: self.assets.keys().copied().collect(),
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::MAX,
            signals: None,
            hidden_positions: true,
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            assets: self.assets.clone(),
            ..Plan::default()
        }
    }

    pub(crate) async fn export(&self, selection: &Selection, path: &Path) -> Exported {
        let mut client = self.db.system().await.unwrap();
        let format = Format::of(path).unwrap();
        export(
            &mut client,
            selection,
            &self.assets,
            path,
            format,
            async |_| Ok(()),
        )
        .await
        .unwrap()
    }

    pub(crate) async fn import(&self, path: &Path) -> Result<Imported, ImportError> {
        let format = Format::of(path).unwrap();
        import(&self.db, path, format, self.plan(), now(), async |_| Ok(())).await
    }

    /// Everything that is stored, in an order of its own, with all its bits.
    pub(crate) async fn stored(&self) -> Vec<String> {
        let mut client = self.db.system().await.unwrap();
        let mut stored = Vec::new();
        each(&mut client, &self.selection(), |page| {
            stored.extend(page.iter().map(|sample| format!("{sample:?}")));
            Ok::<_, std::io::Error>(())
        })
        .await
        .unwrap();
        stored.sort_unstable();
        stored
    }

    /// Takes all samples away, and what is known of them.
    pub(crate) async fn wipe(&self) {
        let client = self.db.system().await.unwrap();
        client
            .batch_execute(
                "DELETE FROM telemetry.sample; DELETE FROM telemetry.extra; DELETE FROM telemetry.state_change;
                 UPDATE telemetry.latest SET time = NULL, signals = '{}', times = '{}', steps = '{}';
                 UPDATE telemetry.extra_latest SET time = NULL, signals = '{}', times = '{}', raws = '{}', \"values\" = '{}'",
            )
            .await
            .unwrap();
    }
}
