//! The life of commands.

use std::time::Duration;

use jiff::ToSpan as _;
use platform::testing::on_each_database;
use shared_protocol::{CommandBody, Epoch};
use telemetry::command::{self, CommandError, CommandId};

use crate::world::{World, columns, is_stored, now};

const HOUR: Duration = Duration::from_hours(1);

async fn state(world: &World, id: CommandId) -> (String, i32) {
    let client = world.client().await;
    let all = command::list(&client, None, 100).await.unwrap();
    let one = all.into_iter().find(|one| one.id == id.to_string());
    one.map(|one| (one.state, one.sends)).unwrap()
}

fn answer(id: CommandId, result: &str) -> String {
    format!("{{\"command\": \"{id}\", \"result\": \"{result}\"}}")
}

#[test]
fn commands_are_sent_until_they_are_answered_or_expire() {
    on_each_database(|database| async move {
        let world = World::on(&database).await;
        let mut gateway = world.gateway("depot-1").await;
        let mut other = world.gateway("depot-2").await;
        world.one(&gateway.define(&columns())).await;
        let send = async |what: (&str, &str)| {
            command::send(&world.db, &gateway.id, what, now(), HOUR).await
        };
        let ping = send(("ping", "")).await.unwrap();
        let again = send(("send-columns", "7.00000000000000ff")).await.unwrap();
        let never = send(("ping", "")).await.unwrap();
        for bad in [
            ("ping", "x"),
            ("clear-trouble-codes", ""),
            ("clear-trouble-codes", "Car 1"),
            ("send-columns", "7"),
            ("send-columns", "7.ff"),
            ("reboot", ""),
        ] {
            assert!(
                matches!(send(bad).await, Err(CommandError::Unknown { .. })),
                "{bad:?}"
            );
        }
        let error = send(("plan", "{}")).await;
        assert!(matches!(error, Err(CommandError::Plan(_))), "{error:?}");
        // What a charging station cannot do is not sent to anybody.
        let dance = r#"{"station": "CP-1", "command": "dance"}"#;
        for bad in [dance, "", "{}"] {
            let error = send(("station", bad)).await;
            assert!(matches!(error, Err(CommandError::Station(_))), "{bad}");
        }
        let none = "nobody".parse().unwrap();
        let error = command::send(&world.db, &none, ("ping", ""), now(), HOUR).await;
        assert!(matches!(error, Err(CommandError::Gateway(_))));
        let error = command::send(&world.db, &gateway.id, ("ping", ""), now(), 1000 * HOUR).await;
        assert!(matches!(error, Err(CommandError::Valid(_))));

        // Two ingestors take each once; what is not answered is due again.
        let (one, two) = tokio::join!(
            command::take_due(&world.db, now()),
            command::take_due(&world.db, now())
        );
        let mut taken = [one.unwrap(), two.unwrap()].concat();
        taken.sort_by_key(|command| command.id);
        assert_eq!(taken.len(), 3);
        assert!(taken.iter().all(|command| command.gateway == gateway.id
            && command.expires_us - command.issued_us == 3_600_000_000));
        let body = &taken
            .iter()
            .find(|command| command.id == again.0)
            .unwrap()
            .body;
        let epoch = Epoch {
            counter: 7,
            nonce: 255,
        };
        assert_eq!(*body, CommandBody::SendColumns(epoch));
        assert!(
            command::take_due(&world.db, now() + 9.seconds())
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            command::take_due(&world.db, now() + 10.seconds())
                .await
                .unwrap()
                .len(),
            3
        );
        assert_eq!(state(&world, ping).await, ("sent".into(), 2));

        // Another gateway's word does not count, nor does nonsense.
        for payload in [answer(ping, "done"), "{}".into(), answer(ping, "perhaps")] {
            assert!(is_stored(
                &world.one(&other.record(command::ANSWER, &payload)).await
            ));
        }
        assert!(is_stored(
            &world.one(&gateway.record(command::ANSWER, "[1]")).await
        ));
        assert_eq!(state(&world, ping).await.0, "sent");
        let received = gateway.record(command::ANSWER, &answer(ping, "received"));
        let done = gateway.record(command::ANSWER, &answer(ping, "done"));
        let refused = gateway.record(command::ANSWER, &answer(again, "interrupted"));
        world.one(&received).await;
        assert_eq!(state(&world, ping).await.0, "received");
        world.ingest(&[&done, &refused]).await;
        assert_eq!(state(&world, ping).await.0, "done");
        assert_eq!(state(&world, again).await.0, "refused");
        // An answer that comes twice, or another one later, changes nothing.
        world
            .one(&gateway.record(command::ANSWER, &answer(ping, "refused")))
            .await;
        world.one(&done).await;
        assert_eq!(state(&world, ping).await.0, "done");

        // Expired, until the gateway says that it had done it in time.
        let late = now() + 2.hours();
        assert!(command::take_due(&world.db, late).await.unwrap().is_empty());
        assert_eq!(state(&world, never).await.0, "expired");
        world
            .one(&gateway.record(command::ANSWER, &answer(never, "done")))
            .await;
        assert_eq!(state(&world, never).await.0, "done");
        assert_eq!(
            world.count("SELECT count(*) FROM telemetry.record").await,
            9
        );
        assert!("xyz".parse::<CommandId>().is_err());
        assert_eq!(ping.to_string().parse::<CommandId>().unwrap(), ping);
        let unlock = r#"{"station": "CP-1", "command": "unlock", "with": {"connector": 1}}"#;
        let unlocks = ("station", unlock);
        command::send(&world.db, &gateway.id, unlocks, now(), HOUR)
            .await
            .unwrap();
        let taken = command::take_due(&world.db, now()).await.unwrap();
        assert_eq!(taken[0].body, CommandBody::Station(unlock.to_owned()));
        // A plan that assumes something of other cars is followed by what older gateways know of it, under the same name.
        let plan = r#"{"from": "2027-01-31T20:00:00Z", "until": "2027-02-01T06:00:00Z", "stations": [{"station": "s-1"}],
            "assumed": {"energy_wh": 20000, "leaves_after_s": 28800}}"#;
        let sent = command::send(&world.db, &gateway.id, ("plan", plan), now(), HOUR).await;
        let taken = command::take_due(&world.db, now()).await.unwrap();
        assert!(
            taken
                .iter()
                .all(|command| command.id == sent.as_ref().unwrap().0)
        );
        let bodies: Vec<_> = taken.iter().map(|command| &command.body).collect();
        let [
            CommandBody::PlanAssuming(plan, assumed),
            CommandBody::Plan(older),
        ] = bodies[..]
        else {
            panic!("{bodies:?}");
        };
        assert_eq!((plan, assumed.leaves_after_s), (older, 28_800));
        let client = world.client().await;
        assert!(
            command::list(&client, Some(&other.id), 10)
                .await
                .unwrap()
                .is_empty()
        );
    });
}
