//! A desk without an uplink: what is put on it, and what the buffer holds afterwards.

use std::sync::atomic::AtomicI64;

use shared_protocol::{Body, SigningKey, block::SealedBlock};

use super::*;
use crate::{
    buffer,
    clock::Sources,
    control::{Act, Refused},
};
use tokio::sync::oneshot;

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
        self.run_with(commands, &[], until).await
    }

    /// The same with commands of somebody at the depot, of which this gateway can carry out none.
    async fn run_with(&self, commands: &[Command], local: &[Act], until: u64) -> Vec<(u8, String)> {
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
        let (desk, put) = Desk::new(self.folder.path().to_owned(), clock, buffer.clone());
        let desk = Arc::new(desk);
        let working = desk.clone();
        let work = tokio::spawn(async move { working.work(&Beat::free()).await });
        for command in commands {
            put.send(command.clone()).await.unwrap();
        }
        for act in local {
            let (answer, answered) = oneshot::channel();
            let local = Local {
                act: *act,
                station: "one".parse().unwrap(),
                token: None,
                answer,
            };
            desk.counter().send(local).await.unwrap();
            assert_eq!(answered.await.unwrap(), Err(Refused::NoStation));
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
                let payload: serde_json::Value = serde_json::from_str(&record.payload).unwrap();
                if record.kind == "command.local" {
                    assert_eq!(payload["who"], "local supervisor");
                    let what = [&payload["what"], &payload["station"], &payload["result"]];
                    let what = what.map(|word| word.as_str().unwrap());
                    answers.push((0, what.join(" ")));
                    continue;
                }
                assert_eq!(record.kind, "command.answer");
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
async fn what_somebody_at_the_depot_gives_is_kept_with_who_and_what_became_of_it() {
    let place = Place::new();
    place.system.store(place.now, Ordering::Relaxed);
    let acts = [Act::First, Act::Stop];
    let answers = place.run_with(&[], &acts, 2).await;
    let kept = [
        "first one begun",
        "first one refused",
        "stop one begun",
        "stop one refused",
    ];
    assert_eq!(answers, answered(&kept.map(|what| (0, what))));
    // Both are in the book, answered.
    let book = std::fs::read_to_string(place.folder.path().join("commands")).unwrap();
    assert_eq!(book.matches(" begun\n").count(), 2, "{book}");
    assert_eq!(book.matches(" answered\n").count(), 2, "{book}");
}

#[tokio::test]
async fn a_plan_is_refused_where_no_limits_are_held() {
    let place = Place::new();
    place.system.store(place.now, Ordering::Relaxed);
    let plan = Plan {
        from_us: 0,
        until_us: i64::MAX,
        stations: Vec::new(),
    };
    let assumed = Assumed {
        energy_wh: 20_000,
        leaves_after_s: 28_800,
    };
    let plan = Command {
        body: CommandBody::PlanAssuming(plan, assumed),
        ..place.command(1, 600 * S)
    };
    // What is sent after it for gateways of the version before is the same command.
    let older = plan.for_older().unwrap();
    let other = Command {
        id: [2; 16],
        ..older.clone()
    };
    let answers = place.run(&[plan, older, other], 2).await;
    assert_eq!(answers, answered(&[(1, "refused"), (2, "refused")]));
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

#[tokio::test]
async fn what_no_vehicle_here_can_do_is_refused() {
    let place = Place::new();
    place.system.store(place.now, Ordering::Relaxed);
    let mut command = place.command(1, 600 * S);
    command.body = CommandBody::ClearTroubleCodes("car-9".parse().unwrap());
    let answers = place.run(&[command], 1).await;
    assert_eq!(answers, answered(&[(1, "refused")]));
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
