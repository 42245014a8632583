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

    // The building takes 60 A more on each phase.
    let before = rig.offered().1;
    rig.depot.world().meter.switch_on([60.0 * 127.0; 3]);
    let relimited = rig
        .until("nothing was cut", |rig| rig.offered().1 < 0.9 * before)
        .await;
    let obeyed = rig
        .until("the supply carries too much", |rig| {
            rig.flows() <= CONTINUOUS
        })
        .await;
    println!("relimited after {relimited:.2?}, {obeyed:.2?} more until the cars had obeyed");
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
async fn without_the_gateway_every_station_falls_back_by_itself() {
    let mut rig = Rig::new(2).await;
    all_charge(&rig).await;
    rig.stop_gateway().await;
    let fallen = |rig: &Rig| {
        let world = rig.depot.world();
        let mut chargers = world.chargers.iter();
        chargers.all(|charger| charger.offered_current() == FALLBACK)
    };
    let took = rig.until("a station did not fall back", fallen).await;
    println!("all {STATIONS} stations at {FALLBACK} A, {took:.1?} after the gateway was gone");
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
