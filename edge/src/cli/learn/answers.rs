//! `edge learn rank-answers`: what in an ECU's answers explains readings of the dashboard, from several scans.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use ::learn::{Order, Quantity, Round, draft_answers, rank_answers};
use isotp::Address;

use super::{Failure, KNOWN, value, write_new};

/// The answers of a scan, by identifier, and its service. Refusals, silence and what a power cut left are no answers.
fn read(path: &Path) -> Result<(u8, Round), Failure> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
    let mut services = BTreeSet::new();
    let mut round = Round::new();
    for line in text.lines() {
        let Some((request, answer)) = line.split_once(' ') else {
            continue;
        };
        let (Ok(request), Ok(answer)) = (hex::decode(request), hex::decode(answer)) else {
            continue;
        };
        let (service, identifier) = match request[..] {
            [service @ 0x21, id] => (service, id.into()),
            [service @ 0x22, high, low] => (service, u16::from_be_bytes([high, low])),
            _ => continue,
        };
        let begins = [&[service + 0x40], &request[1..]].concat();
        if let Some(data) = answer.strip_prefix(&begins[..]) {
            services.insert(service);
            round.insert(identifier, data.to_vec());
        }
    }
    match services.into_iter().collect::<Vec<_>>()[..] {
        [service] => Ok((service, round)),
        [] => Err(Failure::input(format!(
            "{}: expected the answers of a scan, found none",
            path.display()
        ))),
        _ => Err(Failure::input(format!(
            "{}: expected the answers to one service, found two",
            path.display()
        ))),
    }
}

/// What was answered in a scan.
pub(super) fn identifiers(path: &Path) -> Result<BTreeSet<u16>, Failure> {
    Ok(read(path)?.1.into_keys().collect())
}

/// What the dashboard showed in each round, and one step of its display.
type Shown = Vec<Option<(f64, f64)>>;

pub(super) fn rank(
    scans: &[String],
    address: &Address,
    draft: Option<&Path>,
) -> Result<(), Failure> {
    let mut rounds = Vec::new();
    let mut services = BTreeSet::new();
    let mut by_name: BTreeMap<&str, (Quantity, Shown)> = BTreeMap::new();
    for (number, text) in scans.iter().enumerate() {
        let wrong = || {
            Failure::input(format!(
                "expected a scan and what was read meanwhile, such as one.txt:soc=81,odometer=34512 ({KNOWN}), found `{text}`"
            ))
        };
        let (path, shown) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (service, round) = read(Path::new(path))?;
        services.insert(service);
        rounds.push(round);
        for shown in shown.split(',') {
            let (name, quantity, value, step) = value(shown).ok_or_else(wrong)?;
            let none = || (quantity, vec![None; scans.len()]);
            by_name.entry(name).or_insert_with(none).1[number] = Some((value, step));
        }
    }
    let [service] = services.into_iter().collect::<Vec<_>>()[..] else {
        return Err(Failure::input("the scans are of two services"));
    };
    let mut found = Vec::new();
    for (name, (quantity, shown)) in by_name {
        let ranked = rank_answers(&rounds, &quantity, &shown);
        if ranked.is_empty() {
            println!(
                "{name}: nothing explains these readings; take more, of values that are further apart"
            );
        }
        for candidate in ranked.iter().take(5) {
            let place = candidate.place;
            let order = match place.order {
                Order::Little => "Little",
                Order::Big => "Big",
            };
            println!(
                "{name}: {service:02X} {:0digits$X} bit {} length {} {order} endian, x {} + {}: cost {:.2}, confidence {:.0} %",
                place.identifier,
                place.bit,
                place.length,
                candidate.factor,
                candidate.offset,
                candidate.cost,
                candidate.confidence * 100.0,
                digits = if service == 0x21 { 2 } else { 4 },
            );
        }
        found.extend(ranked.first().map(|best| (quantity, *best)));
    }
    let Some(draft) = draft else {
        return Ok(());
    };
    let name = draft.file_name().unwrap_or_default().to_string_lossy();
    let ids = (address.tx_id(), address.rx_id());
    let profile = draft_answers(&name, ids, service, &found);
    write_new(&draft.with_extension("toml"), &profile)
}
