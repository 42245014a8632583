//! A link that comes and goes, with a cloud that says nothing: however often, few records, and no more writing for it.

use std::collections::HashSet;

use super::*;
use crate::buffer::shown::{LEAST, MOST};

const FLAPS: u32 = 10_000;
/// Much less than a gateway may be given, so that it is full soon.
const ROOM: u64 = 2_000_000;

fn open(folder: &Path, columns: &Columns) -> Store {
    let (store, _) = Store::open(folder, ROOM, maker(), columns, Known::default()).unwrap();
    store
        .connection
        .pragma_update(None, "synchronous", "OFF")
        .unwrap();
    store
}

/// The link is there for a moment: the newest and the oldest blocks go out, as the uplink asks for them, and nobody answers.
fn flap(store: &mut Store) {
    for (priority, newest, limit) in [(3, true, 8), (3, false, 4), (4, false, 4)] {
        let now = Instant::now();
        store.next_to_send(priority, 0, newest, limit, now).unwrap();
    }
}

/// Frames of the log, which is what is written to the card.
fn frames(store: &Store) -> i64 {
    let state = "PRAGMA wal_checkpoint(NOOP)";
    let frames = store.connection.query_row(state, [], |row| row.get(1));
    frames.unwrap()
}

/// Rows of gap records, those among them that never grow any more, blocks, and all rows that are out without an answer.
fn rows(store: &Store) -> [usize; 4] {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE gap IS NOT NULL), count(*) FILTER (WHERE gap IS NOT NULL AND offered <> {UNSEEN}),
            count(*) FILTER (WHERE gap IS NULL), count(*) FILTER (WHERE offered <> {UNSEEN}) FROM block
         WHERE stream IN (2, 3) AND state = {TO_SEND}"
    );
    let number = |row: &rusqlite::Row<'_>, index| row.get::<_, u32>(index).unwrap() as usize;
    let found = store.connection.query_row(&sql, [], |row| {
        Ok([0, 1, 2, 3].map(|index| number(row, index)))
    });
    found.unwrap()
}

/// The cloud is there again and answers everything: all of it goes out, and each number is closed once.
fn recover(store: &mut Store, columns: &Columns) {
    let mut closed = HashSet::new();
    loop {
        let blocks = to_send(store);
        if blocks.is_empty() {
            break;
        }
        for block in blocks
            .iter()
            .filter(|one| one.number.stream != Stream::Columns)
        {
            for seq in block.number.seq..=closes(block).0 {
                let number = BlockNumber {
                    seq,
                    ..block.number
                };
                assert!(closed.insert(number), "{number} twice");
            }
        }
        for some in blocks.chunks(64) {
            let tick = Tick {
                settle: some.iter().map(stored).collect(),
                ..Tick::default()
            };
            commit(store, columns, &tick);
        }
    }
    let totals = store.totals().unwrap();
    assert!(
        totals.iter().all(|totals| totals.buffered == 0),
        "{totals:?}"
    );
    let numbers = "SELECT sum(next_seq) FROM stream WHERE stream <> 0";
    let numbers: u32 = store
        .connection
        .query_row(numbers, [], |row| row.get(0))
        .unwrap();
    assert_eq!(closed.len(), numbers as usize, "every number is closed");
}

#[test]
fn a_link_that_comes_and_goes_ten_thousand_times_leaves_few_records() {
    let folder = tempfile::tempdir().unwrap();
    let columns = Columns::default();
    let mut store = open(folder.path(), &columns);
    // What each thousand wrote, in bytes for each time, and the records that there were.
    let (mut written, mut found) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for n in 0..FLAPS {
        let before = frames(&store);
        flap(&mut store);
        // The uplink has gone.
        store.asked = None;
        let seal = vec![
            samples(&columns, Stream::Live, 1),
            samples(&columns, Stream::Live, 2),
            samples(&columns, Stream::Bulk, 30),
        ];
        let tick = Tick {
            seal,
            ..Tick::default()
        };
        commit(&mut store, &columns, &tick);
        let after = frames(&store);
        // The log begins anew after a checkpoint.
        bytes += if after < before {
            after
        } else {
            after - before
        } * 4096;
        if n % 200 == 199 {
            let checkpoint = "PRAGMA wal_checkpoint(PASSIVE)";
            store
                .connection
                .query_row(checkpoint, [], |_| Ok(()))
                .unwrap();
        }
        if n % 1000 == 999 {
            let now = rows(&store);
            written.push(std::mem::take(&mut bytes) / 1000);
            found.push(now);
            let [gaps, never_grow, blocks, out] = now;
            // Of each of the two priorities.
            assert!((MOST / 2..=2 * MOST).contains(&out), "{now:?}");
            // Beside what does not grow, and between blocks that are held, lies one that does.
            assert!(gaps <= 2 * never_grow + blocks + 2, "{now:?}");
            examine(&store);
        }
    }
    println!(
        "{FLAPS} times: records, those that never grow, blocks, and what is out, thousand by thousand: {found:?}; {written:?} bytes \
         written for each time ({} MB a day at one time a minute)",
        written.iter().max().unwrap() * 1440 / 1_000_000
    );
    let dropped = store
        .totals()
        .unwrap()
        .iter()
        .map(|t| t.dropped)
        .sum::<u64>();
    assert!(dropped > 100_000, "{dropped} samples were dropped");
    // The second half costs the card no more than what went before.
    let (first, second) = written.split_at(written.len() / 2);
    assert!(
        second.iter().max() <= first.iter().max().map(|most| most * 5 / 4).as_ref(),
        "{written:?}"
    );
    recover(&mut store, &columns);
}

/// Another run begins with what the one before left, and may hand out a little of its own all the same.
#[test]
fn each_run_goes_on_with_what_is_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = |store: &Store| -> usize {
        let sql = format!(
            "SELECT count(*) FROM block WHERE state = {TO_SEND} AND priority = 3 AND offered <> {UNSEEN}"
        );
        let count = store
            .connection
            .query_row(&sql, [], |row| row.get::<_, u32>(0));
        count.unwrap() as usize
    };
    let mut before = 0;
    for run in 0..3 {
        let columns = Columns::default();
        let mut store = open(folder.path(), &columns);
        produce(&mut store, &columns, 0..1000);
        for _ in 0..2 * MOST {
            flap(&mut store);
            produce(&mut store, &columns, 0..10);
        }
        let now = out(&store);
        println!("run {run}: {now} are out");
        assert!(now <= (before + LEAST).max(MOST), "run {run}: {now}");
        assert!(now > MOST / 2, "run {run}: {now}");
        before = now;
        if run == 2 {
            recover(&mut store, &columns);
        }
    }
}
