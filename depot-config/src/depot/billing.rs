//! What is wrong with a contract: tariff, division, demand, prices.

use config_file::Loader;

use super::{
    Contract, Named,
    check::{Check, amperes},
};
use crate::tariff::{BOOKS, Book, PRICES};

/// Reports what is wrong with the contract; returns what it names.
pub(super) fn check(check: &mut Check<'_>) -> Named {
    let mut named = Named::default();
    let depot = check.depot;
    let Some(contract) = &depot.contract else {
        return named;
    };
    demand(check);
    let mut books = Loader::new(&BOOKS);
    let mut faults = Vec::new();
    let book = books.load(
        &contract.tariff_book,
        "contract.tariff_book",
        check.spans,
        &mut faults,
    );
    if let Some(name) = &contract.prices {
        let prices = Loader::new(&PRICES).load(name, "contract.prices", check.spans, &mut faults);
        if let (Some(prices), Some(_)) = (&prices, &book)
            && !prices.has(&contract.tariff, &contract.division)
        {
            let wanted = format!(
                "a table with prices of {} in {}",
                contract.tariff, contract.division
            );
            check.fault(
                "contract.prices",
                wanted,
                format!("`{name}`, which has none"),
            );
        }
        named.prices = prices;
    }
    check.faults.extend(faults);
    if let Some(book) = &book {
        tariff(check, contract, book);
    }
    named.book = book;
    named
}

/// Tariff, division and time zone fit together, and the demand is one of the tariff's.
fn tariff(check: &mut Check<'_>, contract: &Contract, book: &Book) {
    let tariffs: Vec<_> = book.tariffs.iter().map(|t| t.name.as_str()).collect();
    let tariff = book.tariffs.iter().find(|t| t.name == contract.tariff);
    if tariff.is_none() {
        unknown(
            check,
            "contract.tariff",
            "a tariff",
            &contract.tariff,
            &tariffs,
        );
    }
    let divisions: Vec<_> = book.divisions().collect();
    let Some(division) = book.division(&contract.division) else {
        unknown(
            check,
            "contract.division",
            "a division",
            &contract.division,
            &divisions,
        );
        return;
    };
    let zone = check.depot.site.time_zone.iana_name().unwrap_or("UTC");
    if !division.time_zones.iter().any(|name| name == zone) {
        check.fault(
            "depot.time_zone",
            format!(
                "a time zone of system {}: {}",
                division.name,
                division.time_zones.join(", ")
            ),
            zone,
        );
    }
    let Some(tariff) = tariff else { return };
    let found = format!("{} kW", amperes(contract.demand));
    if let Some(least) = tariff.min_demand.filter(|least| contract.demand < *least) {
        let expected = format!("at least the {least} kW of {}", tariff.name);
        check.fault("contract.demand", expected, &found);
    }
    if let Some(most) = tariff.max_demand.filter(|most| contract.demand > *most) {
        let expected = format!("at most the {most} kW of {}", tariff.name);
        check.fault("contract.demand", expected, &found);
    }
}

fn unknown(check: &mut Check<'_>, key: &str, what: &str, found: &str, known: &[&str]) {
    let hint = match config_file::nearest(found, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => {
            let mut known = known.to_vec();
            known.dedup();
            format!("there are {}", known.join(", "))
        }
    };
    let expected = format!("{what} of the tariff book");
    let fault = check.spans.fault(key, expected, format!("\"{found}\""));
    check.faults.push(fault.hint(hint));
}

/// The contract holds when every station falls back, and the supply can carry it.
fn demand(check: &mut Check<'_>) {
    let depot = check.depot;
    let Some(contract) = &depot.contract else {
        return;
    };
    if let Some(target) = contract.target.filter(|target| *target > contract.demand) {
        let expected = format!("at most the contracted {} kW", amperes(contract.demand));
        check.fault(
            "contract.target",
            expected,
            format!("{} kW", amperes(target)),
        );
    }
    let power = depot.fallback().power / 1000.0;
    if power > contract.wanted() + 1e-9 {
        let key = if contract.target.is_some() {
            "contract.target"
        } else {
            "contract.demand"
        };
        check.fault(
            key,
            format!(
                "at least the {} kW of all stations after their fall-back and everything reserved",
                amperes(power)
            ),
            format!("{} kW", amperes(contract.wanted())),
        );
    }
    let supply: f64 = depot
        .circuits
        .iter()
        .filter(|circuit| circuit.parent.is_none())
        .map(|circuit| {
            let voltage = depot.voltage_system(&circuit.id).between_phases() / 3.0_f64.sqrt();
            let phases = circuit.phases.as_slice();
            phases
                .iter()
                .map(|phase| circuit.rated(*phase) * voltage)
                .sum::<f64>()
        })
        .sum();
    let supply = supply / 1000.0;
    if supply > 0.0 && contract.demand > supply + 1e-9 {
        check.fault(
            "contract.demand",
            format!(
                "at most the {} kW that the supply may carry",
                amperes(supply)
            ),
            format!("{} kW", amperes(contract.demand)),
        );
    }
}
