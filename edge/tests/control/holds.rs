//! The breaker holds, and what it can carry is used.

use std::time::Duration;

use virtual_depot::yard::LEAST_CURRENT;

use crate::rig::{CONTINUOUS, FALLBACK, Rig, STATIONS};

/// All cars charge with what the supply can carry.
async fn all_charge(rig: &Rig) {
    let full = |rig: &Rig| rig.offered().0 == STATIONS && rig.flows() > 0.8 * CONTINUOUS;
    let took = rig.until("not all cars charge", full).await;
    println!(
        "all {STATIONS} cars charge, {:.0} A flow after {took:.1?}",
        rig.flows()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_depot_without_a_cloud() {
    let rig = Rig::new(1).await;
    all_charge(&rig).await;

    // The building takes 110 A more on each phase: all stations are limited anew.
    let before: Vec<f64> = (0..STATIONS).map(|place| rig.offer(place)).collect();
    rig.depot.world().meter.switch_on([110.0 * 127.0; 3]);
    let all = |rig: &Rig| (0..STATIONS).all(|place| rig.offer(place) < before[place]);
    let relimited = rig.until("a station was not limited anew", all).await;
    let obeyed = rig
        .until("the supply carries too much", |rig| {
            rig.flows() <= CONTINUOUS
        })
        .await;
    println!(
        "all {STATIONS} stations limited anew {relimited:.2?} after the meter's step (2 s are wanted), {obeyed:.2?} more until the cars had obeyed"
    );
    // On a machine that others use, too.
    assert!(relimited < Duration::from_secs(15), "{relimited:?}");
    rig.depot.world().meter.switch_on([0.0; 3]);

    // Stations reboot, and do not know any limit any more: what they lost they get again.
    for place in [3, 17, 40] {
        rig.depot.reboot(place);
    }
    let told = |rig: &Rig| {
        let world = rig.depot.world();
        [3, 17, 40].iter().all(|place| {
            let charger = &world.chargers[*place];
            let settings = charger.settings;
            !charger.is_rebooting()
                && settings.fail_safe_current == FALLBACK
                && settings.watchdog > 0.0
                && settings.current_limit < charger.rated_current
        })
    };
    let took = rig
        .until("a station that was rebooted knows no limit", told)
        .await;
    println!("three rebooted stations were told again after {took:.1?}");

    // A meter whose registers stand still says nothing, whatever it answers.
    rig.depot.world().meter.freeze(3600.0);
    rig.until("a meter that stands still is believed", |rig| {
        rig.alarms().iter().any(|alarm| alarm.contains("silent"))
    })
    .await;
    let safe = |rig: &Rig| {
        let world = rig.depot.world();
        let mut chargers = world.chargers.iter();
        chargers.all(|charger| charger.offered_current() <= FALLBACK)
    };
    let took = rig.until("a station is above its fall-back", safe).await;
    println!("all at their fall-back {took:.1?} after the alarm");
    rig.depot.world().meter.freeze(0.0);
    all_charge(&rig).await;
    let heat = rig.end().await;
    println!("the breaker came to {heat:.3} of its trip");
    assert!(heat < 0.5, "the breaker came to {heat:.3} of its trip");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_leaves_stations_that_fall_back_by_themselves() {
    let mut rig = Rig::new(2).await;
    all_charge(&rig).await;
    rig.kill_gateway().await;
    let fallen = |rig: &Rig| {
        let world = rig.depot.world();
        let mut chargers = world.chargers.iter();
        chargers.all(|charger| charger.offered_current() == FALLBACK)
    };
    let took = rig.until("a station did not fall back", fallen).await;
    println!("all {STATIONS} stations at {FALLBACK} A, {took:.1?} after the gateway was killed");
    // A lease is a minute, and the watchdog runs out before it.
    assert!(took < Duration::from_secs(60), "{took:?}");
    const { assert!(FALLBACK >= LEAST_CURRENT) };
    rig.until("the supply carries too much", |rig| {
        rig.flows() <= CONTINUOUS
    })
    .await;
    let heat = rig.end().await;
    assert!(heat < 0.5, "the breaker came to {heat:.3} of its trip");
}
