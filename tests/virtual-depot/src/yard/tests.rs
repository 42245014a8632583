use super::*;
use crate::car::Activity;

const TICK: Duration = Duration::from_millis(100);

fn setup(plan: Plan, speed: f64) -> Setup {
    Setup {
        seed: 5,
        cars: 8,
        chargers: 8,
        speed,
        plan,
        wiring: Vec::new(),
    }
}

fn run(world: &mut World, seconds: f64) {
    let until = world.seconds() + seconds;
    while world.seconds() < until - 1e-6 {
        world.step(TICK);
    }
}

#[test]
fn the_same_setup_gives_the_same_world() {
    let setup = setup(Plan::Shifts, 60.0);
    let (mut one, mut two) = (World::new(&setup), World::new(&setup));
    let other = World::new(&Setup { seed: 6, ..setup });
    assert_ne!(format!("{one:?}"), format!("{other:?}"));
    for step in 0..600 {
        if step == 200 {
            one.chargers[3].write_limit(9.0);
            two.chargers[3].write_limit(9.0);
        }
        one.step(TICK);
        two.step(TICK);
    }
    assert_eq!(format!("{one:?}"), format!("{two:?}"));
}

#[test]
fn a_car_more_changes_nothing_for_the_others() {
    let few = setup(Plan::Driving, 1.0);
    let more = Setup {
        cars: 9,
        ..few.clone()
    };
    let (mut few, mut more) = (World::new(&few), World::new(&more));
    run(&mut few, 30.0);
    run(&mut more, 30.0);
    assert_eq!(few.cars[0].motion.place, more.cars[0].motion.place);
}

#[test]
fn some_are_out_some_charge() {
    let setup = Setup {
        cars: 60,
        chargers: 60,
        ..setup(Plan::Shifts, 1.0)
    };
    let mut world = World::new(&setup);
    run(&mut world, 60.0);
    let count = |activity| {
        world
            .cars
            .iter()
            .filter(|car| car.activity == activity)
            .count()
    };
    assert!(
        (20..45).contains(&count(Activity::Driving)),
        "{}",
        count(Activity::Driving)
    );
    assert!(
        (10..40).contains(&count(Activity::Charging)),
        "{}",
        count(Activity::Charging)
    );
}

#[test]
fn energy_goes_from_the_meter_through_the_stations_into_the_batteries() {
    let mut world = World::new(&setup(Plan::Charging, 20.0));
    let stations = |world: &World| world.chargers.iter().map(|c| c.energy).sum::<f64>();
    let batteries = |world: &World| world.cars.iter().map(|c| c.battery.charged).sum::<f64>();
    run(&mut world, 60.0);
    let before = (
        world.meter.live().energy,
        stations(&world),
        batteries(&world),
    );
    let mut building = 0.0;
    let (mut charge, mut registers) = (vec![0.0; 8], vec![0.0; 8]);
    let start = world.seconds();
    while world.seconds() < start + 1800.0 {
        world.step(TICK);
        building += world.meter.drawn_by_building() * 2.0 / 3600.0;
        for (index, car) in world.cars.iter().enumerate() {
            assert_eq!(car.activity, Activity::Charging);
            assert!(car.battery.state_of_charge > charge[index]);
            charge[index] = car.battery.state_of_charge;
        }
        for (register, charger) in registers.iter_mut().zip(&world.chargers) {
            assert!(charger.energy > *register);
            *register = charger.energy;
        }
    }
    let metered = world.meter.live().energy - before.0;
    let delivered = stations(&world) - before.1;
    let stored = batteries(&world) - before.2;
    let loss = metered - delivered - building;
    assert!(
        loss > 0.0 && loss < 0.03 * delivered,
        "{metered} {delivered} {building}"
    );
    let expected = delivered * crate::car::CHARGER_EFFICIENCY - 8.0 * 180.0 * 0.5;
    assert!(
        (stored / expected - 1.0).abs() < 0.005,
        "{stored} {expected}"
    );
}

#[test]
fn the_meter_is_the_sum_phase_by_phase() {
    let mut world = World::new(&setup(Plan::Charging, 1.0));
    run(&mut world, 30.0);
    let meter = world.meter.live();
    let stations: f64 = world.chargers.iter().map(|c| c.power).sum();
    assert!(stations > 8.0 * 6_000.0);
    let total = meter.total();
    let building = world.meter.drawn_by_building();
    let loss = total.re - stations - building;
    let copper: f64 = world
        .to_stations
        .iter()
        .map(|i| FEEDER * i.size() * i.size())
        .sum();
    assert!((loss - copper).abs() < 0.02 * copper, "{loss} {copper}");
    for phase in 0..3 {
        let apparent = meter.voltages[phase].size() * meter.currents[phase].size();
        assert!((meter.power[phase].size() - apparent).abs() < 1e-6);
    }
    // Currents between phases cancel; what is left in the neutral is the building's imbalance and little more.
    assert!(meter.neutral < 15.0, "{}", meter.neutral);
    // Eight stations, two of them on three phases: no phase carries more than its share by far.
    let currents: Vec<f64> = meter.currents.iter().map(|i| i.size()).collect();
    assert!(
        currents.iter().all(|i| (100.0..260.0).contains(i)),
        "{currents:?}"
    );
}

#[test]
fn a_limit_holds_within_two_seconds() {
    let mut world = World::new(&setup(Plan::Charging, 1.0));
    run(&mut world, 20.0);
    assert!(world.chargers[0].currents[0] > 25.0);
    world.chargers[0].write_limit(10.0);
    run(&mut world, 2.0);
    assert!(
        world.chargers[0].currents[0] < 10.05,
        "{:?}",
        world.chargers[0].currents
    );
    assert_eq!(world.chargers[0].offered_current(), 10.0);
    world.chargers[0].write_limit(0.0);
    run(&mut world, 2.0);
    assert_eq!(world.chargers[0].status, Status::SuspendedEvse);
    assert!(world.chargers[0].power == 0.0 && world.chargers[1].power > 0.0);
    world.chargers[0].write_limit(32.0);
    run(&mut world, 3.0);
    assert_eq!(world.chargers[0].status, Status::Charging);
    assert!(world.chargers[0].currents[0] > 25.0);
}

#[test]
fn a_station_that_nobody_attends_to_falls_back() {
    let mut world = World::new(&setup(Plan::Charging, 1.0));
    run(&mut world, 20.0);
    let charger = &mut world.chargers[0];
    charger.settings.watchdog = 10.0;
    charger.settings.fail_safe_current = 7.0;
    charger.write_limit(20.0);
    run(&mut world, 9.0);
    assert_eq!(world.chargers[0].offered_current(), 20.0);
    run(&mut world, 1.5);
    assert_eq!(world.chargers[0].offered_current(), 7.0);
    world.chargers[0].write_limit(0.0);
    run(&mut world, 1.0);
    assert_eq!(world.chargers[0].offered_current(), 0.0);
    run(&mut world, 9.5);
    assert_eq!(world.chargers[0].offered_current(), 7.0);
}

#[test]
fn a_reboot_forgets_the_settings_and_keeps_the_energy() {
    let mut world = World::new(&setup(Plan::Charging, 1.0));
    run(&mut world, 20.0);
    world.chargers[0].write_limit(10.0);
    run(&mut world, 2.0);
    let energy = world.chargers[0].energy;
    world.chargers[0].reboot(4.0);
    run(&mut world, 2.0);
    assert!(world.chargers[0].is_rebooting() && world.chargers[0].power == 0.0);
    assert!(world.chargers[0].energy >= energy);
    run(&mut world, 12.0);
    assert_eq!(world.chargers[0].settings.current_limit, 32.0);
    assert_eq!(
        (world.chargers[0].status, world.chargers[0].error),
        (Status::Charging, REBOOTED)
    );
    run(&mut world, 3.0);
    assert_eq!(world.chargers[0].error, 0);
}

#[test]
fn a_frozen_meter_shows_what_was() {
    let mut world = World::new(&setup(Plan::Charging, 1.0));
    run(&mut world, 10.0);
    world.meter.freeze(5.0);
    let shown = world.meter.shown.clone();
    run(&mut world, 4.5);
    assert_eq!(world.meter.shown, shown);
    assert!(world.meter.live().energy > shown.energy);
    run(&mut world, 1.0);
    assert_eq!(world.meter.shown, *world.meter.live());
}

#[test]
fn a_day_goes_through_every_status() {
    let mut world = World::new(&setup(Plan::Shifts, 200.0));
    let (mut seen, mut energy) = (std::collections::HashSet::new(), 0.0);
    let mut plugged = [0_u32; 8];
    while world.seconds() < 24.0 * 3600.0 {
        world.step(Duration::from_millis(5));
        for charger in &world.chargers {
            seen.insert(charger.status as u8);
            if charger.status == Status::Preparing {
                plugged[charger.car.unwrap()] += 1;
            }
        }
        let now = world.meter.live().energy;
        assert!(now >= energy);
        energy = now;
    }
    for status in [
        Status::Available,
        Status::Preparing,
        Status::Charging,
        Status::SuspendedEv,
        Status::Finishing,
    ] {
        assert!(seen.contains(&(status as u8)), "{status:?}");
    }
    assert!(plugged.iter().all(|times| *times > 0), "{plugged:?}");
}

#[test]
fn the_length_of_a_step_changes_little() {
    let charged = |speed: f64| {
        let mut world = World::new(&setup(Plan::Charging, speed));
        let before: f64 = world.chargers.iter().map(|c| c.energy).sum();
        run(&mut world, 600.0);
        world.chargers.iter().map(|c| c.energy).sum::<f64>() - before
    };
    let (fine, coarse) = (charged(1.0), charged(600.0));
    assert!((fine / coarse - 1.0).abs() < 0.02, "{fine} {coarse}");
}

#[test]
fn names_have_as_many_digits_as_they_need() {
    assert_eq!(name("car", 0, 20), "car-01");
    assert_eq!(name("car", 199, 200), "car-200");
    assert_eq!(name("charger", 4, 2000), "charger-0005");
}
