//! The cloud's plan changes which car charges first; the gateway goes on with it when the cloud is gone, until its end, and
//! then cars share what there is.

use std::{fmt::Write as _, time::Duration};

use end_to_end::{
    check,
    house::{GATEWAY, Habits, House, Options},
    live::{Limits, Report},
    process,
};
use jiff::{Timestamp, ToSpan as _};

use crate::{databases, restored::report};

/// Four cars that would take 32 A each, and 32 A for all of them.
const DEPOT: &str = r#"
[depot]
id = "test"
name = "Test"
time_zone = "America/Mexico_City"
latitude = 19.4
longitude = -99.1
voltage_system = "220Y/127"

[[circuit]]
id = "main"
breaker = 40

[[meter]]
id = "grid"
circuit = "main"
modbus = { address = "tcp://10.20.0.10:502", unit = 1, map = "patio-virtual-meter" }
"#;
/// How long the plan holds.
const PLAN_S: i64 = 75;

fn limits(report: &Report) -> Option<&Limits> {
    let control = report.control.as_ref()?;
    (control.stations.len() == 4).then_some(control)
}

/// The least and the most that a station may draw, in A.
fn spread(limits: &Limits) -> (f64, f64) {
    let all = || limits.stations.iter().map(|one| one.limit);
    (
        all().fold(f64::INFINITY, f64::min),
        all().fold(0.0, f64::max),
    )
}

/// All cars charge, and none with more than the next step above another's.
fn shared(report: &Report) -> bool {
    limits(report).is_some_and(|limits| {
        let (least, most) = spread(limits);
        limits.plan_until_us.is_none() && least >= 6.0 && most - least <= 2.0
    })
}

/// The last car has clearly more than others.
fn planned(report: &Report) -> bool {
    limits(report).is_some_and(|limits| {
        let (least, most) = spread(limits);
        limits.plan_until_us.is_some() && limits.stations[3].limit >= most && most >= least + 3.0
    })
}

async fn command(house: &House, plan: &str) {
    let config = house.path("cloud.toml").display().to_string();
    let program = process::program("cloud-ingest").unwrap();
    let key = [
        "key",
        "add",
        "--config",
        &config,
        "--name",
        "planner",
        "--hours",
        "1",
        "--permission",
        "commands.send",
    ];
    let key = process::output(&program, &key).await.unwrap();
    let body = serde_json::json!({
        "gateway": GATEWAY, "kind": "plan", "argument": plan, "valid_s": 60,
    });
    let url = format!("{}/v1/commands", house.http());
    let sent = tokio::task::spawn_blocking(move || {
        ureq::post(&url)
            .header("authorization", format!("Bearer {}", key.trim()))
            .send_json(&body)
            .map(|answer| answer.status().as_u16())
    });
    assert_eq!(sent.await.unwrap().unwrap(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_orders_cars_until_its_end_with_or_without_a_cloud() {
    let Some((flavour, url)) = databases().into_iter().next() else {
        return;
    };
    println!("database: {flavour}");
    let folder = tempfile::tempdir().unwrap();
    let mut depot = DEPOT.to_owned();
    for station in 1..=4 {
        let _ = write!(
            depot,
            "\n[[station]]\nid = \"station-{station}\"\ncircuit = \"main\"\nphases = \"L1-L2\"\nconnectors = [\"Type 1\"]\n\
             max_current = 32\nfallback_current = 6\n\
             modbus = {{ address = \"tcp://10.20.1.{station}:502\", unit = 1, map = \"patio-virtual-charger\" }}\n"
        );
    }
    let file = folder.path().join("four.toml");
    std::fs::write(&file, depot).unwrap();
    let options = Options {
        folder: folder.path().join("house"),
        database_url: check::fresh_database(&url, "patio_plan").await.unwrap(),
        cars: 4,
        chargers: 4,
        seed: 1,
        speed: 1.0,
        replay: None,
    };
    let habits = Habits {
        charging: true,
        ..Habits::default()
    };
    let mut house = House::of_depot(options, &file, habits).await.unwrap();
    house.start_cloud().await.unwrap();
    house.start_edge().unwrap();
    let now = report(&mut house, |now| now.uplink.connected && shared(now)).await;
    assert!(now.control.is_some_and(|control| control.signed));

    let until = Timestamp::now() + PLAN_S.seconds();
    let plan = serde_json::json!({
        "from": Timestamp::now() - 60.seconds(), "until": until,
        "stations": [{ "station": "station-4", "critical": true, "departure": until, "energy_wh": 20000 }],
    });
    command(&house, &plan.to_string()).await;
    report(&mut house, planned).await;

    // The cloud is gone, and the gateway killed: its plan holds.
    house.stop_cloud().await.unwrap();
    house.edge.take().unwrap().kill().await.unwrap();
    house.start_edge().unwrap();
    let held = report(&mut house, |now| {
        limits(now).is_some_and(|limits| limits.plan_until_us.is_some())
    })
    .await;
    assert!(!held.uplink.connected);
    let left = until.duration_since(Timestamp::now());
    println!("the plan was held over a restart without a cloud, {left:#} before its end");
    // Until its end, and then all share.
    report(&mut house, planned).await;
    tokio::time::sleep(
        Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default(),
    )
    .await;
    report(&mut house, shared).await;
    house.stop_depot().await.unwrap();
    house.stop_edge().await.unwrap();
}
