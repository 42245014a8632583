//! Price tables from CSV: our own columns, or those in which CFE's prices are passed around.
//!
//! | columns | of |
//! |---|---|
//! | `tariff,division,month,charge,price` | our own: month as `2026-01`, charge by its name in the tariff book |
//! | `Mes,Tarifa,Segmento,Unidades,Concepto,Division,Int. Horario,Cargos…` | public collections of CFE's prices: month as `enero 2026`, charge by segment and period (`B`, `I`, `SP`, `P`) |

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use shared_protocol::Decimal;

use super::{Book, Charge, Month, MonthPrices, Per, Period, PriceTable, Tariff, folded};

/// Where prices are from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// What people shall call the table.
    pub name: String,
    /// Where the prices are from.
    pub source: String,
    /// The day on which they were taken from there.
    pub date: Date,
}

/// What a CSV file became.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The table.
    pub table: PriceTable,
    /// Tariffs that the book does not have, and how many rows of theirs were left out.
    pub left_out: BTreeMap<String, usize>,
}

/// Everything that is wrong with a CSV file. Nothing is imported then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ImportError(pub Vec<String>);

const MONTHS: [&str; 12] = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
];
/// More faults than this are not told one by one.
const MOST_FAULTS: usize = 50;

/// Tariff, division, month.
type Key = (String, String, Month);
/// The price of each charge and the line that it stands on.
type Found = BTreeMap<String, (Decimal, u64)>;

/// Where the columns are.
enum Columns {
    Own([usize; 5]),
    Public {
        month: usize,
        tariff: usize,
        segment: usize,
        unit: Option<usize>,
        division: usize,
        period: usize,
        price: usize,
    },
}

/// One row, taken apart.
struct Row<'r> {
    tariff: &'r str,
    division: &'r str,
    month: Month,
    price: Decimal,
    charge: Wanted<'r>,
}

enum Wanted<'r> {
    Named(&'r str),
    Segment {
        segment: &'r str,
        period: Option<Period>,
        unit: Option<&'r str>,
    },
}

/// Reads prices from CSV. `book_name` is the text by which the table names its book.
///
/// # Errors
/// Everything that is wrong, by line.
pub fn import(
    csv: &str,
    book: &Book,
    book_name: &str,
    origin: Origin,
) -> Result<Imported, ImportError> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(csv.as_bytes());
    let headers = reader
        .headers()
        .map_err(|error| ImportError(vec![format!("line 1: {error}")]))?
        .clone();
    let columns = columns(&headers).map_err(|fault| ImportError(vec![fault]))?;
    let mut faults = Vec::new();
    let mut left_out = BTreeMap::new();
    let mut months: BTreeMap<Key, Found> = BTreeMap::new();
    for record in reader.records() {
        if faults.len() > MOST_FAULTS {
            faults.push("and more".to_owned());
            break;
        }
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.push(error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        let row = match row(&record, &columns) {
            Ok(row) => row,
            Err(fault) => {
                faults.push(format!("line {line}: {fault}"));
                continue;
            }
        };
        let Some(tariff) = newest(book, row.tariff) else {
            *left_out.entry(row.tariff.to_owned()).or_insert(0) += 1;
            continue;
        };
        let Some(division) = book.division_name(row.division) else {
            faults.push(format!(
                "line {line}: division: expected one of the tariff book, found `{}`",
                row.division
            ));
            continue;
        };
        let charge = match charge(tariff, &row) {
            Ok(Some(charge)) => charge,
            Ok(None) => continue,
            Err(fault) => {
                faults.push(format!("line {line}: {fault}"));
                continue;
            }
        };
        let key = (tariff.name.clone(), division.to_owned(), row.month);
        let prices = months.entry(key).or_default();
        if let Some((price, earlier)) = prices.get(&charge.name)
            && *price != row.price
        {
            faults.push(format!(
                "line {line}: expected one price of `{}` for {} in {division}, {}, found {} and on line {earlier} {price}",
                charge.name, tariff.name, row.month, row.price
            ));
        }
        prices
            .entry(charge.name.clone())
            .or_insert((row.price, line));
    }
    if faults.is_empty() && months.is_empty() {
        let tariffs: BTreeSet<_> = book.tariffs.iter().map(|t| t.name.as_str()).collect();
        let tariffs: Vec<_> = tariffs.into_iter().collect();
        faults.push(format!(
            "expected prices of {}, found none",
            tariffs.join(", ")
        ));
    }
    if !faults.is_empty() {
        return Err(ImportError(faults));
    }
    let months = months
        .into_iter()
        .map(|((tariff, division, month), prices)| MonthPrices {
            tariff,
            division,
            month,
            prices: prices
                .into_iter()
                .map(|(name, (price, _))| (name, price))
                .collect(),
        });
    let table = PriceTable::new(
        origin.name,
        origin.source,
        origin.date,
        book_name.to_owned(),
        months.collect(),
    );
    // The table has lines of its own, which nobody has seen: the fault names tariff, division and month.
    let table = table.map_err(|faults| {
        let faults = faults.into_vec().into_iter().take(MOST_FAULTS);
        ImportError(
            faults
                .map(|fault| format!("{}: {}", fault.key, fault.problem))
                .collect(),
        )
    })?;
    Ok(Imported { table, left_out })
}

fn columns(headers: &csv::StringRecord) -> Result<Columns, String> {
    let headers: Vec<_> = headers.iter().map(folded).collect();
    let find = |name: &str| headers.iter().position(|header| header == name);
    let own = ["tariff", "division", "month", "charge", "price"].map(find);
    if let [
        Some(tariff),
        Some(division),
        Some(month),
        Some(charge),
        Some(price),
    ] = own
    {
        return Ok(Columns::Own([tariff, division, month, charge, price]));
    }
    let price = headers
        .iter()
        .position(|header| header.starts_with("cargo"));
    let public = ["mes", "tarifa", "segmento", "division", "int. horario"].map(find);
    if let (
        [
            Some(month),
            Some(tariff),
            Some(segment),
            Some(division),
            Some(period),
        ],
        Some(price),
    ) = (public, price)
    {
        return Ok(Columns::Public {
            month,
            tariff,
            segment,
            unit: find("unidades"),
            division,
            period,
            price,
        });
    }
    Err(format!(
        "line 1: expected the columns tariff, division, month, charge, price, or Mes, Tarifa, Segmento, Division, Int. Horario, Cargos, found {}",
        headers.join(", ")
    ))
}

fn row<'r>(record: &'r csv::StringRecord, columns: &Columns) -> Result<Row<'r>, String> {
    let field = |place: usize, name: &str| {
        let text = record.get(place).map(str::trim).unwrap_or_default();
        if text.is_empty() {
            Err(format!("{name}: expected a value, found none"))
        } else {
            Ok(text)
        }
    };
    let price_of = |text: &str| {
        // A thousands' separator is a comma in Mexico.
        let plain = text.trim_start_matches('$').replace(',', "");
        let price = plain
            .parse::<Decimal>()
            .ok()
            .filter(|price| price.mantissa() >= 0);
        price.ok_or_else(|| {
            format!("price: expected a decimal number of at least 0, found `{text}`")
        })
    };
    match columns {
        Columns::Own([tariff, division, month, charge, price]) => {
            let text = field(*month, "month")?;
            Ok(Row {
                tariff: field(*tariff, "tariff")?,
                division: field(*division, "division")?,
                month: text
                    .parse()
                    .map_err(|_| format!("month: expected one such as 2026-01, found `{text}`"))?,
                price: price_of(field(*price, "price")?)?,
                charge: Wanted::Named(field(*charge, "charge")?),
            })
        }
        Columns::Public {
            month,
            tariff,
            segment,
            unit,
            division,
            period,
            price,
        } => {
            let text = field(*period, "Int. Horario")?;
            let period = match text {
                "B" => Some(Period::Base),
                "I" => Some(Period::Intermedia),
                "SP" => Some(Period::Semipunta),
                "P" => Some(Period::Punta),
                "NA" => None,
                _ => {
                    return Err(format!(
                        "Int. Horario: expected B, I, SP, P or NA, found `{text}`"
                    ));
                }
            };
            Ok(Row {
                tariff: field(*tariff, "Tarifa")?,
                division: field(*division, "Division")?,
                month: spanish(field(*month, "Mes")?)?,
                price: price_of(field(*price, "Cargos")?)?,
                charge: Wanted::Segment {
                    segment: field(*segment, "Segmento")?,
                    period,
                    unit: unit.map(|unit| field(unit, "Unidades")).transpose()?,
                },
            })
        }
    }
}

/// `enero 2026`.
fn spanish(text: &str) -> Result<Month, String> {
    let parse = || {
        let (name, year) = text.split_once(' ')?;
        let name = folded(name);
        let place = MONTHS.iter().position(|month| *month == name)?;
        format!("{}-{:02}", year.trim(), place + 1).parse().ok()
    };
    parse().ok_or_else(|| format!("Mes: expected one such as `enero 2026`, found `{text}`"))
}

/// The newest tariff of a name: public tables go back further than the rules of the book.
fn newest<'b>(book: &'b Book, name: &str) -> Option<&'b Tariff> {
    let named = book.tariffs.iter().filter(|tariff| tariff.name == name);
    named.max_by_key(|tariff| tariff.valid_from)
}

/// The charge of a row; `None` where the row says that there is none.
fn charge<'b>(tariff: &'b Tariff, row: &Row<'_>) -> Result<Option<&'b Charge>, String> {
    match row.charge {
        Wanted::Named(name) => {
            let charge = tariff.charges.iter().find(|charge| charge.name == name);
            charge.map(Some).ok_or_else(|| {
                let names: Vec<_> = tariff
                    .charges
                    .iter()
                    .map(|charge| charge.name.as_str())
                    .collect();
                format!(
                    "charge: expected one of {}, found `{name}`",
                    names.join(", ")
                )
            })
        }
        Wanted::Segment {
            segment,
            period,
            unit,
        } => {
            let wanted = folded(segment);
            let charge = tariff
                .charges
                .iter()
                .find(|charge| folded(&charge.segment) == wanted && charge.period == period);
            let Some(charge) = charge else {
                let found = period.map_or(String::new(), |period| format!(" in {period}"));
                return Err(format!(
                    "Segmento: expected a charge of {}, found `{segment}`{found}",
                    tariff.name
                ));
            };
            // A price of 0 stands for a period that the division does not have.
            if charge.optional && row.price == Decimal::ZERO {
                return Ok(None);
            }
            let fits = unit.is_none_or(|unit| {
                let unit = folded(unit);
                match charge.per {
                    Per::Month => ["$/cliente", "$/mes", "$/month"].contains(&unit.as_str()),
                    Per::Energy => unit == "$/kwh",
                    Per::Capacity | Per::Distribution => unit == "$/kw",
                }
            });
            if !fits {
                return Err(format!(
                    "Unidades: expected $/{} of `{}`, found `{}`",
                    charge.per.unit(),
                    charge.name,
                    unit.unwrap_or_default()
                ));
            }
            Ok(Some(charge))
        }
    }
}
