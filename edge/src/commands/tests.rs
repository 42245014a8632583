//! A desk without an uplink: what is put on it, and what the buffer holds afterwards.

use std::sync::atomic::AtomicI64;

use shared_protocol::{Body, SigningKey, block::SealedBlock};

use super::*;
use crate::{buffer, clock::Sources};

const S: i64 = 1_000_000;

struct Place {
    folder: tempfile::TempDir,
    system: Arc<AtomicI64>,
    now: i64,
}

impl Place {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            folder: tempfile::tempdir().unwrap(),
            system: Arc::new(AtomicI64::new(0)),
            // Ahead of any build.
            now: now.unwrap().as_micros() as i64 + 1000 * S,
        }
    }

    /// The gateway runs, is given these commands, and ends; returns its answers as `(first byte of the id, result)`.
    async fn run(&self, commands: &[Command], until: u64) -> Vec<(u8, String)> {
        let system = self.system.clone();
        let sources = Sources {
            system: Box::new(move || system.load(Ordering::Relaxed)),
            kept: Box::new(|| true),
        };
        let clock = Arc::new(Clock::new(sources, None).unwrap());
        let options = buffer::Options {
            folder: self.folder.path().join("buffer"),
            quota: 1 << 30,
            gateway: "depot-1".parse().unwrap(),
            key: SigningKey::from_seed([5; 32]),
        };
        // The run before may not have let go of its folder yet.
        let buffer = loop {
            match Buffer::open(options.clone(), clock.clone()) {
                Ok(buffer) => break buffer,
                Err(buffer::StoreError::InUse(_)) => tokio::time::sleep(AGAIN / 50).await,
                Err(error) => panic!("{error}"),
            }
        };
        let epoch = buffer.epoch();
        let (desk, put) = Desk::new(self.folder.path().to_owned(), clock, buffer.clone(), None);
        let desk = Arc::new(desk);
        let working = desk.clone();
        let work = tokio::spawn(async move { working.work(&Beat::free()).await });
        for command in commands {
            put.send(command.clone()).await.unwrap();
        }
        let settled = || {
            let counts = &desk.counts;
            counts.done.load(Ordering::Relaxed) + counts.refused.load(Ordering::Relaxed)
        };
        while settled() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What is known already is looked at and leaves no trace.
        while put.capacity() < WAITING {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        work.abort();
        buffer.flush().await.unwrap();
        let mut answers = Vec::new();
        for block in buffer.to_send(2, 0, false, 1000).await.unwrap() {
            if block.number.epoch != epoch {
                continue;
            }
            let Body::Records(records) =
                SealedBlock::open(&block.bytes).unwrap().content().unwrap()
            else {
                continue;
            };
            for record in records {
                assert_eq!(record.kind, "command.answer");
                let payload: serde_json::Value = serde_json::from_str(&record.payload).unwrap();
                let id = hex::decode(payload["command"].as_str().unwrap()).unwrap();
                answers.push((id[0], payload["result"].as_str().unwrap().to_owned()));
            }
        }
        buffer.stop().await.unwrap();
        answers
    }

    fn command(&self, id: u8, expires_in: i64) -> Command {
        Command {
            gateway: "depot-1".parse().unwrap(),
            id: [id; 16],
            issued_us: self.now,
            expires_us: self.now + expires_in,
            body: CommandBody::Ping,
        }
    }
}

fn answered(answers: &[(u8, &str)]) -> Vec<(u8, String)> {
    let answers = answers.iter();
    answers
        .map(|(id, what)| (*id, (*what).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_command_is_carried_out_once_whatever_happens() {
    let place = Place::new();
    place.system.store(place.now, Ordering::Relaxed);
    let (first, second) = (place.command(1, 600 * S), place.command(2, 600 * S));
    let twice = [first.clone(), second.clone(), first.clone()];
    let answers = place.run(&twice, 2).await;
    assert_eq!(answers, answered(&[(1, "done"), (2, "done")]));
    // The next run knows them.
    let third = place.command(3, 600 * S);
    let answers = place.run(&[first, third], 1).await;
    assert_eq!(answers, answered(&[(3, "done")]));
    // One that an earlier run had begun when it was cut off.
    let fourth = place.command(4, 600 * S);
    let mut book = Book::open(place.folder.path(), 0).unwrap();
    book.write(&fourth.id, fourth.expires_us, Known::Begun)
        .unwrap();
    drop(book);
    let answers = place.run(&[fourth.clone(), fourth], 1).await;
    assert_eq!(answers, answered(&[(4, "interrupted")]));
}

#[tokio::test]
async fn an_expired_command_is_answered_once_and_not_carried_out() {
    let place = Place::new();
    place.system.store(place.now + 601 * S, Ordering::Relaxed);
    let late = place.command(1, 600 * S);
    let answers = place.run(&[late.clone(), late.clone(), late], 1).await;
    assert_eq!(answers, answered(&[(1, "expired")]));
}

#[tokio::test]
async fn while_the_time_is_unknown_commands_wait() {
    let place = Place::new();
    // The clock is set after a while, when one of the two has expired.
    let (system, now) = (place.system.clone(), place.now);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        system.store(now + 300 * S, Ordering::Relaxed);
    });
    let commands = [place.command(1, 600 * S), place.command(2, 200 * S)];
    let answers = place.run(&commands, 2).await;
    assert_eq!(answers, answered(&[(1, "done"), (2, "expired")]));
}

#[test]
fn a_clock_that_is_behind_the_command_does_not_judge_it() {
    let command = Place::new().command(1, 600 * S);
    let judge = |wall| judge(&command, wall);
    assert_eq!(judge(None), Judgement::Wait);
    // Ten years behind; a little behind.
    assert_eq!(
        judge(Some(command.issued_us - 315_360_000 * S)),
        Judgement::Wait
    );
    assert_eq!(judge(Some(command.issued_us - 59 * S)), Judgement::CarryOut);
    assert_eq!(judge(Some(command.expires_us)), Judgement::CarryOut);
    assert_eq!(judge(Some(command.expires_us + 1)), Judgement::Expired);
}
