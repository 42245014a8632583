//! The diagram with box characters.

use std::fmt::Write;

use super::{Tree, circuit, limits, station, supply, transformer};
use crate::depot::{Circuit, Depot};

/// The single-line diagram for a terminal: `╪` is a breaker, `◎` a transformer, `▭` a station, `Ⓜ` a meter.
pub fn terminal(depot: &Depot) -> String {
    let tree = Tree::new(depot);
    let mut text = format!("{} · {}\n", depot.site.name, supply(depot));
    let roots: Vec<_> = tree.roots().collect();
    for (index, root) in roots.iter().enumerate() {
        draw(&mut text, &tree, root, "", index + 1 == roots.len());
    }
    text
}

fn draw(text: &mut String, tree: &Tree<'_>, this: &Circuit, indent: &str, last: bool) {
    let (branch, below) = if last {
        ("└─", "  ")
    } else {
        ("├─", "│ ")
    };
    let mut parts = Vec::new();
    if let Some(t) = &this.transformer {
        parts.push(format!("◎ {} ─", transformer(t)));
    }
    parts.push(format!("╪ {}", circuit(this)));
    let limits = limits(this);
    if !limits.is_empty() {
        parts.push(format!("({limits})"));
    }
    for meter in tree.meters(this) {
        parts.push(format!("─ Ⓜ {meter}"));
    }
    line(text, format_args!("{indent}{branch}{}", parts.join(" ")));
    let indent = format!("{indent}{below}");
    let (stations, children) = (tree.stations(this), tree.children(this));
    for (index, s) in stations.iter().enumerate() {
        let last = index + 1 == stations.len() && children.is_empty();
        let branch = if last { "└─" } else { "├─" };
        let parkings = tree.parkings(s);
        let parkings = if parkings.is_empty() {
            String::new()
        } else {
            format!(" ─ P {parkings}")
        };
        let phases = if s.phases == this.phases {
            String::new()
        } else {
            format!(" {}", s.phases)
        };
        line(
            text,
            format_args!("{indent}{branch}▭ {}{phases}{parkings}", station(s)),
        );
    }
    for (index, child) in children.iter().enumerate() {
        draw(text, tree, child, &indent, index + 1 == children.len());
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a String takes every text");
    text.push('\n');
}
