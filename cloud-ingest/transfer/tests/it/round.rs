//! Out and in again: the same bit for bit, once, whatever happens in between.

use std::{
    fs,
    time::{Duration, Instant},
};

use jiff::ToSpan as _;
use platform::{
    DbError,
    testing::{budget, on_each_database, prepare_all},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use telemetry::samples::Selection;
use transfer::{ExportError, Format};

use crate::world::{World, now};

#[test]
fn what_was_exported_comes_back_bit_for_bit() {
    on_each_database(|database| async move {
        let world = World::furnished(&database, 1, 3000).await;
        let truth = world.stored().await;
        assert!(truth.len() > 6000);
        for name in ["all.csv", "all.parquet"] {
            let path = world.folder.path().join(name);
            let exported = world.export(&world.selection(), &path).await;
            assert_eq!(exported.samples as usize, truth.len());
            // Where it came from there is nothing to do.
            let imported = world.import(&path).await.unwrap();
            assert_eq!((imported.samples, imported.new), (exported.samples, 0));
            assert_eq!(world.stored().await, truth);
            world.wipe().await;
            for new in [exported.samples, 0] {
                let imported = world.import(&path).await.unwrap();
                assert_eq!(
                    (imported.samples, imported.new),
                    (exported.samples, new),
                    "{name}"
                );
                assert_eq!(world.stored().await, truth, "{name}");
            }
            // What is exported again is the same file, to the byte.
            let again = world.folder.path().join(format!("again.{name}"));
            world.export(&world.selection(), &again).await;
            assert!(
                fs::read(&path).unwrap() == fs::read(&again).unwrap(),
                "{name}"
            );
        }
        assert_eq!(prepare_all(&world.db, &queries()).await, 1);
    });
}

fn queries() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries")
}

#[test]
fn parts_that_overlap_make_the_whole() {
    on_each_database(|database| async move {
        let world = World::furnished(&database, 2, 1500).await;
        let truth = world.stored().await;
        let all = world.selection();
        let middle = now() - 72.hours() + 3.minutes();
        let one = *world.assets.keys().next().unwrap();
        let parts = [
            Selection {
                to: middle,
                ..all.clone()
            },
            Selection {
                from: middle - 1.minute(),
                ..all.clone()
            },
            Selection {
                assets: vec![one],
                ..all.clone()
            },
            Selection {
                signals: Some(vec!["Vehicle.Speed".to_owned(), "M.Float".to_owned()]),
                ..all
            },
        ];
        let mut paths = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let path = world.folder.path().join(format!("{number}.parquet"));
            let exported = world.export(part, &path).await.samples as usize;
            assert!(exported > 0 && exported < truth.len(), "{part:?}");
            paths.push(path);
        }
        world.wipe().await;
        // Two at a time take the same rows.
        let (left, right) = tokio::join!(world.import(&paths[3]), world.import(&paths[2]));
        let mut new = left.unwrap().new + right.unwrap().new;
        for path in &paths {
            new += world.import(path).await.unwrap().new;
        }
        assert_eq!(new as usize, truth.len());
        assert_eq!(world.stored().await, truth);
    });
}

/// The import is dropped in the middle of whatever it does, again and again: what is stored is never twice, and in the end
/// whole.
#[test]
fn an_import_that_is_ended_anywhere_is_completed() {
    let seed = std::env::var("PATIO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    on_each_database(move |database| async move {
        let world = World::furnished(&database, 3, 30_000).await;
        let truth = world.stored().await;
        let path = world.folder.path().join("all.csv");
        world.export(&world.selection(), &path).await;
        let (begun, mut seeds, mut ended) = (Instant::now(), 0, 0);
        while seeds == 0 || begun.elapsed() < budget() {
            let seed: u64 = seed.unwrap_or_else(rand::random);
            let mut random = StdRng::seed_from_u64(seed);
            world.wipe().await;
            let whole = Instant::now();
            let mut longest = Duration::from_millis(200);
            loop {
                let end = longest.mul_f64(random.random_range(0.2..1.0));
                match tokio::time::timeout(end, world.import(&path)).await {
                    Ok(imported) => {
                        imported.unwrap();
                        break;
                    }
                    Err(_) => ended += 1,
                }
                longest *= 2;
            }
            assert!(
                world.stored().await == truth,
                "PATIO_SEED={seed} after {:?}",
                whole.elapsed()
            );
            seeds += 1;
        }
        println!(
            "{seeds} seeds, ended early {ended} times on {}",
            database.label
        );
        assert!(ended > 0, "it was never ended early");
    });
}

/// Who is not to be seen is not in a file either, unless it is asked for.
#[test]
fn positions_that_are_hidden_stay_hidden() {
    on_each_database(|database| async move {
        let world = World::furnished(&database, 8, 300).await;
        let hidden = *world.assets.keys().next().unwrap();
        let client = world.db.system().await.unwrap();
        client
            .execute(
                "INSERT INTO platform.position_rule (organization_id, asset_id, since, reason)
                 SELECT organization_id, id, '2020-01-01', 'contract' FROM platform.asset WHERE id = $1",
                &[&hidden],
            )
            .await
            .unwrap();
        let mut lines = Vec::new();
        for hidden_positions in [true, false] {
            let selection = Selection {
                hidden_positions,
                ..world.selection()
            };
            let path = world.folder.path().join(format!("{hidden_positions}.csv"));
            world.export(&selection, &path).await;
            let text = fs::read_to_string(&path).unwrap();
            lines.push(text.lines().map(str::to_owned).collect::<Vec<_>>());
        }
        let is_hidden = |line: &String| {
            line.contains(&format!("Z,{hidden},")) && line.contains("Vehicle.CurrentLocation.")
        };
        assert!(lines[0].iter().any(is_hidden));
        assert!(
            lines[1]
                .iter()
                .any(|line| line.contains("Vehicle.CurrentLocation."))
        );
        lines[0].retain(|line| !is_hidden(line));
        assert_eq!(lines[0], lines[1]);
    });
}

#[test]
fn a_file_is_made_whole_or_not_at_all() {
    on_each_database(|database| async move {
        let world = World::furnished(&database, 4, 100).await;
        let path = world.folder.path().join("all.csv");
        fs::write(path.with_extension("csv.part"), "left by one that died").unwrap();
        world.export(&world.selection(), &path).await;
        assert!(!path.with_extension("csv.part").exists());
        let before = fs::read(&path).unwrap();
        let mut client = world.db.system().await.unwrap();
        let again = transfer::export(
            &mut client,
            &world.selection(),
            &world.assets,
            &path,
            Format::Csv,
            async |_| Ok(()),
        )
        .await;
        assert!(
            again
                .unwrap_err()
                .to_string()
                .contains("it is there already")
        );
        assert_eq!(fs::read(&path).unwrap(), before);
        let nowhere = world.folder.path().join("no/all.csv");
        assert!(
            transfer::export(
                &mut client,
                &world.selection(),
                &world.assets,
                &nowhere,
                Format::Csv,
                async |_| Ok(()),
            )
            .await
            .is_err()
        );
        // What is not noted does not leave.
        let unnoted = world.folder.path().join("unnoted.csv");
        let refused = transfer::export(
            &mut client,
            &world.selection(),
            &world.assets,
            &unnoted,
            Format::Csv,
            async |_| {
                Err(DbError::Url {
                    reason: "nobody writes".to_owned(),
                })
            },
        )
        .await;
        assert!(matches!(refused, Err(ExportError::Noted(_))), "{refused:?}");
        assert!(!unnoted.exists() && !unnoted.with_extension("csv.part").exists());
    });
}
