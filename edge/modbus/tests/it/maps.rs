//! The maps that ship, and what the check says about maps that are wrong.

use modbus::{Device, DeviceMap, plan};

use crate::support::{files, root};

/// Maps with less than two sync reads. Of chargers that have no serial line and answer nothing but single values every answer has the
/// same shape: only the numbers of Modbus TCP tell them apart. With one, it is read twice.
const FEWER_SYNCS: [(&str, usize); 3] = [
    ("keba-kecontact-p30", 0),
    ("keba-kecontact-p40", 0),
    ("phoenix-ev-cc-ac1-m3-ser", 1),
];

#[test]
fn every_map_that_ships_can_be_used_on_any_line_that_its_device_has() {
    let paths = files(&root().join("depot-config/devices"), ".toml");
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        let map: DeviceMap =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let device =
            Device::new(map).unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display()));
        let plan = plan(&device);
        let name = path.file_stem().unwrap().to_string_lossy();
        let fewer = FEWER_SYNCS.iter().find(|(few, _)| *few == name);
        let syncs = fewer.map_or(2, |(_, syncs)| *syncs);
        assert_eq!(plan.syncs.len(), syncs, "{name}");
        let requests: usize = plan.groups.iter().map(|group| group.requests.len()).sum();
        println!(
            "{name}: {} points in {requests} requests",
            device.map().points.len()
        );
    }
    // Beside those of the virtual depot.
    let real = paths
        .iter()
        .filter(|path| !path.to_string_lossy().contains("patio-virtual"));
    assert!(real.count() >= 25, "{paths:?}");
}

const GOOD: &str = r#"
manufacturer = "Test"
model = "Check"
kind = "charger"
source = "this test"
points = [
    { signal = "Power.Active.Import", address = 40001, type = "u32" },
    { signal = "Current.Import.L1", address = 40003, type = "i16", scale = 0.1 },
]
unreadable = [ { from = 40020, to = 40021 } ]
[defaults]
first_address = 40001
[identity]
address = 40010
type = "string"
registers = 4
[control.current_limit]
address = 40030
type = "u16"
scale = 0.1
min = 6
max = 32
off = 0
"#;

#[test]
fn problems_are_named_with_their_path() {
    assert_eq!(toml::from_str::<DeviceMap>(GOOD).unwrap().check(), []);
    for (from, to, path) in [
        ("\"Check\"", "\" \"", "model"),
        ("address = 40003", "address = 40000", "points[1].address"),
        ("address = 40003", "address = 40020", "points[1].address"),
        ("address = 40003", "address = 105537", "points[1].address"),
        ("Current.Import.L1", "Current.Import.L9", "points[1].signal"),
        (
            "Current.Import.L1",
            "Power.Active.Import",
            "points[1].signal",
        ),
        ("Current.Import.L1", "WphA", "points[1].signal"),
        ("type = \"i16\"", "type = \"bool\"", "points[1].type"),
        ("type = \"i16\"", "type = \"string\"", "points[1].type"),
        ("scale = 0.1 },", "scale = 0 },", "points[1].scale"),
        (
            "scale = 0.1 },",
            "bits = { first = 9, count = 8 } },",
            "points[1].bits",
        ),
        (
            "scale = 0.1 },",
            "invalid = [0x18000] },",
            "points[1].invalid[0]",
        ),
        (
            "scale = 0.1 },",
            "states = { on = 1 } },",
            "points[1].states",
        ),
        (
            "scale = 0.1 },",
            "scale = 0.1, states = { \"1\" = 1 } },",
            "points[1].states",
        ),
        (
            "scale = 0.1 },",
            "resolution = 0.1 },",
            "points[1].resolution",
        ),
        ("scale = 0.1 },", "unit = \"W\" },", "points[1].unit"),
        (
            "scale = 0.1 },",
            "scale_factor = 40020 },",
            "points[1].scale_factor",
        ),
        (
            "scale = 0.1 },",
            "interval_ms = 1 },",
            "points[1].interval_ms",
        ),
        (
            "first_address = 40001",
            "first_address = 40001\nmax_registers = 1",
            "points[0].address",
        ),
        (
            "first_address = 40001",
            "first_address = 40001\nmax_registers = 126",
            "defaults.max_registers",
        ),
        (
            "first_address = 40001",
            "first_address = 40001\ninvalid = { u16 = [0x10000] }",
            "defaults.invalid.u16[0]",
        ),
        ("to = 40021", "to = 40019", "unreadable[0]"),
        ("registers = 4", "", "identity.registers"),
        ("type = \"string\"", "type = \"f32\"", "identity.registers"),
        ("min = 6", "min = 33", "control.current_limit.min"),
        ("max = 32", "max = 7000", "control.current_limit.max"),
        ("off = 0", "off = 7", "control.current_limit.off"),
        (
            "type = \"u16\"\nscale",
            "type = \"u32\"\nwrite = \"single\"\nscale",
            "control.current_limit.write",
        ),
        (
            "off = 0",
            "read_back = { address = 40040, type = \"f64\" }",
            "control.current_limit.read_back.type",
        ),
        (
            "off = 0",
            "read_back = { address = 40000, type = \"u32\" }",
            "control.current_limit.read_back.address",
        ),
        ("\"charger\"", "\"meter\"", "control"),
        (
            "[identity]",
            "[workarounds]\nclose_after_cycle = \"\"\n[identity]",
            "workarounds.close_after_cycle",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let problems = toml::from_str::<DeviceMap>(&GOOD.replacen(from, to, 1))
            .unwrap()
            .check();
        assert!(
            problems.iter().any(|problem| problem.path == path),
            "{to}: {problems:?}"
        );
    }
}

#[test]
fn all_problems_are_found_at_once() {
    let text = GOOD
        .replace("scale = 0.1 }", "scale = 0 }")
        .replace("max = 32", "max = 7000")
        .replace("\"Check\"", "\"\"");
    let paths: Vec<String> = toml::from_str::<DeviceMap>(&text)
        .unwrap()
        .check()
        .into_iter()
        .map(|p| p.path)
        .collect();
    assert_eq!(
        paths,
        ["model", "points[1].scale", "control.current_limit.max"]
    );
    let unknown = toml::from_str::<DeviceMap>(&GOOD.replace("registers = 4", "register = 4"))
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("unknown field `register`"), "{unknown}");
}
