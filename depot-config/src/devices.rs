//! Device maps: those that ship with Patio, by name, and anybody's own, by path.

mod schema;

use config_file::{Collection, Kind, Syntax};
use modbus::map::DeviceMap;

pub use schema::SCHEMA;

/// All device maps.
pub static DEVICES: Collection<DeviceMap> = Collection {
    what: "device map",
    folder: "depot-config/devices",
    shipped: include!(concat!(env!("OUT_DIR"), "/devices.rs")),
    schema: &SCHEMA,
    finish: |map, spans| {
        let problems = map.check().into_iter();
        problems
            .map(|problem| spans.problem(&problem.path, problem.says))
            .collect()
    },
};

/// The text by which a file names a device map.
pub const NAME: Kind = Kind::Syntax(Syntax {
    form: "the name of a device map that ships, or the path of one that ends in .toml",
    check: |text| DEVICES.admits(text),
});
