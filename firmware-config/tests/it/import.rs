//! Definitions made elsewhere.

use firmware_config::import::{Format, import};
use vehicles::diagnostic::Table;

fn value(imported: &firmware_config::import::Imported, name: &str, answer: &[u8]) -> Option<f64> {
    let table = Table::new(imported.profile.command.clone()).unwrap();
    (0..table.commands().len()).find_map(|command| {
        let mut readings = Vec::new();
        table.decode(command, answer, &mut readings).ok()?;
        readings.iter().find_map(|reading| {
            let signal = &table.signals()[reading.signal as usize];
            (signal.name == name).then(|| signal.def.encoding.value(reading.raw))
        })
    })
}

const KONA: &[u8] = &[
    0x62, 0x01, 0x01, 0xEF, 0xFB, 0xE7, 0xED, 0x8D, 0, 0, 0, 0, 0x80, 0xFF, 0x38, 0x0E, 0xEA,
];

#[test]
fn torque() {
    let text = "Name,ShortName,ModeAndPID,Equation,Min Value,Max Value,Units,Header\n\
        State of Charge,SOC,0x220101,e/2,0,100,%,7E4\n\
        Battery Current,I,0x220101,((Signed(K)*256)+L)/10,-230,230,A,7E4\n\
        \"Battery, DC Voltage\",V,0x220101,((m<<8)+n)/10,0,500,V,7E4\n\
        Charging,C,0x220101,{j:7},0,1,,7E4\n\
        Power,P,0x220101,A*B,0,1,kW,7E4\n\
        Reset,R,0x1101,A,0,1,,7E4\n\
        Nobody,N,0x220101,A,0,1,,auto\n";
    let imported = import(Format::Torque, "Kona", "kona.csv", text.as_bytes()).unwrap();
    assert_eq!(imported.profile.command.len(), 1);
    for (name, expected) in [
        ("State of Charge", 70.5),
        ("Battery Current", -20.0),
        ("Battery, DC Voltage", 381.8),
        ("Charging", 1.0),
    ] {
        assert_eq!(value(&imported, name, KONA), Some(expected), "{name}");
    }
    assert_eq!(
        imported.notes,
        [
            "line 6 `Power`: left out: `A*B` is not understood",
            "line 7 `Reset`: left out: service 11 is not one that only reads",
            "line 8 `Nobody`: left out: `auto` is no CAN identifier of three or eight digits",
        ]
    );
    assert!(import(Format::Torque, "x", "x.csv", b"a,b\n").is_err());
}

#[test]
fn wican() {
    let text = r#"{"car_model": "Kona", "init": "ATSP6;ATSH7E4;", "pids": [
        {"pid": "2201019", "parameters": [
            {"name": "SOC", "expression": "B10/2", "unit": "%"},
            {"name": "V", "expression": "[B19:B20]/10", "unit": "V"},
            {"name": "I", "expression": "[S17:B18]/10", "unit": "A"},
            {"name": "Control", "expression": "B8", "unit": ""}]},
        {"pid": "010D", "pid_init": "ATSH7DF", "parameters": {"Speed": "B3"}},
        {"pid": "220102", "pid_init": ""}]}"#;
    let imported = import(Format::Wican, "Kona", "kona.json", text.as_bytes()).unwrap();
    assert_eq!(value(&imported, "SOC", KONA), Some(70.5));
    assert_eq!(value(&imported, "Speed", &[0x41, 0x0D, 50]), Some(50.0));
    assert_eq!(
        imported.notes,
        [
            "pids[0] `Control`: left out: `B8` reads a byte that is no data",
            "pids[2]: left out: expected parameters with a name and an expression",
        ]
    );
    assert!(import(Format::Wican, "x", "x.json", b"{}").is_err());
}

#[test]
fn dbc_and_obdb() {
    let dbc = include_bytes!("car.dbc");
    let imported = import(Format::Dbc, "Car", "car.dbc", dbc).unwrap();
    assert_eq!(imported.profile.dbc[0].file, "car.dbc");
    assert!(imported.profile.bus[0].listen_only);
    assert!(import(Format::Dbc, "x", "x.dbc", b"").is_err());
    let set = br#"{"commands": [{"hdr": "7E4", "rax": "7EC", "cmd": {"22": "0101"}, "freq": 1,
        "signals": [{"id": "S", "name": "s", "fmt": {"bix": 32, "len": 8, "div": 2, "max": 100, "unit": "percent"}}]}],
        "synthetics": [{}]}"#;
    let imported = import(Format::Obdb, "Car", "set.json", set).unwrap();
    assert_eq!(value(&imported, "S", KONA), Some(70.5));
    assert_eq!(imported.notes.len(), 1);
    assert!(import(Format::Obdb, "x", "x.json", b"[]").is_err());
}
