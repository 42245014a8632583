//! Files that are not as they should be: told by place, column and reason, and nothing is stored.

use std::{
    fs,
    path::{Path, PathBuf},
};

use platform::testing::on_each_database;
use transfer::{Format, ImportError, Plan, check};

use crate::world::{World, now};

/// A whole CSV file of one import, as its lines.
async fn lines(world: &World) -> Vec<String> {
    let path = world.folder.path().join("right.csv");
    world.export(&world.selection(), &path).await;
    let text = fs::read_to_string(&path).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn file(world: &World, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = world.folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

async fn refused(world: &World, path: &Path) -> String {
    match world.import(path).await {
        Err(ImportError::Refused(refusal)) => refusal.to_string(),
        other => panic!("{}: {other:?}", path.display()),
    }
}

fn joined(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_stored() {
    on_each_database(|database| async move {
        let world = World::furnished(&database, 5, 200).await;
        let right = lines(&world).await;
        world.wipe().await;
        let speed = right
            .iter()
            .position(|line| line.contains("Vehicle.Speed"))
            .unwrap();
        let float = right
            .iter()
            .position(|line| line.contains("float"))
            .unwrap();
        let with = |at: usize, from: &str, to: &str| {
            let mut lines = right.clone();
            assert!(lines[at].contains(from), "{}", lines[at]);
            lines[at] = lines[at].replacen(from, to, 1);
            joined(&lines)
        };
        let swapped = {
            let mut lines = right.clone();
            let last = lines.len() - 1;
            lines.swap(1, last);
            joined(&lines)
        };
        let at = |line: usize| format!("line {}", line + 1);
        let cases = [
            (
                "wrong unit",
                with(speed, "km/h", "mph"),
                at(speed),
                "unit: Vehicle.Speed is given in km/h, not in `mph`",
            ),
            (
                "unknown source",
                with(
                    speed,
                    if right[speed].contains(",can,") {
                        ",can,"
                    } else {
                        ",obd,"
                    },
                    ",radio,",
                ),
                at(speed),
                "source: `radio` is none of can",
            ),
            (
                "unknown signal",
                with(speed, "Vehicle.Speed", "Vehicle.Sped"),
                at(speed),
                "signal: the catalogue has no",
            ),
            (
                "another value",
                with(float, ",float,", "1,float,"),
                at(float),
                "value: ",
            ),
            ("no time", with(1, "2026", "20x6"), at(1), "time: "),
            (
                "a time to come",
                joined(&[
                    right[0].clone(),
                    right[speed].replacen("2026-09", "2036-09", 1),
                ]),
                at(1),
                "cannot be its time",
            ),
            (
                "too fine",
                joined(&[
                    right[0].clone(),
                    format!(
                        "2026-09-18T12:00:00.0000001Z{}",
                        &right[speed][right[speed].find(',').unwrap()..]
                    ),
                ]),
                at(1),
                "finer than microseconds",
            ),
            ("order", swapped, at(2), "rows come in the order of time"),
            (
                "a field more",
                with(speed, ",Vehicle.Speed,", ",,Vehicle.Speed,"),
                at(speed),
                "fields",
            ),
            (
                "title",
                with(0, "unit", "Unit"),
                at(0),
                "the title `unit` is missing",
            ),
            ("empty", String::new(), at(0), "the title `time` is missing"),
            (
                "foreign",
                "PAR1 \u{1}\u{2} not csv\n".to_owned(),
                at(0),
                "the title `time` is missing",
            ),
            (
                "open quotation mark",
                format!("{}\"{}", joined(&right[..2]), "x\n".repeat(300_000)),
                at(2),
                "is a quotation mark not closed?",
            ),
        ];
        for (what, text, place, reason) in cases {
            let path = file(&world, "wrong.csv", text);
            let said = refused(&world, &path).await;
            assert!(
                said.contains(&place) && said.contains(reason),
                "{what}: {said}"
            );
            assert!(world.stored().await.is_empty(), "{what}");
        }
        // Cut off anywhere in a line.
        let whole = joined(&right);
        for cut in [whole.len() - 1, whole.len() - 4, whole.len() / 2] {
            let path = file(&world, "cut.csv", &whole[..cut]);
            if !whole[..cut].ends_with('\n') {
                assert!(refused(&world, &path).await.contains("it was cut off"));
            }
        }
        // At the end of a line only the number of samples tells.
        let path = file(&world, "short.csv", joined(&right[..right.len() - 1]));
        let plan = Plan {
            rows: Some(right.len() as u64 - 1),
            ..world.plan()
        };
        assert!(
            check(&path, Format::Csv, &plan, now())
                .unwrap_err()
                .to_string()
                .contains("it was cut off")
        );
        assert!(world.stored().await.is_empty());
        // Bytes that are no text do not hide what is behind them.
        let mut bytes = joined(&right[..3]).into_bytes();
        bytes.extend(b"\xFF\n");
        bytes.extend(
            with(speed, "km/h", "mph")
                .lines()
                .nth(speed)
                .unwrap()
                .bytes(),
        );
        bytes.push(b'\n');
        let said = refused(&world, &file(&world, "bytes.csv", bytes)).await;
        assert!(
            said.contains("not UTF-8") && said.contains("unit: "),
            "{said}"
        );
        // Many faults are not all told.
        let many = right[0].clone() + "\n" + &"x\n".repeat(1000);
        let said = refused(&world, &file(&world, "many.csv", many)).await;
        assert_eq!(said.lines().count(), 20);
        assert!(world.stored().await.is_empty());
        assert_eq!(
            world
                .import(&file(&world, "whole.csv", whole))
                .await
                .unwrap()
                .new as usize,
            right.len() - 1
        );
    });
}

#[test]
fn assets_are_recognised_by_number_and_name() {
    on_each_database(|database| async move {
        let world = World::furnished(&database, 6, 200).await;
        let right = lines(&world).await;
        let path = file(&world, "right.csv", joined(&right));
        let [a, b]: [i32; 2] = world
            .assets
            .keys()
            .copied()
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        let said = |plan: &Plan| {
            check(&path, Format::Csv, plan, now()).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(said(&world.plan()).unwrap().assets.len(), 2);
        let mut renamed = world.plan();
        renamed.assets.insert(a, "another".to_owned());
        assert!(
            said(&renamed)
                .unwrap_err()
                .contains("is `another` here and")
        );
        renamed.to.insert(a, a);
        assert!(said(&renamed).is_ok());
        let mut gone = world.plan();
        gone.assets.remove(&b);
        assert!(said(&gone).unwrap_err().contains(&format!("no asset {b}")));
        gone.to.insert(b, a);
        assert!(
            said(&gone)
                .unwrap_err()
                .contains("two assets of the file would become")
        );
        gone.to.insert(b, b + 1000);
        assert!(
            said(&gone)
                .unwrap_err()
                .contains(&format!("no asset {}", b + 1000))
        );
        // The other way round: everything of one is stored of the other.
        let mut crossed = world.plan();
        crossed.to.extend([(a, b), (b, a)]);
        world.wipe().await;
        let imported =
            transfer::import(&world.db, &path, Format::Csv, crossed, now(), async |_| {
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(imported.new as usize, right.len() - 1);
        let count = |asset: i32| {
            let tag = format!("asset: {asset},");
            let stored = world.stored();
            async move {
                stored
                    .await
                    .iter()
                    .filter(|sample| sample.contains(&tag))
                    .count()
            }
        };
        let of_a = right
            .iter()
            .skip(1)
            .filter(|line| line.contains(&format!("Z,{a},")))
            .count();
        assert_eq!(count(b).await, of_a);
    });
}

#[test]
fn parquet_that_is_none_is_refused() {
    on_each_database(|database| async move {
        let world = World::furnished(&database, 7, 500).await;
        let path = world.folder.path().join("right.parquet");
        world.export(&world.selection(), &path).await;
        world.wipe().await;
        let whole = fs::read(&path).unwrap();
        for cut in [0, 3, 8, whole.len() / 2, whole.len() - 1] {
            let said = refused(&world, &file(&world, "cut.parquet", &whole[..cut])).await;
            assert!(
                said.contains("it is no Parquet file, or was cut off"),
                "{said}"
            );
        }
        let said = refused(&world, &file(&world, "text.parquet", "time,asset\n")).await;
        assert!(said.contains("it is no Parquet file"), "{said}");
        // One byte is another one: refused, or it did not matter; never stored otherwise than it was.
        let truth = {
            world.import(&path).await.unwrap();
            world.stored().await
        };
        world.wipe().await;
        let (mut refusals, step) = (0, whole.len() / 150);
        for at in (0..whole.len()).step_by(step.max(1)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x11;
            let broken = file(&world, "broken.parquet", bytes);
            let plan = world.plan();
            let looked =
                tokio::task::spawn_blocking(move || check(&broken, Format::Parquet, &plan, now()))
                    .await;
            refusals += usize::from(
                !matches!(looked, Ok(Ok(checked)) if checked.samples as usize == truth.len()),
            );
        }
        println!("{refusals} of about 150 were refused");
        assert!(refusals > 20);
        assert!(world.stored().await.is_empty());
    });
}
