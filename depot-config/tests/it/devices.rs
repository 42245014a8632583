//! The device map's keys agree with the type that reads them.

use std::path::Path;

use config_file::{example, json_schema, parse};
use depot_config::{depot, devices};
use modbus::map::DeviceMap;

#[test]
fn the_schemas_are_sound() {
    assert_eq!(devices::SCHEMA.flaws(), Vec::<String>::new());
    assert_eq!(depot::SCHEMA.flaws(), Vec::<String>::new());
    for schema in [&devices::SCHEMA, &depot::SCHEMA] {
        assert_eq!(json_schema(schema)["additionalProperties"], false);
    }
}

#[test]
fn the_examples_are_read() {
    parse::<DeviceMap>(
        Path::new("example.toml"),
        &example(&devices::SCHEMA),
        &devices::SCHEMA,
    )
    .unwrap();
    parse::<depot::Depot>(
        Path::new("example.toml"),
        &example(&depot::SCHEMA),
        &depot::SCHEMA,
    )
    .unwrap();
}

#[test]
fn defaults_of_schema_and_type_agree() {
    let shipped = devices::DEVICES.shipped.iter().map(|(_, text)| *text);
    for text in shipped.chain([include_str!("meter.toml"), include_str!("charger.toml")]) {
        let (by_schema, _) =
            parse::<DeviceMap>(Path::new("map.toml"), text, &devices::SCHEMA).unwrap();
        let by_type: DeviceMap = toml::from_str(text).unwrap();
        assert_eq!(by_schema, by_type);
    }
}

#[test]
fn what_the_map_itself_finds_has_its_line() {
    let text = include_str!("meter.toml").replace("signal = \"W\"", "signal = \"Watts\"");
    let faults = devices::DEVICES
        .parse(Path::new("map.toml"), &text)
        .unwrap_err()
        .to_string();
    assert!(
        faults.starts_with("map.toml:7:10: points[0].signal: "),
        "{faults}"
    );
    let text = include_str!("meter.toml").replace("type = \"f32\"", "type = \"f32\"\nscael = 2");
    let faults = devices::DEVICES
        .parse(Path::new("map.toml"), &text)
        .unwrap_err()
        .to_string();
    assert_eq!(
        faults,
        "map.toml:10:1: points[0]: expected a key of the point, found `scael` (did you mean `scale`?)"
    );
}
