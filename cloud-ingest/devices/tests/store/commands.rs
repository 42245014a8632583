//! What devices are told to do: once, in order, in time.

use std::{collections::BTreeSet, time::Duration};

use devices::{Kind, RegisterError, command};
use platform::testing::{TestDatabase, on_each_database};

use crate::{IMEI, VALID, World};

impl World {
    async fn command(&self, text: &str) -> i64 {
        let now = self.clock.now();
        let sent = command::send(&self.db, Kind::Teltonika, IMEI, text, now, VALID).await;
        sent.unwrap()
    }

    /// States of all commands by number.
    async fn states(&self) -> Vec<(String, String)> {
        let mut listed = command::list(&self.db, 100).await.unwrap();
        listed.sort_by_key(|command| command.id);
        listed
            .into_iter()
            .map(|command| (command.state, command.answer))
            .collect()
    }
}

fn words(states: &[(String, String)]) -> Vec<(&str, &str)> {
    states.iter().map(|(a, b)| (&**a, &**b)).collect()
}

#[test]
fn commands_are_sent_in_their_order_and_once() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let now = world.clock.now();
        let nobody = command::send(&world.db, Kind::Teltonika, IMEI, "getver", now, VALID).await;
        assert!(matches!(nobody, Err(RegisterError::NoDevice(_))));
        let device = world.tracker(IMEI).await.id;
        let other = world.tracker("356307042441021").await.id;
        let numbers = [
            world.command("getinfo").await,
            world.command("getver").await,
        ];
        let waiting = command::waiting(&world.db, now).await.unwrap();
        assert_eq!(waiting, [device]);
        assert_eq!(command::next(&world.db, other, now).await.unwrap(), None);
        // Two connections of one tracker never send the same.
        let (a, b) = tokio::join!(
            command::next(&world.db, device, now),
            command::next(&world.db, device, now),
        );
        let sent: BTreeSet<i64> = [a, b]
            .into_iter()
            .filter_map(|order| order.unwrap())
            .map(|order| order.id)
            .collect();
        assert_eq!(sent.into_iter().collect::<Vec<_>>(), numbers);
        assert_eq!(command::next(&world.db, device, now).await.unwrap(), None);
        let waiting = command::waiting(&world.db, now).await.unwrap();
        assert!(waiting.is_empty());
    });
}

#[test]
fn an_answer_goes_to_its_command_or_to_the_oldest_that_waits() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let device = world.tracker(IMEI).await.id;
        let other = world.tracker("356307042441021").await.id;
        let now = world.clock.now();
        let mut numbers = Vec::new();
        for text in ["one", "two", "three"] {
            numbers.push(world.command(text).await);
        }
        let answer = async |device, order, refused, text: &str| {
            let answered = command::answer(&world.db, device, order, refused, text, now).await;
            answered.unwrap()
        };
        // Nothing was sent yet, so nothing is answered.
        assert_eq!(answer(device, None, false, "?").await, None);
        for _ in 0..3 {
            command::next(&world.db, device, now).await.unwrap();
        }
        assert_eq!(answer(other, None, false, "?").await, None);
        assert_eq!(answer(other, Some(numbers[0]), false, "?").await, None);
        let second = answer(device, Some(numbers[1]), true, "wrong\0 IMEI").await;
        assert_eq!(second, Some(numbers[1]));
        assert_eq!(answer(device, None, false, "1").await, Some(numbers[0]));
        let long = "x".repeat(5000);
        assert_eq!(answer(device, None, false, &long).await, Some(numbers[2]));
        assert_eq!(answer(device, None, false, "late").await, None);
        let states = world.states().await;
        let expected = [
            ("done", "1"),
            ("refused", "wrong IMEI"),
            ("done", &long[..4000]),
        ];
        assert_eq!(words(&states), expected);
    });
}

#[test]
fn what_is_too_old_is_not_sent_but_a_late_answer_counts() {
    on_each_database(async |database: TestDatabase| {
        let world = World::on(&database).await;
        let device = world.tracker(IMEI).await.id;
        let sent = world.command("sent").await;
        let now = world.clock.now();
        command::next(&world.db, device, now).await.unwrap();
        world.command("queued").await;
        let before = now + jiff::SignedDuration::from_millis(599_999);
        assert_eq!(command::expire(&world.db, before).await.unwrap(), 0);
        world.hand.advance(VALID);
        let end = world.clock.now();
        // Whether or not anybody has cleared it away.
        assert_eq!(command::next(&world.db, device, end).await.unwrap(), None);
        let waiting = command::waiting(&world.db, end).await.unwrap();
        assert!(waiting.is_empty());
        assert_eq!(command::expire(&world.db, end).await.unwrap(), 2);
        assert_eq!(command::expire(&world.db, end).await.unwrap(), 0);
        world.hand.advance(Duration::from_secs(60));
        let late = command::answer(&world.db, device, None, false, "ok", world.clock.now()).await;
        assert_eq!(late.unwrap(), Some(sent));
        let states = world.states().await;
        assert_eq!(words(&states), [("done", "ok"), ("expired", "")]);
    });
}
