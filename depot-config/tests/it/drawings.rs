//! The drawings of the sample depots: `tests/golden`.

use std::{fs, path::Path};

use depot_config::{
    depot::Depot,
    draw::{svg, terminal},
};

/// What is drawn is what stands in `tests/golden`; when a drawing is meant to change,
/// `depot-config draw [--svg] --out …` writes it there, and somebody looks at it.
#[test]
fn the_drawings_are_as_they_were_looked_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["demo", "norte-50", "central-200"] {
        let depot = Depot::read(&folder.join(format!("depots/{name}.toml"))).unwrap();
        for (ending, drawing) in [("svg", svg(&depot)), ("txt", terminal(&depot))] {
            let golden = folder.join(format!("tests/golden/{name}.{ending}"));
            let golden = fs::read_to_string(&golden)
                .unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
            assert!(
                drawing == golden,
                "{name}.{ending} differs from tests/golden"
            );
        }
        // Every station and circuit is in both.
        for id in depot
            .stations
            .iter()
            .map(|s| &s.id)
            .chain(depot.circuits.iter().map(|c| &c.id))
        {
            for drawing in [svg(&depot), terminal(&depot)] {
                assert!(drawing.contains(&format!("{id} ")), "{name} lacks {id}");
            }
        }
    }
}
