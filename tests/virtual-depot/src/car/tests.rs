use super::*;

fn car(state_of_charge: f64) -> Car {
    Car::new(11, "car-01", state_of_charge)
}

fn at_station(offered: f64) -> Orders {
    Orders {
        on_duty: false,
        plugged: true,
        offered,
    }
}

#[test]
fn charging_goes_up_tapers_and_ends_in_sleep() {
    let mut car = car(0.3);
    let (stored, mut taken, mut before) = (car.battery.clone(), 0.0, 0.3);
    let (mut seconds, mut awake_seconds, mut at_97) = (0_u32, 0.0, None);
    let mut activities = vec![];
    while car.activity != Activity::Asleep {
        car.step(1.0, at_station(7_000.0));
        taken += car.drawn / 3600.0;
        seconds += 1;
        awake_seconds += 1.0;
        assert!(
            seconds < 8 * 3600,
            "never full: {}",
            car.battery.state_of_charge
        );
        if activities.last() != Some(&car.activity) {
            activities.push(car.activity);
        }
        if car.activity == Activity::Charging {
            let now = car.battery.state_of_charge;
            assert!(now >= before, "{before} -> {now}");
            before = now;
            if now > 0.97 && at_97.is_none() {
                at_97 = Some(car.drawn);
            }
        }
    }
    assert_eq!(
        activities,
        [Activity::Charging, Activity::Awake, Activity::Asleep]
    );
    assert!(car.battery.state_of_charge > 0.995);
    assert!(at_97.unwrap() > 6_000.0, "no taper before 97 %");
    // What the station gave is what the battery took, the charger's loss and the electronics.
    let charged = car.battery.charged - stored.charged;
    let expected = taken * CHARGER_EFFICIENCY - ELECTRONICS * awake_seconds / 3600.0;
    assert!(
        (charged / expected - 1.0).abs() < 0.002,
        "{charged} {expected}"
    );
}

#[test]
fn the_last_percents_take_less_and_less() {
    let drawn = |charge: f64| {
        let mut car = car(charge);
        (0..20).for_each(|_| car.step(1.0, at_station(11_000.0)));
        car.drawn
    };
    let series: Vec<f64> = [0.5, 0.99, 0.995, 0.998].map(drawn).to_vec();
    assert!(
        series.windows(2).all(|pair| pair[0] > pair[1]),
        "{series:?}"
    );
    assert_eq!(drawn(1.0), 0.0);
}

#[test]
fn a_limit_is_taken_at_once_and_a_pause_ends_charging() {
    let mut car = car(0.5);
    (0..5).for_each(|_| car.step(1.0, at_station(7_000.0)));
    assert_eq!(car.drawn, 7_000.0);
    car.step(0.1, at_station(1_500.0));
    assert_eq!(car.drawn, 1_500.0);
    car.step(0.1, at_station(0.0));
    assert_eq!((car.drawn, car.activity), (0.0, Activity::Awake));
    car.step(0.1, at_station(7_000.0));
    assert!(car.drawn > 0.0 && car.drawn < 1_000.0, "{}", car.drawn);
}

#[test]
fn a_shift_ends_at_the_depot() {
    let mut car = car(0.9);
    let on_duty = Orders {
        on_duty: true,
        ..Orders::default()
    };
    (0..7200).for_each(|_| car.step(1.0, on_duty));
    assert_eq!(car.activity, Activity::Driving);
    assert!(car.battery.state_of_charge < 0.9 && car.motion.odometer > 0.0);
    let mut seconds = 0;
    while car.activity == Activity::Driving {
        car.step(1.0, Orders::default());
        seconds += 1;
        assert!(seconds < 3600);
    }
    assert_eq!((car.motion.latitude(), car.motion.longitude()), DEPOT);
    assert_eq!(car.motion.speed, 0.0);
}

#[test]
fn an_empty_car_goes_home_and_leaves_again_when_charged() {
    let mut car = car(0.13);
    car.start_on_the_road();
    let on_duty = Orders {
        on_duty: true,
        ..Orders::default()
    };
    let mut hours = 0.0;
    while car.activity == Activity::Driving {
        car.step(1.0, on_duty);
        hours += 1.0 / 3600.0;
        assert!(hours < 5.0, "{}", car.battery.state_of_charge);
    }
    assert!(car.battery.state_of_charge > 0.03);
    assert!(!car.wants_to_leave(true));
    let charging = Orders {
        on_duty: true,
        ..at_station(11_000.0)
    };
    while !car.wants_to_leave(true) {
        car.step(1.0, charging);
    }
    car.step(1.0, charging);
    assert!(car.is_parked(), "its cable is still plugged in");
    car.step(1.0, on_duty);
    assert_eq!(car.activity, Activity::Driving);
}

#[test]
fn what_it_reports_can_be_true_and_moves() {
    let catalogue = shared_protocol::catalogue();
    let mut car = car(0.6);
    car.start_on_the_road();
    let on_duty = Orders {
        on_duty: true,
        ..Orders::default()
    };
    let reports: Vec<_> = catalogue
        .signals()
        .iter()
        .filter_map(|signal| Some((signal, report(&signal.name)?)))
        .collect();
    assert!(reports.len() > 35, "{}", reports.len());
    let mut seen = vec![std::collections::HashSet::new(); reports.len()];
    for second in 0..4_000 {
        match second {
            0..2000 => car.step(1.0, on_duty),
            _ => car.step(1.0, at_station(7_000.0)),
        }
        for ((signal, report), seen) in reports.iter().zip(&mut seen) {
            let value = report(&car);
            let (least, most) = (signal.range.0.to_f64(), signal.range.1.to_f64());
            assert!((least..=most).contains(&value), "{} {value}", signal.name);
            seen.insert((value / signal.resolution.to_f64()).round() as i64);
        }
    }
    for ((signal, _), seen) in reports.iter().zip(&seen) {
        assert!(seen.len() > 1, "{} never changes", signal.name);
    }
}

#[test]
fn vins_have_a_check_digit_that_holds() {
    for number in 0..50 {
        let vin = Car::new(1, &format!("car-{number}"), 0.5).vin;
        let vin: isotp::uds::Vin = vin.parse().unwrap();
        assert!(vin.check_digit_holds(), "{vin}");
    }
}
