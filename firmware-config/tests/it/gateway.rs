//! Gateway configurations.

use std::{fmt::Write, path::Path, time::Duration};

use config_file::{example, json_schema};
use firmware_config::gateway::{self, Gateway};

use proptest::prelude::*;

use depot_config::{depot::Depot, ratings};
use shared_protocol::SigningKey;

use crate::{Folder, SOUND};

const DEVICE_2: &str =
    "asset = \"station-2\"\nunit = 2\nmap = \"patio-virtual-charger\"\ninterval = \"5s\"\n";
const CONTROL: (&str, &str) = ("[cloud]", "[control]\ndepot = \"depot.toml\"\n\n[cloud]");
const CASES: &[(&str, &[(&str, &str)])] = &[
    (
        "gateway id with a dot",
        &[("id = \"gw-1\"", "id = \"gw.1\"")],
    ),
    (
        "no such key file",
        &[("key = \"gateway.key\"\n", "key = \"gatway.key\"\n")],
    ),
    (
        "data is a file",
        &[("data = \"data\"", "data = \"ca.pem\"")],
    ),
    (
        "quota without unit",
        &[("data = \"data\"", "data = \"data\"\nquota = 1024")],
    ),
    (
        "broker without scheme",
        &[("mqtts://mqtt.example.com", "mqtt.example.com:8883")],
    ),
    ("public key too short", &[("d75a98", "d75a9")]),
    ("public key of other digits", &[("d75a98", "x75a98")]),
    (
        "public key that is no point",
        &[(
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "0200000000000000000000000000000000000000000000000000000000000000",
        )],
    ),
    ("mqtts without ca", &[("ca = \"ca.pem\"\n", "")]),
    ("mqtt with certificates", &[("mqtts:", "mqtt:")]),
    (
        "certificate without key",
        &[("certificate_key = \"gateway-tls.key\"\n", "")],
    ),
    (
        "key without certificate",
        &[("certificate = \"gateway.pem\"\n", "")],
    ),
    (
        "certificates that are not there",
        &[
            ("\"gateway.pem\"", "\"a.pem\""),
            ("\"gateway-tls.key\"", "\"b.key\""),
        ],
    ),
    (
        "asset with capitals",
        &[("asset = \"station-1\"", "asset = \"Station 1\"")],
    ),
    ("interface of nothing", &[("socketcan:can0", "can0")]),
    ("recording that is not there", &[("drive.log", "drvie.log")]),
    (
        "neither profile nor DBC",
        &[("profile = \"car.toml\"\nbus = \"body\"\n", "")],
    ),
    (
        "diagnostics and bus without profile",
        &[("profile = \"car.toml\"\nbus = \"drive\"", "bus = \"drive\"")],
    ),
    (
        "profile that does not ship",
        &[(
            "profile = \"car.toml\"\nbus = \"body\"",
            "profile = \"car\"\nbus = \"body\"",
        )],
    ),
    (
        "profile that is not there",
        &[(
            "profile = \"car.toml\"\nbus = \"body\"",
            "profile = \"cra.toml\"\nbus = \"body\"",
        )],
    ),
    (
        "bus that the profile lacks",
        &[("bus = \"body\"", "bus = \"chassis\"")],
    ),
    ("bus not said", &[("bus = \"body\"\n", "")]),
    (
        "bus of the vehicle twice",
        &[("bus = \"body\"", "bus = \"drive\"")],
    ),
    (
        "diagnostics on a bus that only listens",
        &[("bus = \"body\"", "bus = \"body\"\ndiagnostics = true")],
    ),
    (
        "interface twice",
        &[("replay:drive.log?bus=1", "socketcan:can0")],
    ),
    ("DBC file that is none", &[("\"car.dbc\"", "\"ca.pem\"")]),
    (
        "line without devices",
        &[(
            "[[modbus]]\nname",
            "[[modbus]]\nname = \"empty\"\naddress = \"tcp://10.0.0.2\"\n\n[[modbus]]\nname",
        )],
    ),
    (
        "line and name twice",
        &[(
            DEVICE_2,
            "asset = \"station-2\"\nunit = 2\nmap = \"patio-virtual-charger\"\n\n[[modbus]]\nname = \"chargers\"\naddress = \"tcp://10.0.0.1:502\"\n\n[[modbus.device]]\nasset = \"station-3\"\nmap = \"patio-virtual-charger\"\n",
        )],
    ),
    ("asset twice", &[("station-2", "station-1")]),
    ("unit twice", &[("unit = 2\n", "")]),
    (
        "unit 0 on a serial line",
        &[
            ("tcp://10.0.0.1", "serial:/dev/ttyUSB0?baud=19200"),
            ("unit = 2", "unit = 0"),
        ],
    ),
    (
        "map misspelt",
        &[(
            "unit = 2\nmap = \"patio-virtual-charger\"",
            "unit = 2\nmap = \"patio-vritual-charger\"",
        )],
    ),
    (
        "interval too short",
        &[("interval = \"5s\"", "interval = \"5ms\"")],
    ),
    (
        "log level",
        &[("[cloud]", "[log]\nlevel = \"verbose\"\n\n[cloud]")],
    ),
    (
        "depot that is not there",
        &[("[cloud]", "[control]\ndepot = \"dpeot.toml\"\n\n[cloud]")],
    ),
    (
        "depot with faults",
        &[("[cloud]", "[control]\ndepot = \"car.toml\"\n\n[cloud]")],
    ),
    (
        "depot of other stations",
        &[
            CONTROL,
            ("asset = \"station-1\"", "asset = \"s-1\""),
            ("asset = \"station-2\"", "asset = \"s-2\""),
        ],
    ),
    (
        "station that takes no limit, and meter without currents",
        &[
            CONTROL,
            (
                DEVICE_2,
                "asset = \"station-2\"\nunit = 2\nmap = \"deaf.toml\"\n\n[[modbus.device]]\nasset = \"grid\"\nunit = 3\nmap = \"deaf.toml\"\n",
            ),
        ],
    ),
    (
        "many at once",
        &[
            ("key = \"gateway.key\"\n", "key = \"gatway.key\"\n"),
            ("ca = \"ca.pem\"\n", ""),
            ("drive.log", "drvie.log"),
            ("unit = 2\n", ""),
        ],
    ),
];

#[test]
fn faults() {
    let folder = Folder::new();
    let mut report = String::new();
    for (name, changes) in CASES {
        let mut text = SOUND.to_owned();
        for (old, new) in *changes {
            assert!(text.contains(old), "{name}: `{old}` must be there");
            text = text.replacen(old, new, 1);
        }
        let path = folder.write("config.toml", &text);
        let faults = folder.relative(&Gateway::read(&path).expect_err(name).to_string());
        // What ships is not this test's business.
        let faults: Vec<_> = faults
            .lines()
            .filter_map(|line| line.split(" (those that ship").next())
            .collect();
        writeln!(report, "# {name}\n{}\n", faults.join("\n")).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_sound_configuration_is_read_whole() {
    let folder = Folder::new();
    let gateway = Gateway::read(&folder.write("config.toml", SOUND)).unwrap();
    assert_eq!(
        (
            gateway.id.as_str(),
            gateway.quota,
            gateway.log_level.as_str()
        ),
        ("gw-1", 1 << 30, "info")
    );
    assert_eq!(
        (gateway.key, gateway.data),
        (folder.path("gateway.key"), folder.path("data"))
    );
    assert_eq!(
        gateway.cloud.broker.to_string(),
        "mqtts://mqtt.example.com:8883"
    );
    let tls = gateway.cloud.tls.unwrap();
    assert_eq!(tls.ca, folder.path("ca.pem"));
    assert_eq!(tls.identity.unwrap().key, folder.path("gateway-tls.key"));
    let [drive, body] = gateway.can.as_slice() else {
        panic!("{:?}", gateway.can)
    };
    assert_eq!(
        (drive.interface.to_string(), drive.diagnostics),
        ("socketcan:can0".to_owned(), true)
    );
    let log = folder.path("drive.log");
    assert_eq!(
        body.interface.to_string(),
        format!("replay:{}?bus=1&speed=1", log.display())
    );
    let (profile, bus) = body.profile.as_ref().unwrap();
    assert_eq!((profile.name.as_str(), bus.as_str()), ("Car", "body"));
    assert_eq!(Path::new(&profile.dbc[0].file), folder.path("car.dbc"));
    assert_eq!(gateway.depot, None);
    let line = &gateway.modbus[0];
    assert_eq!(
        (line.timeout, line.pause),
        (Duration::from_secs(1), Duration::from_millis(20))
    );
    let units: Vec<_> = line
        .devices
        .iter()
        .map(|device| (device.unit, device.interval))
        .collect();
    assert_eq!(units, [(1, None), (2, Some(Duration::from_secs(5)))]);
}

#[test]
fn the_depot_is_read_with_it() {
    let folder = Folder::new();
    let (old, new) = CONTROL;
    let text = SOUND.replacen(old, new, 1);
    let gateway = Gateway::read(&folder.write("config.toml", &text)).unwrap();
    let depot = gateway.depot.unwrap();
    assert_eq!((depot.stations.len(), depot.meters.len()), (2, 1));
}

/// The secret half of the key in the schema's examples (RFC 8032, 7.1, test 1).
fn key() -> SigningKey {
    let hex = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    SigningKey::from_hex(hex).unwrap()
}

fn sign(folder: &Folder, key: &SigningKey) {
    let depot = Depot::read(&folder.path("depot.toml")).unwrap();
    folder.write("depot.ratings", &ratings::signed(&depot, key).unwrap());
}

fn read_signed(folder: &Folder) -> Result<Gateway, String> {
    let control = format!(
        "[control]\ndepot = \"depot.toml\"\ninstaller_key = \"{}\"\n\n[cloud]",
        key().verifying_key()
    );
    let text = SOUND.replacen("[cloud]", &control, 1);
    let read = Gateway::read(&folder.write("config.toml", &text));
    read.map_err(|faults| folder.relative(&faults.to_string()))
}

#[test]
fn a_depot_is_taken_as_the_installer_has_signed_it() {
    let folder = Folder::new();
    let unsigned = read_signed(&folder).unwrap_err();
    assert!(
        unsigned.contains("control.installer_key: expected ratings at depot.ratings, signed by the installer with this key (depot-config sign), found no such file"),
        "{unsigned}"
    );
    sign(&folder, &key());
    let gateway = read_signed(&folder).unwrap();
    assert_eq!(gateway.installer, Some(key().verifying_key()));

    sign(&folder, &SigningKey::from_seed([9; 32]));
    let other = read_signed(&folder).unwrap_err();
    assert!(
        other.contains("signed with this key, found the signature of "),
        "{other}"
    );

    sign(&folder, &key());
    let text = std::fs::read_to_string(folder.path("depot.ratings")).unwrap();
    for cut in [0, 10, text.len() / 2, text.len() - 2] {
        folder.write("depot.ratings", &text[..cut]);
        let refused = read_signed(&folder).unwrap_err();
        assert!(
            refused.contains("expected ratings at depot.ratings with a sound signature"),
            "{cut}: {refused}"
        );
    }
    folder.write("depot.ratings", &text.replace("100 A", "125 A"));
    let changed = read_signed(&folder).unwrap_err();
    assert!(
        changed.contains("it was changed after it was signed"),
        "{changed}"
    );
}

#[test]
fn nothing_in_a_depot_is_above_what_was_signed() {
    let folder = Folder::new();
    let written = include_str!("depot.toml");
    sign(&folder, &key());
    for (old, new, allowed) in [
        ("breaker = 100", "breaker = 80", true),
        ("breaker = 100", "breaker = 100\nreserved = 10", true),
        ("breaker = 100", "breaker = 125", false),
        (
            "breaker = 100",
            "breaker = 100\nrated_100_percent = true",
            false,
        ),
        ("fallback_current = 6", "fallback_current = 8", false),
        ("phases = \"L1-L2\"", "phases = \"L2-L1\"", false),
        ("max_current = 32", "max_current = 30", false),
    ] {
        folder.write("depot.toml", &written.replacen(old, new, 1));
        match read_signed(&folder) {
            Ok(_) => assert!(allowed, "{new}"),
            Err(said) => {
                assert!(!allowed, "{new}: {said}");
                assert!(
                    said.contains("control.depot: expected a depot with "),
                    "{said}"
                );
                assert!(
                    said.contains(", as the installer has signed, found "),
                    "{said}"
                );
            }
        }
    }
}

#[test]
fn the_least_configuration_reads_nothing() {
    let folder = Folder::new();
    let text = "[gateway]\nid = \"g\"\nkey = \"gateway.key\"\ndata = \"/var/lib/patio\"\n\n[cloud]\nbroker = \"mqtt://localhost\"\npublic_key = \"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"\n";
    let gateway = Gateway::read(&folder.write("config.toml", text)).unwrap();
    assert!(gateway.can.is_empty() && gateway.modbus.is_empty() && gateway.cloud.tls.is_none());
}

#[test]
fn the_schema_is_sound_and_its_example_is_read() {
    assert_eq!(gateway::SCHEMA.flaws(), Vec::<String>::new());
    assert_eq!(
        json_schema(&gateway::SCHEMA)["title"],
        "gateway configuration"
    );
    let folder = Folder::new();
    let text = example(&gateway::SCHEMA)
        .replace("\"profile.toml\"", "\"car.toml\"")
        .replace("\"diagnostic\"", "\"drive\"")
        .replace("\"kona.dbc\"", "\"car.dbc\"")
        .replace("\"map.toml\"", "\"patio-virtual-charger\"")
        .replace("\"station-01\"", "\"station-1\"")
        // Each key alone has an example: the token is one that may charge.
        .replace("blocked = true", "blocked = false");
    sign(&folder, &key());
    Gateway::read(&folder.write("config.toml", &text)).unwrap();
}

proptest! {
    #[test]
    fn a_changed_configuration_is_read_or_refused(at in 0_usize..800, length in 0_usize..20, new in "(?s).{0,8}") {
        let folder = Folder::new();
        let at = SOUND.floor_char_boundary(at.min(SOUND.len()));
        let end = SOUND.floor_char_boundary((at + length).min(SOUND.len())).max(at);
        let changed = format!("{}{new}{}", &SOUND[..at], &SOUND[end..]);
        if let Err(faults) = Gateway::read(&folder.write("config.toml", &changed)) {
            prop_assert!(!faults.to_string().is_empty());
        }
    }
}

const STATIONS: &str = "
[stations]
listen = \"127.0.0.1:9210\"
insecure_stations = true

[[stations.station]]
id = \"CP-01\"
asset = \"station-01\"

[[stations.token]]
id = \"04A2B3C4\"
expires = \"2027-01-31T00:00:00-06:00\"
";

#[test]
fn stations_without_tls_or_secret_have_to_be_allowed() {
    let folder = Folder::new();
    let read = |stations: &str| {
        let text = format!("{SOUND}{stations}");
        Gateway::read(&folder.write("config.toml", &text))
    };
    let sound = read(STATIONS).unwrap().stations.unwrap();
    assert!(sound.insecure && sound.identity.is_none());
    assert_eq!(sound.heartbeat.as_secs(), 300);
    assert_eq!(sound.stations[0].asset.as_str(), "station-01");
    let expires = sound.tokens[0].expires.unwrap();
    assert_eq!(expires.to_string(), "2027-01-31T06:00:00Z");
    let faults = read(&STATIONS.replace("insecure_stations = true\n", ""));
    let faults = faults.unwrap_err().to_string();
    for key in ["stations.certificate:", "stations.station[0]:"] {
        assert!(faults.contains(key), "{key}: {faults}");
    }
    let relayed = |more: &str| {
        let station =
            format!("asset = \"station-01\"\nrelay = \"wss://csms.example/ocpp\"\n{more}");
        read(&STATIONS.replace("asset = \"station-01\"\n", &station))
    };
    let faults = relayed("").unwrap_err().to_string();
    assert!(faults.contains("stations.station[0].relay_ca"), "{faults}");
    folder.write("csms.pem", "");
    let sound = relayed("relay_ca = \"csms.pem\"\n")
        .unwrap()
        .stations
        .unwrap();
    assert!(sound.stations[0].relay_ca.is_some());
    let twice = STATIONS.replace(
        "[[stations.token]]",
        "[[stations.station]]\nid = \"CP-01\"\nasset = \"station-02\"\npassword_sha256 = \"12\"\n[[stations.token]]",
    );
    let faults = read(&twice).unwrap_err().to_string();
    assert!(
        faults.contains("stations.station[1].password_sha256"),
        "{faults}"
    );
}
