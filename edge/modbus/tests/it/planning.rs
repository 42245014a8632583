//! Plans of random maps: every point once, nothing above the limits, nothing that must not be read.

use modbus::{
    Device, DeviceMap,
    device::Place,
    map::Table,
    plan::{self, Plan},
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Line {
    table: &'static str,
    address: u16,
    register_type: &'static str,
    factor: Option<u16>,
    slow: bool,
}

fn line() -> impl Strategy<Value = Line> {
    let register = (
        prop::sample::select(vec!["holding", "input"]),
        prop::sample::select(vec!["u16", "i32", "f32", "u64", "mod10k48"]),
        0u16..300,
        prop::option::weighted(0.2, 0u16..300),
        prop::bool::weighted(0.2),
    );
    let bit = (
        prop::sample::select(vec!["coil", "discrete"]),
        0u16..600,
        prop::bool::weighted(0.2),
    );
    prop_oneof![
        4 => register.prop_map(|(table, register_type, address, factor, slow)| {
            let factor = factor.filter(|_| !register_type.starts_with('f'));
            Line { table, address, register_type, factor, slow }
        }),
        1 => bit.prop_map(|(table, address, slow)| Line { table, address, register_type: "bool", factor: None, slow }),
    ]
}

fn map(lines: &[Line], most: u16, gap: u16, alone: bool, holes: &[(u16, u16)]) -> DeviceMap {
    let point = |(index, line): (usize, &Line)| {
        let factor = line.factor.map_or(String::new(), |address| {
            format!(", scale_factor = {address}")
        });
        let step = if line.factor.is_some() || line.register_type == "f32" {
            ", resolution = 0.1"
        } else {
            ""
        };
        let interval = if line.slow {
            ", interval_ms = 10000"
        } else {
            ""
        };
        format!(
            "{{ signal = \"s{index}\", unit = \"1\", function = \"{}\", address = {}, type = \"{}\"{factor}{step}{interval} }},\n",
            line.table, line.address, line.register_type
        )
    };
    let points: String = lines.iter().enumerate().map(point).collect();
    let hole = |(from, n): &(u16, u16)| format!("{{ from = {from}, to = {} }},", from + n);
    let holes = holes.iter().map(hole).collect::<Vec<_>>().concat();
    let alone = if alone {
        "[workarounds]\none_request_per_point = \"Test: refuses blocks\"\n"
    } else {
        ""
    };
    let text = format!(
        "manufacturer = \"Test\"\nmodel = \"Plan\"\nkind = \"meter\"\nsource = \"this test\"\npoints = [{points}]\nunreadable = [{holes}]\n[defaults]\nmax_registers = {most}\nmax_bits = 64\nmax_gap = {gap}\n{alone}"
    );
    toml::from_str(&text).unwrap()
}

fn place_of(line: &Line) -> Place {
    let table = match line.table {
        "coil" => Table::Coil,
        "discrete" => Table::Discrete,
        "holding" => Table::Holding,
        _ => Table::Input,
    };
    let count = match line.register_type {
        "u64" => 4,
        "mod10k48" => 3,
        "i32" | "f32" => 2,
        _ => 1,
    };
    Place {
        table,
        address: line.address,
        count,
    }
}

fn check(plan: &Plan, lines: &[Line], most: u16, gap: u16, alone: bool, holes: &[Place]) {
    let mut seen = vec![0; lines.len()];
    for group in &plan.groups {
        let mut needed: Vec<Place> = Vec::new();
        for request in &group.requests {
            let limit = if request.place.table.is_bits() {
                64
            } else {
                most
            };
            assert!(request.place.count <= limit, "{request:?} is above {limit}");
            assert!(
                !holes.iter().any(|hole| hole.overlaps(request.place)),
                "{request:?} reads a hole"
            );
            for &point in &request.points {
                seen[point] += 1;
                let place = place_of(&lines[point]);
                assert!(
                    request.place.covers(place),
                    "{request:?} does not cover {place:?}"
                );
                if alone {
                    assert_eq!(request.place, place);
                }
                needed.push(place);
                needed.extend(lines[point].factor.map(|address| Place {
                    address,
                    count: 1,
                    ..place
                }));
            }
        }
        // Every scale factor comes with its points.
        for place in &needed {
            assert!(
                group
                    .requests
                    .iter()
                    .any(|request| request.place.covers(*place)),
                "{place:?} is not read"
            );
        }
        // What is read and belongs to nothing is never more at a time than the gap that the map allows.
        for request in &group.requests {
            let allowed = if request.place.table.is_bits() {
                gap.min(plan::BREAK_EVEN) * 16
            } else {
                gap.min(plan::BREAK_EVEN)
            };
            let mut run = 0;
            for at in 0..request.place.count {
                let one = Place {
                    address: request.place.address + at,
                    count: 1,
                    ..request.place
                };
                run = if needed.iter().any(|place| place.overlaps(one)) {
                    0
                } else {
                    run + 1
                };
                assert!(
                    run <= allowed,
                    "{request:?} reads {run} registers for nothing"
                );
            }
        }
    }
    assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
    // A sync read cannot be mistaken, and reads nothing that the plan does not read.
    let requests = || plan.groups.iter().flat_map(|group| &group.requests);
    let shapes: Vec<_> = requests().map(plan::ReadRequest::shape).collect();
    for sync in &plan.syncs {
        let shape = plan::ReadRequest {
            place: *sync,
            points: Vec::new(),
        }
        .shape();
        assert!(!shapes.contains(&shape));
        assert!(requests().any(|request| request.place.covers(*sync)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn every_point_is_covered_once_within_the_limits(
        lines in prop::collection::vec(line(), 1..40),
        most in 4u16..=125,
        gap in 0u16..20,
        alone in prop::bool::weighted(0.1),
        holes in prop::collection::vec((0u16..300, 0u16..5), 0..4),
    ) {
        let hole_places: Vec<Place> =
            holes.iter().map(|(from, n)| Place { table: Table::Holding, address: *from, count: n + 1 }).collect();
        let mut lines = lines;
        lines.retain(|line| {
            let place = place_of(line);
            let factor = line.factor.map(|address| Place { address, count: 1, ..place });
            !hole_places.iter().any(|hole| hole.overlaps(place) || factor.is_some_and(|factor| hole.overlaps(factor)))
        });
        prop_assume!(!lines.is_empty());
        let device = Device::new(map(&lines, most, gap, alone, &holes)).unwrap();
        check(&modbus::plan(&device), &lines, most, gap, alone, &hole_places);
    }
}

#[test]
fn neighbours_gaps_and_limits() {
    let line = |address, register_type| Line {
        table: "holding",
        address,
        register_type,
        factor: None,
        slow: false,
    };
    let places = |lines: &[Line], most, gap, holes: &[(u16, u16)]| -> Vec<(u16, u16)> {
        let device = Device::new(map(lines, most, gap, false, holes)).unwrap();
        modbus::plan(&device).groups[0]
            .requests
            .iter()
            .map(|request| (request.place.address, request.place.count))
            .collect()
    };
    let lines = [
        line(0, "f32"),
        line(2, "f32"),
        line(8, "f32"),
        line(40, "u64"),
    ];
    assert_eq!(places(&lines, 125, 0, &[]), [(0, 4), (8, 2), (40, 4)]);
    assert_eq!(places(&lines, 125, 4, &[]), [(0, 10), (40, 4)]);
    assert_eq!(places(&lines, 125, 4, &[(5, 0)]), [(0, 4), (8, 2), (40, 4)]);
    assert_eq!(places(&lines, 8, 4, &[]), [(0, 4), (8, 2), (40, 4)]);
    // A gap of 30 registers costs more than a request, whatever the map allows.
    assert_eq!(places(&lines, 125, 100, &[]), [(0, 10), (40, 4)]);
}
