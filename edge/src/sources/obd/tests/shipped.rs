//! The profiles that ship, and what the law wants an ECU to keep of a code.

use std::collections::{BTreeMap, BTreeSet};

use firmware_config::profiles::PROFILES;
use isotp::uds::{Dtc, DtcRecord, DtcStatus, SupportedIds};

use super::*;
use crate::sources::duty::Kept;

/// The ECUs whose identifiers a profile has asked together where they allow it, each with some answer to all of them.
fn ecus(commands: &[Command]) -> Vec<Ecu> {
    let mut by_request: BTreeMap<CanId, Vec<&Command>> = BTreeMap::new();
    for command in commands.iter().filter(|command| merge::takes(command)) {
        if command.service == 0x22 {
            by_request.entry(command.request).or_default().push(command);
        }
    }
    let several = by_request.into_values().filter(|all| all.len() > 1);
    several
        .map(|all| {
            let vin: Vin = "1M8GDM9AXKP042788".parse().unwrap();
            let mut responder = Responder::with_vin(vin);
            for command in &all {
                let id = u16::from_be_bytes(command.identifier.0[..].try_into().unwrap());
                let length = command.answer_length.unwrap();
                let bytes = (0..length).map(|at| (at * 7 % 60) as u8 + 1);
                responder.data.insert(id, bytes.collect());
            }
            Ecu::at(all[0].address().unwrap().mirrored(), responder)
        })
        .collect()
}

/// What a shipped profile reads of such ECUs within two minutes of driving and two of charging, and what they were asked.
fn drive(commands: &[Command], most: usize) -> (BTreeMap<String, i64>, Vec<Vec<u8>>) {
    let (mut poller, _) = Poller::new(Table::new(commands.to_vec()).unwrap(), Duration::ZERO);
    let mut ecus = ecus(commands);
    for ecu in &mut ecus {
        ecu.most = most;
    }
    let mut said = run(&mut poller, &mut ecus, 1, 120, VehicleState::Driving);
    said.extend(run(
        &mut poller,
        &mut ecus,
        121,
        120,
        VehicleState::Charging,
    ));
    let values = read(&poller, &said).into_iter();
    let values = values.map(|(name, (raw, _))| (name, raw)).collect();
    (values, ecus.into_iter().flat_map(|ecu| ecu.asked).collect())
}

#[test]
fn shipped_profiles_ask_together_what_their_cars_take_together() {
    let mut merged = BTreeSet::new();
    for name in PROFILES.names() {
        let commands = PROFILES.shipped(name).unwrap().unwrap().command;
        if ecus(&commands).is_empty() {
            continue;
        }
        let (together, asked) = drive(&commands, 100);
        let (alone, one_by_one) = drive(&commands, 1);
        assert!(!together.is_empty(), "{name}");
        assert_eq!(together, alone, "{name}");
        let data = |all: &[Vec<u8>]| all.iter().filter(|one| one[0] == 0x22).count();
        let several = |one: &&Vec<u8>| one[0] == 0x22 && one.len() > 3;
        assert!(asked.iter().any(|one| several(&one)), "{name}");
        assert!(data(&asked) < data(&one_by_one), "{name}");
        // Whoever refuses is tried once, and once more with what is left.
        assert!(one_by_one.iter().filter(several).count() <= 4, "{name}");
        assert!(asked.iter().all(|one| one.len() <= 7), "{name}");
        println!(
            "{name}: {} requests together, {} one by one",
            data(&asked),
            data(&one_by_one)
        );
        merged.insert(name);
    }
    assert!(merged.len() > 1, "{merged:?}");
}

#[test]
fn what_an_ecu_kept_of_a_new_code_is_read() {
    let (mut poller, _) = Poller::new(Table::new(commands(PROFILE)).unwrap(), Duration::ZERO);
    let mut ecus = [Ecu::new(0), Ecu::new(4)];
    let dtc = Dtc::uds([0x0A, 0x1B, 0x11]);
    let status = DtcStatus(0x09);
    let responder = &mut ecus[1].responder;
    responder.dtcs.push(DtcRecord { dtc, status });
    responder.snapshots.insert(dtc, vec![1, 1, 0xF1, 0x90, 7]);
    responder.extended_data.insert(dtc, vec![1, 3]);
    let map = SupportedIds::of(0, [0x02, 0x0D, 0x20]).unwrap();
    let second = SupportedIds::of(0x20, [0x40]).unwrap();
    let third = SupportedIds::of(0x40, [0x42]).unwrap();
    for (pid, value) in [
        (0x00, map.to_bytes().to_vec()),
        (0x02, vec![0x0A, 0x1B]),
        (0x0D, vec![88]),
        (0x20, second.to_bytes().to_vec()),
        (0x40, third.to_bytes().to_vec()),
        (0x42, vec![0x2F, 0x26]),
    ] {
        responder.freeze_frames.insert((pid, 0), value);
    }
    let said = run(&mut poller, &mut ecus, 1, 30, VehicleState::Driving);
    let kept: Vec<_> = said
        .iter()
        .filter_map(|output| match output {
            Output::News(News::Kept { ecu, dtc, what }) => Some((ecu.unwrap(), *dtc, what.clone())),
            _ => None,
        })
        .collect();
    let id: CanId = "7EC".parse().unwrap();
    let values = BTreeMap::from([(0x0D, vec![88]), (0x42, vec![0x2F, 0x26])]);
    let obd = Dtc::obd([0x0A, 0x1B]);
    assert_eq!(kept.len(), 3, "{kept:?}");
    for expected in [
        (id, dtc, Kept::Snapshot(vec![1, 1, 0xF1, 0x90, 7])),
        (id, dtc, Kept::Extended(vec![1, 3])),
        (id, obd, Kept::Frame(values)),
    ] {
        assert!(kept.contains(&expected), "{expected:?} in {kept:?}");
    }
    // Commands of the profile go on meanwhile, and what is known is not read again.
    assert!(read(&poller, &said).contains_key("first"));
    let again = run(&mut poller, &mut ecus, 31, 900, VehicleState::Driving);
    let news = |output: &Output| matches!(output, Output::News(_));
    assert!(!again.iter().any(news), "{again:?}");
}
