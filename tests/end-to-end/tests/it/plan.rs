//! A plan on its whole way: given to the cloud's API, signed, taken by the gateway, felt by the stations. The cloud is unplugged,
//! and it holds to its end; then the cars share. What the breaker is rated for never flows over.

use std::{cell::Cell, fmt::Write as _, time::Duration};

use end_to_end::{
    house::{GATEWAY, House},
    live::{Limits, Report, Station},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{charging_house, databases, restored::report};

/// Rating of the breaker of the supply, in A: less than the four cars on its first phase want.
const BREAKER: f64 = 80.0;
/// What is contracted, in kW: more than all of them draw before they are limited. What was measured then counts for all of the
/// quarter of an hour that passed before, and less than that would let nobody charge until its end.
const CONTRACT: f64 = 30.0;
const PHASES: [&str; STATIONS] = ["L1", "L1", "L1", "L1", "L2", "L2"];
/// The car that must not be late stands at the second of them.
const STATIONS: usize = 6;
const CRITICAL: usize = 1;
/// What the plan gives each of the others, in W, and what that is in whole amperes at 127 V.
const PLANNED: (u32, f64) = (1200, 9.0);
/// So much more than they the first one has, in A, when it has been raised twice.
const AHEAD: f64 = 4.0;
/// How long the second plan holds.
const HOLDS: Duration = Duration::from_secs(20);

fn depot() -> String {
    let mut text = format!(
        "[depot]\nid = \"planned\"\nname = \"Planned\"\ntime_zone = \"America/Mexico_City\"\nlatitude = 19.4\nlongitude = -99.1\n\
         voltage_system = \"220Y/127\"\n\n[contract]\ndemand = {CONTRACT}\ntariff = \"GDMTO\"\ndivision = \"Valle de México Centro\"\n\n\
         [[circuit]]\nid = \"main\"\nbreaker = {BREAKER}\n\n[[meter]]\nid = \"grid\"\ncircuit = \"main\"\n\
         modbus = {{ address = \"tcp://10.0.0.9\", unit = 1, map = \"patio-virtual-meter\" }}\n"
    );
    for (station, phase) in PHASES.iter().enumerate() {
        let _ = write!(
            text,
            "\n[[station]]\nid = \"s-{station}\"\ncircuit = \"main\"\nphases = \"{phase}\"\nconnectors = [\"Type 1\"]\nmax_current = 32\n\
             fallback_current = 6\nmodbus = {{ address = \"tcp://10.0.1.{station}\", unit = 1, map = \"patio-virtual-charger\" }}\n",
        );
    }
    text
}

/// Gives the gateway a plan until then, by which one car must not be late and the others get little; of the others it says
/// nothing unless it `knows` them.
fn plan(http: &str, key: &str, until: Timestamp, knows: bool) {
    let from = Timestamp::now();
    let stations = (0..STATIONS).filter(|place| knows || *place == CRITICAL);
    let stations = stations.map(|place| {
        let station = format!("s-{place}");
        if place == CRITICAL {
            json!({ "station": station, "critical": true })
        } else {
            json!({ "station": station, "power": [{ "from": from, "watts": PLANNED.0 }] })
        }
    });
    let stations: Vec<_> = stations.collect();
    let argument = json!({ "from": from, "until": until, "stations": stations });
    let command = json!({ "gateway": GATEWAY, "kind": "plan", "argument": argument.to_string() });
    let answer = ureq::post(format!("{http}/v1/commands"))
        .header("authorization", format!("Bearer {key}"))
        .send_json(command)
        .unwrap();
    assert_eq!(answer.status().as_u16(), 201);
}

/// What the car has that must not be late, and the most and least of the others, in A.
fn limits(limits: &Limits) -> (f64, f64, f64) {
    let all = limits.stations.iter().map(|station| station.limit);
    let others = || {
        all.clone()
            .enumerate()
            .filter(|(place, _)| *place != CRITICAL)
    };
    let others = || others().map(|(_, limit)| limit);
    (
        all.clone().nth(CRITICAL).unwrap(),
        others().fold(0.0, f64::max),
        others().fold(f64::INFINITY, f64::min),
    )
}

/// Waits for a report of limits as wanted; `most` learns what flowed meanwhile.
async fn held(house: &mut House, most: &Cell<f64>, wanted: impl Fn(&Limits) -> bool) -> Report {
    report(house, |report| {
        let Some(control) = &report.control else {
            return false;
        };
        for current in control.circuits.iter().flat_map(|circuit| circuit.current) {
            most.set(most.get().max(current));
        }
        wanted(control)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_kept_without_the_cloud_until_it_ends() {
    let Some((flavour, url)) = databases().into_iter().last() else {
        return;
    };
    println!("database: {flavour}");
    let folder = tempfile::tempdir().unwrap();
    let mut house = charging_house(
        folder.path(),
        (&url, "patio_plan"),
        &depot(),
        STATIONS as u32,
        1,
    )
    .await;
    let permissions = ["commands.send", "gateways.read", "telemetry.read"];
    let (http, key) = (house.http(), house.key_for(&permissions).await.unwrap());

    // From the moment at which all are limited the breaker holds. The demand stands against the contract.
    let most = Cell::new(0.0);
    let all = |control: &Limits| {
        let flows = control.circuits.iter().flat_map(|circuit| circuit.current);
        let limited = flows.fold(0.0, f64::max) <= BREAKER;
        control.charging == STATIONS && limited && control.plan_until_us.is_none()
    };
    let first = held(&mut house, &most, all).await.control.unwrap();
    most.set(0.0);
    assert_eq!(first.wanted, Some(CONTRACT * 1000.0));
    assert!(first.demand.is_some(), "{first:?}");
    let contracted = format!(" of {CONTRACT:.1})");
    assert!(first.line().contains(&contracted), "{}", first.line());

    // A plan that knows one car: of the others that is assumed which the fleet assumes, though nobody has said so to the plan.
    let far = Timestamp::now() + Duration::from_secs(600);
    plan(&http, &key, far, false);
    let assumed = held(&mut house, &most, |control| {
        let mut stations = control.stations.iter().enumerate();
        let right = |(place, station): (usize, &Station)| station.assumed == (place != CRITICAL);
        control.plan_until_us == Some(far.as_microsecond()) && stations.all(right)
    });
    println!("assumed: {}", assumed.await.control.unwrap().line());

    let far = Timestamp::now() + Duration::from_secs(600);
    plan(&http, &key, far, true);
    let ahead = |control: &Limits| {
        let (critical, most, _) = limits(control);
        let assumed = control.stations.iter().any(|station| station.assumed);
        most <= PLANNED.1 && critical >= most + AHEAD && !assumed
    };
    let planned = held(&mut house, &most, |control| {
        control.plan_until_us == Some(far.as_microsecond()) && ahead(control)
    });
    let planned = planned.await.control.unwrap();
    println!("planned: {}", planned.line());

    // The newest plan counts. Then there is no cloud any more, and the plan holds.
    let end = Timestamp::now() + HOLDS;
    plan(&http, &key, end, true);
    let newest = |control: &Limits| control.plan_until_us == Some(end.as_microsecond());
    held(&mut house, &most, newest).await;
    house.stop_cloud().await.unwrap();
    let mut alone = 0;
    loop {
        let one = held(&mut house, &most, |_| true).await;
        // What was read before the end was said before it.
        if Timestamp::now() >= end - Duration::from_secs(1) {
            break;
        }
        if one.uplink.connected {
            continue;
        }
        let control = one.control.unwrap();
        assert!(newest(&control) && ahead(&control), "{control:?}");
        alone += 1;
    }
    assert!(alone > 3, "{alone} reports of a plan without a cloud");

    // It ends, and cars share what there is.
    let shared = held(&mut house, &most, |control| {
        control.plan_until_us.is_none() && limits(control).2 > PLANNED.1
    });
    let control = shared.await.control.unwrap();
    println!("without a plan: {}", control.line());
    assert!(Timestamp::now() >= end, "{control:?}");
    println!(
        "the breaker of {BREAKER} A carried {:.1} A at most",
        most.get()
    );
    assert!(most.get() <= BREAKER, "{} A", most.get());
    house.stop().await.unwrap();
}
