//! The device map's keys agree with the type that reads them.

use std::path::Path;

use config_file::{example, json_schema, parse};
use depot_config::{depot, devices, tariff};
use modbus::map::DeviceMap;

#[test]
fn the_schemas_are_sound() {
    for schema in [
        &devices::SCHEMA,
        &depot::SCHEMA,
        &tariff::BOOK,
        &tariff::HOLIDAYS_SCHEMA,
        &tariff::PRICES_SCHEMA,
    ] {
        assert_eq!(schema.flaws(), Vec::<String>::new());
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
    let path = Path::new("example.toml");
    parse::<tariff::Book>(path, &example(&tariff::BOOK), &tariff::BOOK).unwrap();
    tariff::HOLIDAYS
        .parse(path, &example(&tariff::HOLIDAYS_SCHEMA))
        .unwrap();
    tariff::PRICES
        .parse(path, &example(&tariff::PRICES_SCHEMA))
        .unwrap();
}

#[test]
fn defaults_of_schema_and_type_agree() {
    let shipped = devices::DEVICES.shipped.iter().map(|(_, text)| *text);
    for text in shipped.chain([
        include_str!("../broken/maps/meter.toml"),
        include_str!("../broken/maps/charger.toml"),
    ]) {
        let (by_schema, _) =
            parse::<DeviceMap>(Path::new("map.toml"), text, &devices::SCHEMA).unwrap();
        let by_type: DeviceMap = toml::from_str(text).unwrap();
        assert_eq!(by_schema, by_type);
    }
}

#[test]
fn what_the_map_itself_finds_has_its_line() {
    let text =
        include_str!("../broken/maps/meter.toml").replace("signal = \"W\"", "signal = \"Watts\"");
    let faults = devices::DEVICES
        .parse(Path::new("map.toml"), &text)
        .unwrap_err()
        .to_string();
    assert!(
        faults.starts_with("map.toml:7:10: points[0].signal: "),
        "{faults}"
    );
    let text = include_str!("../broken/maps/meter.toml")
        .replace("type = \"f32\"", "type = \"f32\"\nscael = 2");
    let faults = devices::DEVICES
        .parse(Path::new("map.toml"), &text)
        .unwrap_err()
        .to_string();
    assert_eq!(
        faults,
        "map.toml:10:1: points[0]: expected a key of the point, found `scael` (did you mean `scale`?)"
    );
}
