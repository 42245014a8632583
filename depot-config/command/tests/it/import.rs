//! Price tables from CSV, in both forms, through the command.

use std::process::Command;

use depot_config::tariff::{BOOKS, Origin, PRICES, import};

use crate::Folder;

/// Round, made-up numbers in the form of the public collections.
const PUBLIC: &str =
    "Mes,Tarifa,Segmento,Unidades,Concepto,Division,Int. Horario,Cargos Tarifarios,
enero 2026,DIST,Suministro,$/Cliente,Usuarios,Bajio,NA,500,
enero 2026,DIST,Transmision,$/kWh,Energia,Bajio,NA,0.2,
enero 2026,DIST,CENACE,$/kWh,Energia,Bajio,NA,0.01,
enero 2026,DIST,SCnMEM,$/kWh,Energia,Bajio,NA,0.01,
enero 2026,DIST,Generacion,$/kWh,Energia,Bajio,B,1,
enero 2026,DIST,Generacion,$/kWh,Energia,Bajio,I,2,
enero 2026,DIST,Generacion,$/kWh,Energia,Bajio,P,3,
enero 2026,DIST,Generacion,$/kWh,Energia,Bajio,SP,0,
enero 2026,DIST,Capacidad,$/kW,Potencia,Bajio,NA,\"1,300.5\",
enero 2026,DB1,Capacidad,$/kWh,Energia,Bajio,NA,1,
";

fn origin() -> Origin {
    Origin {
        name: "T".to_owned(),
        source: "S".to_owned(),
        date: "2026-02-03".parse().unwrap(),
    }
}

fn faults(csv: &str) -> String {
    let book = BOOKS.shipped("cfe").unwrap().unwrap();
    import(csv, &book, "cfe", origin()).unwrap_err().to_string()
}

#[test]
fn the_public_form_becomes_a_table_with_source_and_date() {
    let folder = Folder::new();
    let csv = folder.write("prices.csv", PUBLIC);
    let out = folder.write("x", "").with_file_name("prices.toml");
    let run = || {
        Command::new(env!("CARGO_BIN_EXE_depot-config"))
            .args([
                "tariffs",
                "import",
                csv.to_str().unwrap(),
                "--source",
                "public collection",
            ])
            .args([
                "--date",
                "2026-02-03",
                "--name",
                "Bajío",
                "--out",
                out.to_str().unwrap(),
            ])
            .output()
            .unwrap()
    };
    let output = run();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said.contains("1 rows of DB1 are left out"), "{said}");
    let table = PRICES.read(&out).unwrap();
    assert_eq!(
        (table.source.as_str(), table.date.to_string().as_str()),
        ("public collection", "2026-02-03")
    );
    assert!(!table.example);
    assert_eq!(table.months.len(), 1);
    let month = &table.months[0];
    assert_eq!(
        (
            month.division.as_str(),
            month.prices["capacidad"].to_string().as_str()
        ),
        ("Bajío", "1300.5")
    );
    assert!(!month.prices.contains_key("generacion_semipunta"));
    // What is there is not written over.
    let again = run();
    assert_eq!(again.status.code(), Some(2));
    let show = Command::new(env!("CARGO_BIN_EXE_depot-config"))
        .args([
            "tariffs",
            "show",
            "DIST",
            "--division",
            "Bajío",
            "--date",
            "2026-01-15",
        ])
        .args(["--prices", out.to_str().unwrap()])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&show.stdout).into_owned();
    assert!(
        shown.contains("1 kWh in punta                 3.22"),
        "{shown}"
    );
    assert!(
        shown.contains("from Bajío (public collection, 2026-02-03, "),
        "{shown}"
    );
    let missing = Command::new(env!("CARGO_BIN_EXE_depot-config"))
        .args([
            "tariffs",
            "show",
            "DIST",
            "--division",
            "Bajío",
            "--date",
            "2026-02-15",
        ])
        .args(["--prices", out.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(
        said.contains("has no prices of DIST in Bajío for 2026-02 (it has 2026-01)"),
        "{said}"
    );
}

#[test]
fn the_own_form_is_read() {
    let book = BOOKS.shipped("cfe").unwrap().unwrap();
    let charges = [
        "suministro",
        "transmision",
        "cenace",
        "scnmem",
        "generacion",
        "distribucion",
        "capacidad",
    ];
    let rows = charges.map(|charge| format!("PDBT,jalisco,2026-05,{charge},1.25\n"));
    let csv = format!("tariff,division,month,charge,price\n{}", rows.concat());
    let imported = import(&csv, &book, "cfe", origin()).unwrap();
    assert_eq!(imported.table.months[0].prices.len(), 7);
    assert_eq!(imported.table.months[0].division, "Jalisco");
    let less = csv.replace("PDBT,jalisco,2026-05,scnmem,1.25\n", "");
    let said = faults(&less);
    assert!(
        said.contains("expected a price of `scnmem` for PDBT, found none"),
        "{said}"
    );
}

#[test]
fn all_faults_are_told_with_their_lines() {
    let csv = PUBLIC
        .replace("NA,500", "NA,five")
        .replace("Bajio,B,1", "Bajia,B,1")
        .replace("Bajio,I,2", "Bajio,X,2")
        .replace("$/kWh,Energia,Bajio,P,3", "$/kW,Energia,Bajio,P,3")
        .replace("enero 2026,DIST,CENACE", "enero,DIST,CENACE")
        .replace("DIST,SCnMEM", "DIST,Perdidas");
    let said = faults(&csv);
    assert_eq!(
        said,
        "line 2: price: expected a decimal number of at least 0, found `five`\n\
         line 4: Mes: expected one such as `enero 2026`, found `enero`\n\
         line 5: Segmento: expected a charge of DIST, found `Perdidas`\n\
         line 6: division: expected one of the tariff book, found `Bajia`\n\
         line 7: Int. Horario: expected B, I, SP, P or NA, found `X`\n\
         line 8: Unidades: expected $/kWh of `generacion_punta`, found `$/kW`"
    );
    assert!(faults("a,b\n1,2\n").starts_with(
        "line 1: expected the columns tariff, division, month, charge, price, or Mes"
    ));
    assert_eq!(
        faults("tariff,division,month,charge,price\n"),
        "expected prices of DIST, DIT, GDMTH, GDMTO, PDBT, found none"
    );
    let twice = format!("{PUBLIC}enero 2026,DIST,Capacidad,$/kW,Potencia,Bajio,NA,2,\n");
    assert!(faults(&twice).contains("line 12: expected one price of `capacidad` for DIST in Bajío, 2026-01, found 2 and on line 10 1300.5"));
}
