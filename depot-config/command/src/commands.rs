//! What the subcommands do.

use std::{
    error::Error,
    fmt::Display,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use config_file::{Faults, Schema, example, json_schema, reference};
use depot_config::{
    depot,
    depot::{CircuitSum, Depot, Phase},
    devices,
    devices::DEVICES,
    tariff::{self, BOOKS, Book, HOLIDAYS, Origin, PRICES, PriceTable, import, show},
};
use jiff::{Zoned, civil::Date};

use shared_protocol::VerifyingKey;

use crate::{Kind, installer};

/// What to do with tariffs.
#[derive(Subcommand)]
pub(crate) enum Tariffs {
    /// Lists tariff books and price tables that ship, or shows one tariff: hours, billed demand, prices.
    Show {
        /// The tariff (GDMTH); without it, lists what there is.
        #[arg(requires = "division")]
        tariff: Option<String>,
        /// The tariff division.
        #[arg(long)]
        division: Option<String>,
        /// The day as of which it is shown; today if absent.
        #[arg(long)]
        date: Option<Date>,
        /// Name of a tariff book that ships, or path of a file.
        #[arg(long, default_value = "cfe")]
        book: String,
        /// Name of a price table that ships, or path of a file.
        #[arg(long)]
        prices: Option<String>,
    },
    /// Makes a price table from a CSV file.
    Import {
        /// The CSV file: columns tariff, division, month, charge, price; or those of public collections of CFE's
        /// prices (Mes, Tarifa, Segmento, Division, Int. Horario, Cargos).
        csv: PathBuf,
        /// Where the prices are from.
        #[arg(long)]
        source: String,
        /// The day on which they were taken from there.
        #[arg(long)]
        date: Date,
        /// What people shall call the table; the name of the CSV file if absent.
        #[arg(long)]
        name: Option<String>,
        /// Name of a tariff book that ships, or path of a file.
        #[arg(long, default_value = "cfe")]
        book: String,
        /// The file to write; it must not be there yet.
        #[arg(long)]
        out: PathBuf,
    },
}

pub(crate) fn check(
    kind: Kind,
    sums: bool,
    key: Option<&VerifyingKey>,
    files: &[PathBuf],
) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for file in files {
        let result: Result<Box<dyn Display>, Faults> = match kind {
            Kind::Depot => Depot::read(file).and_then(|depot| {
                let ratings = installer::check(file, &depot, key)?;
                let table = if sums { sums_of(&depot) } else { String::new() };
                Ok(Box::new(format!("{}\n  {ratings}{table}", summary(&depot))) as _)
            }),
            Kind::Device => DEVICES.read(file).map(|map| {
                Box::new(format!(
                    "{} {}: {} points",
                    map.manufacturer,
                    map.model,
                    map.points.len()
                )) as _
            }),
            Kind::Tariff => BOOKS.read(file).map(|book| {
                Box::new(format!("{}: {} tariffs", book.name, book.tariffs.len())) as _
            }),
            Kind::Holidays => HOLIDAYS.read(file).map(|calendar| {
                Box::new(format!(
                    "{}: {} rules",
                    calendar.name,
                    calendar.holidays.len()
                )) as _
            }),
            Kind::Prices => PRICES.read(file).map(|table| {
                Box::new(format!("{}: {} months", table.id(), table.months.len())) as _
            }),
        };
        match result {
            Ok(summary) => println!("{}: sound: {summary}", file.display()),
            Err(faults) => {
                eprintln!("{faults}");
                status = ExitCode::from(2);
            }
        }
    }
    status
}

/// A depot in a few lines: what it is, and what holds without its gateway.
pub(crate) fn summary(depot: &Depot) -> String {
    let most: f64 = depot
        .stations
        .iter()
        .map(|station| depot.station_power(station, station.max_current) / 1000.0)
        .sum();
    let alone = depot.fallback();
    let least = if alone.charging > 0 {
        format!(", with at least {:.1} kW each", alone.least_power / 1000.0)
    } else {
        String::new()
    };
    format!(
        "{}: {} circuits, {} stations of {most:.1} kW together, {} meters, {} parking places\n  \
         without their gateway {} of {} stations still charge{least}; all stations and everything reserved are {:.1} kW",
        depot.site.name,
        depot.circuits.len(),
        depot.stations.len(),
        depot.meters.len(),
        depot.parkings.len(),
        alone.charging,
        depot.stations.len(),
        alone.power / 1000.0
    )
}

fn sums_of(depot: &Depot) -> String {
    let head = format!(
        "  {:<24} {:>18} {:>18} {:>18}",
        "circuit, A of A", "L1", "L2", "L3"
    );
    let row = |sum: &CircuitSum| {
        let [l1, l2, l3] = Phase::ALL.map(|phase| {
            let (current, usable) = (sum.current[phase as usize], sum.usable[phase as usize]);
            format!("{current:.1} of {usable:.1}")
        });
        format!("  {:<24} {l1:>18} {l2:>18} {l3:>18}", sum.circuit.as_str())
    };
    let sums = depot.fallback().circuits;
    let rows: Vec<_> = std::iter::once(head).chain(sums.iter().map(row)).collect();
    format!("\n{}", rows.join("\n"))
}

pub(crate) fn schema(kind: Kind, json: bool, as_example: bool) {
    let schema: &'static Schema = match kind {
        Kind::Depot => &depot::SCHEMA,
        Kind::Device => &devices::SCHEMA,
        Kind::Tariff => &tariff::BOOK,
        Kind::Holidays => &tariff::HOLIDAYS_SCHEMA,
        Kind::Prices => &tariff::PRICES_SCHEMA,
    };
    if json {
        println!("{:#}", json_schema(schema));
    } else if as_example {
        print!("{}", example(schema));
    } else {
        print!("{}", reference(schema));
    }
}

pub(crate) fn devices(name: Option<&str>) -> ExitCode {
    let Some(name) = name else {
        for name in DEVICES.names() {
            match DEVICES.shipped(name) {
                Some(Ok(map)) => println!("{name}: {} {}", map.manufacturer, map.model),
                Some(Err(faults)) => println!("{name}: {faults}"),
                None => {}
            }
        }
        return ExitCode::SUCCESS;
    };
    if let Some((_, text)) = DEVICES.shipped.iter().find(|(shipped, _)| *shipped == name) {
        print!("{text}");
        ExitCode::SUCCESS
    } else {
        eprintln!("expected the name of a device map that ships, found `{name}`");
        ExitCode::from(2)
    }
}

/// Writes a file that is not there yet.
pub(crate) fn write_new(file: &Path, text: &str) -> Result<(), String> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        });
    written.map_err(|error| format!("{}: it cannot be written: {error}", file.display()))
}

pub(crate) fn tariffs(command: Tariffs) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Tariffs::Show { tariff: None, .. } => list()?,
        Tariffs::Show {
            tariff: Some(tariff),
            division,
            date,
            book,
            prices,
        } => {
            let book = book_of(&book)?;
            let table: Option<PriceTable> = prices
                .map(|name| match PRICES.shipped(&name) {
                    Some(table) => table,
                    None => PRICES.read(Path::new(&name)),
                })
                .transpose()?;
            let date = date.unwrap_or_else(|| Zoned::now().date());
            let division = division.unwrap_or_default();
            print!("{}", show(&book, &tariff, &division, date, table.as_ref())?);
        }
        Tariffs::Import {
            csv,
            source,
            date,
            name,
            book: book_name,
            out,
        } => {
            let text = fs::read_to_string(&csv)
                .map_err(|error| format!("{}: it cannot be read: {error}", csv.display()))?;
            let stem = csv
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned());
            let origin = Origin {
                name: name.or(stem).unwrap_or_default(),
                source,
                date,
            };
            let imported =
                import(&text, &book_of(&book_name)?, &book_name, origin).map_err(|faults| {
                    let faults = faults
                        .0
                        .iter()
                        .map(|fault| format!("{}: {fault}", csv.display()));
                    faults.collect::<Vec<_>>().join("\n")
                })?;
            write_new(&out, &imported.table.print())?;
            println!(
                "{}: written: {}: {} months",
                out.display(),
                imported.table.id(),
                imported.table.months.len()
            );
            for (tariff, rows) in imported.left_out {
                println!(
                    "  {rows} rows of {tariff} are left out: the tariff book does not have it"
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn book_of(name: &str) -> Result<Book, Faults> {
    match BOOKS.shipped(name) {
        Some(book) => book,
        None => BOOKS.read(Path::new(name)),
    }
}

fn list() -> Result<(), Faults> {
    for name in BOOKS.names() {
        let book = book_of(name)?;
        println!("tariff book {name}: {} ({})", book.name, book.source);
        for tariff in &book.tariffs {
            println!(
                "  {:<6} from {}: {}",
                tariff.name, tariff.valid_from, tariff.about
            );
        }
        for system in &book.systems {
            println!(
                "  {:<6} {}: {}",
                system.name,
                system.about,
                system.divisions.join(", ")
            );
        }
    }
    for name in PRICES.names() {
        if let Some(table) = PRICES.shipped(name) {
            println!("price table {name}: {}", table?.id());
        }
    }
    Ok(())
}
