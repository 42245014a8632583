//! What is stored, and that it is stored once.

use std::{pin::Pin, sync::Arc};

use deadpool_postgres::Transaction;
use devices::{Along, Kind, Record, Sink, StoreError, Stored, Unread, Why, read};
use jiff::{SignedDuration, Timestamp};
use platform::testing::{TestDatabase, on_each_database};

use crate::{IMEI, World, record};

const SAMPLES: &str = "SELECT count(*) FROM telemetry.sample";
const SUM: &str =
    "SELECT coalesce(sum(s.state_of_charge_displayed), 0)::bigint FROM telemetry.sample AS s";
const REFUSED: &str = "SELECT count(*) FROM devices.refused";

fn stored(new: u64, again: u64, refused: u64) -> Stored {
    Stored {
        new,
        again,
        refused,
    }
}

#[test]
fn a_record_that_comes_again_is_known() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let (one, two) = (
            world.tracker(IMEI).await,
            world.tracker("356307042441021").await,
        );
        let at = |seconds, percent| record(&one, world.ago(seconds), percent);
        let store = async |records: &[Record]| world.sink.store(records, None).await.unwrap();
        assert_eq!(store(&[]).await, stored(0, 0, 0));
        let first = [at(10, 80), at(9, 81)];
        assert_eq!(store(&first).await, stored(2, 0, 0));
        assert_eq!(store(&first).await, stored(0, 2, 0));
        // One is new, one stands there twice, one is of the same moment and says something else.
        let mixed = [at(9, 81), at(8, 82), at(8, 82), at(8, 83)];
        assert_eq!(store(&mixed).await, stored(2, 2, 0));
        // The same words of another device are another record.
        let theirs = [
            record(&two, world.ago(10), 80),
            record(&one, world.ago(10), 80),
        ];
        assert_eq!(store(&theirs).await, stored(1, 1, 0));
        assert_eq!(world.count(SAMPLES).await, 5);
        assert_eq!(world.count(SUM).await, (80 + 81 + 82 + 83 + 80) * 100);
        let client = world.db.system().await.unwrap();
        let listed = read::list(&client, 0, 10).await.unwrap();
        let sums: Vec<_> = listed
            .iter()
            .map(|one| (one.records, one.last_at))
            .collect();
        let expected = [(4, Some(world.ago(8))), (1, Some(world.ago(10)))];
        assert_eq!(sums, expected);
    });
}

#[test]
fn many_sinks_at_once_store_each_record_once() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let pair = [
            world.tracker(IMEI).await,
            world.tracker("356307042441021").await,
        ];
        let records: Vec<Record> = (0..60)
            .map(|at| record(&pair[at % 2], world.ago(at as i64), 20 + at as i64))
            .collect();
        let storing: Vec<_> = (0..10)
            .map(|turn| {
                let sink = Sink::new(world.db.clone(), world.clock.clone());
                // Overlapping thirds, each in an order of its own.
                let mut part = records.clone();
                part.rotate_left(turn * 6);
                part.truncate(20);
                tokio::spawn(async move { sink.store(&part, None).await.unwrap() })
            })
            .collect();
        let mut sum = stored(0, 0, 0);
        for store in storing {
            let one = store.await.unwrap();
            sum.new += one.new;
            sum.again += one.again;
        }
        let rest = world.sink.store(&records, None).await.unwrap();
        assert_eq!(sum.new + sum.again, 200);
        assert_eq!(sum.new + rest.new, 60);
        assert_eq!(world.count(SAMPLES).await, 60);
        let expected: i64 = (20..80).sum();
        assert_eq!(world.count(SUM).await, expected * 100);
        let counted = "SELECT sum(records)::bigint FROM devices.device";
        assert_eq!(world.count(counted).await, 60);
    });
}

#[test]
fn a_time_that_cannot_be_true_is_kept_aside_with_every_byte() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let device = world.tracker(IMEI).await;
        let y2k: Timestamp = "2000-01-01T00:00:00Z".parse().unwrap();
        let tomorrow = world.clock.now() + SignedDuration::from_hours(24);
        let tick = SignedDuration::from_micros(1);
        let records = [
            record(&device, y2k, 1),
            record(&device, tomorrow, 2),
            record(&device, y2k - tick, 3),
            record(&device, tomorrow + tick, 4),
        ];
        let store = async || world.sink.store(&records, None).await.unwrap();
        assert_eq!(store().await, stored(2, 0, 2));
        assert_eq!(store().await, stored(0, 4, 0));
        assert_eq!(world.count(SUM).await, 300);
        assert_eq!(world.count(REFUSED).await, 2);
        let client = world.db.system().await.unwrap();
        let sql = "SELECT reason, payload FROM devices.refused ORDER BY id";
        for (row, record) in client
            .query(sql, &[])
            .await
            .unwrap()
            .iter()
            .zip(&records[2..])
        {
            assert_eq!(row.get::<_, &str>("reason"), "impossible_time");
            assert_eq!(row.get::<_, &[u8]>("payload"), record.payload);
        }
    });
}

#[test]
fn a_value_that_is_not_stored_is_counted_and_the_rest_of_its_record_is_stored() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let device = world.tracker(IMEI).await;
        let unmapped = |detail: &str| Unread {
            code: "avl:7000".to_owned(),
            why: Why::Unmapped,
            detail: detail.to_owned(),
        };
        let mut first = record(&device, world.ago(2), 200);
        first.unread = vec![unmapped("a\0b")];
        let mut second = record(&device, world.ago(1), 70);
        second.unread = vec![unmapped(&"é".repeat(2000))];
        let records = [first, second];
        for again in [stored(2, 0, 0), stored(0, 2, 0)] {
            assert_eq!(world.sink.store(&records, None).await.unwrap(), again);
        }
        assert_eq!(world.count(SUM).await, 7000);
        let client = world.db.system().await.unwrap();
        let mut unread = read::list(&client, 0, 1).await.unwrap().remove(0).unread;
        unread.sort_by(|a, b| a.code.cmp(&b.code));
        let counted: Vec<_> = unread
            .iter()
            .map(|one| (&*one.code, &*one.reason, one.occurrences, one.last_at))
            .collect();
        let expected = [
            ("avl:7000", "unmapped", 2, world.ago(1)),
            ("charge", "impossible", 1, world.ago(2)),
        ];
        assert_eq!(counted, expected);
        assert_eq!(unread[0].detail, "é".repeat(500));
    });
}

/// Moves a cursor from one place to another, if it is there.
struct Cursor(i64, i64);

impl Along for Cursor {
    fn write<'a>(
        &'a self,
        tx: &'a Transaction<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<bool, tokio_postgres::Error>> + Send + 'a>> {
        Box::pin(async move {
            let sql = "UPDATE public.cursor SET at = $2 WHERE at = $1";
            Ok(tx.execute(sql, &[&self.0, &self.1]).await? == 1)
        })
    }
}

#[test]
fn what_goes_along_commits_with_the_records_or_not_at_all() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let device = Arc::new(
            world
                .register
                .add("acme", Kind::Geotab, "db/b1", None)
                .await
                .unwrap(),
        );
        let records = [record(&device, world.ago(1), 50)];
        let store = async |from, to| world.sink.store(&records, Some(&Cursor(from, to))).await;
        // There is no such table: the database refuses it, and so nothing is stored.
        assert!(matches!(store(0, 1).await, Err(StoreError::Later(_))));
        let owner = world.db.owner().await.unwrap();
        let made = "CREATE TABLE public.cursor (at bigint);
                    GRANT SELECT, UPDATE ON public.cursor TO PUBLIC;
                    INSERT INTO public.cursor VALUES (0)";
        owner.batch_execute(made).await.unwrap();
        assert!(matches!(store(5, 6).await, Err(StoreError::Moved)));
        assert_eq!(world.count(SAMPLES).await, 0);
        assert_eq!(store(0, 1).await.unwrap(), stored(1, 0, 0));
        // Whoever stands where the cursor was has been overtaken, though his records are known.
        assert!(matches!(store(0, 1).await, Err(StoreError::Moved)));
        assert_eq!(store(1, 2).await.unwrap(), stored(0, 1, 0));
        assert_eq!(world.count("SELECT at FROM public.cursor").await, 2);
        assert_eq!(world.count(SAMPLES).await, 1);
    });
}
