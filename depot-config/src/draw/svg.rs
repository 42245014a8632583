//! The diagram as SVG.
//!
//! A circuit that feeds other feeders is a bus bar with what it feeds side by side; one that feeds stations and
//! their branch breakers is a column with one row for each station.

use std::fmt::Write;

use super::{Tree, circuit, limits, station, supply, transformer};
use crate::depot::{Circuit, Depot, Station};

/// Width of a character of the monospaced text, in pixels.
const CHARACTER: f64 = 6.7;
/// Height of a row of a column.
const ROW: f64 = 24.0;
/// Between columns.
const GAP: f64 = 28.0;
/// Height of a breaker with its label.
const BREAKER: f64 = 46.0;
/// Height of a transformer.
const TRANSFORMER: f64 = 54.0;
const MARGIN: f64 = 24.0;

const STYLE: &str = "text{font:11px ui-monospace,'DejaVu Sans Mono',Menlo,monospace;fill:#1b1f24}\
.t{font-size:15px;font-weight:bold}.m{fill:#57606a}.w{stroke:#1b1f24;stroke-width:1.2;fill:none}\
.b{stroke:#1b1f24;stroke-width:4}.s{fill:#dff3e4;stroke:#2da44e}.z{fill:#f6f8fa;stroke:#57606a}";

/// The single-line diagram as an SVG document.
pub fn svg(depot: &Depot) -> String {
    let tree = Tree::new(depot);
    let widths = Widths::of(depot, &tree);
    let mut drawing = Drawing {
        tree: &tree,
        widths,
        body: String::new(),
    };
    let top = MARGIN + 44.0;
    let mut x = MARGIN;
    let mut bottom = top;
    let mut feeds = Vec::new();
    for root in tree.roots() {
        let (width, height) = drawing.size(root);
        feeds.push(drawing.draw(root, x, top + 14.0));
        x += width + GAP;
        bottom = bottom.max(top + 14.0 + height);
    }
    let title = format!("{} · {}", depot.site.name, supply(depot));
    let width = (x - GAP).max(title.chars().count() as f64 * 9.2 + MARGIN) + MARGIN;
    let height = bottom + MARGIN;
    if let (Some(first), Some(last)) = (feeds.first().copied(), feeds.last().copied()) {
        drawing.bar(first - 14.0, last + 14.0, top);
        for feed in feeds {
            drawing.wire(feed, top, feed, top + 14.0);
        }
    }
    drawing.text(MARGIN, MARGIN + 12.0, "t", &title);
    let legend = "□ breaker · ◎ transformer · (M) meter · station: its most, alone = when nobody tells it a limit";
    drawing.text(MARGIN, MARGIN + 30.0, "m", legend);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0}\" height=\"{1:.0}\" viewBox=\"0 0 {0:.0} {1:.0}\">\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{2}</svg>\n",
        width, height, drawing.body
    )
}

/// Widths of the parts of a row, in pixels.
struct Widths {
    branch: f64,
    station: f64,
    parking: f64,
}

impl Widths {
    fn of(depot: &Depot, tree: &Tree<'_>) -> Self {
        let longest = |lengths: &mut dyn Iterator<Item = usize>| {
            lengths
                .max()
                .map_or(0.0, |length| length as f64 * CHARACTER + 12.0)
        };
        let leaves = depot
            .circuits
            .iter()
            .filter(|c| tree.children(c).is_empty());
        Self {
            branch: longest(&mut leaves.map(|c| circuit(c).chars().count())),
            station: longest(&mut depot.stations.iter().map(|s| station(s).chars().count())),
            parking: longest(
                &mut depot
                    .stations
                    .iter()
                    .map(|s| tree.parkings(s).chars().count()),
            ),
        }
    }

    fn column(&self) -> f64 {
        48.0 + self.branch + self.station + self.parking
    }
}

/// One row of a column: a station, a branch breaker without one, or both.
struct Row<'d> {
    branch: Option<&'d Circuit>,
    station: Option<&'d Station>,
    /// Further stations of a branch hang below its first one.
    follows: bool,
}

struct Drawing<'t, 'd> {
    tree: &'t Tree<'d>,
    widths: Widths,
    body: String,
}

impl<'d> Drawing<'_, 'd> {
    fn rows(&self, this: &Circuit) -> Vec<Row<'d>> {
        let own = self.tree.stations(this).iter().map(|station| Row {
            branch: None,
            station: Some(*station),
            follows: false,
        });
        let mut rows: Vec<_> = own.collect();
        for child in self.tree.children(this) {
            if !self.tree.children(child).is_empty() {
                continue;
            }
            let stations = self.tree.stations(child);
            for (index, station) in stations.iter().enumerate() {
                rows.push(Row {
                    branch: (index == 0).then_some(*child),
                    station: Some(*station),
                    follows: index > 0,
                });
            }
            if stations.is_empty() {
                rows.push(Row {
                    branch: Some(*child),
                    station: None,
                    follows: false,
                });
            }
        }
        rows
    }

    fn feeders(&self, this: &Circuit) -> Vec<&'d Circuit> {
        let children = self.tree.children(this).iter().copied();
        children
            .filter(|child| !self.tree.children(child).is_empty())
            .collect()
    }

    fn head(this: &Circuit) -> f64 {
        let above = if this.transformer.is_some() {
            TRANSFORMER
        } else {
            0.0
        };
        BREAKER + above
    }

    /// Width of what stands beside the head: its label.
    fn label(&self, this: &Circuit) -> f64 {
        let label = circuit(this)
            .chars()
            .count()
            .max(limits(this).chars().count());
        let transformer = this
            .transformer
            .as_ref()
            .map_or(0, |t| transformer(t).chars().count());
        let meters: usize = self
            .tree
            .meters(this)
            .iter()
            .map(|m| m.chars().count() + 5)
            .sum();
        (label + meters).max(transformer) as f64 * CHARACTER + 40.0
    }

    fn size(&self, this: &Circuit) -> (f64, f64) {
        let rows = self.rows(this);
        let (mut width, mut height): (f64, f64) = (0.0, 0.0);
        if !rows.is_empty() {
            width = self.widths.column();
            height = rows.len() as f64 * ROW + 8.0;
        }
        for feeder in self.feeders(this) {
            let (w, h) = self.size(feeder);
            width += w + if width > 0.0 { GAP } else { 0.0 };
            height = height.max(h + 14.0);
        }
        (width.max(self.label(this)), Self::head(this) + height)
    }

    /// Draws a circuit with everything that it feeds; returns where it is fed.
    fn draw(&mut self, this: &Circuit, x: f64, y: f64) -> f64 {
        let feeders = self.feeders(this);
        let rows = self.rows(this);
        let bus = y + Self::head(this);
        let mut next = x;
        let mut feeds = Vec::new();
        if !rows.is_empty() {
            self.column(&rows, x, bus);
            feeds.push(x + 12.0);
            next += self.widths.column() + GAP;
        }
        for feeder in feeders {
            let (width, _) = self.size(feeder);
            let feed = self.draw(feeder, next, bus + 14.0);
            self.wire(feed, bus, feed, bus + 14.0);
            feeds.push(feed);
            next += width + GAP;
        }
        let middle = match (feeds.first(), feeds.last()) {
            (Some(first), Some(last)) if last > first => {
                let (first, last) = (*first, *last);
                self.bar(first - 12.0, last + 12.0, bus);
                f64::midpoint(first, last)
            }
            (Some(only), _) => *only,
            _ => x + 12.0,
        };
        self.breaker(this, middle, y);
        middle
    }

    /// Breaker, transformer, labels and meters of a circuit; the wire ends where its bus begins.
    fn breaker(&mut self, this: &Circuit, x: f64, y: f64) {
        let mut y = y;
        if let Some(t) = &this.transformer {
            self.wire(x, y, x, y + 8.0);
            self.push(format_args!(
                "<circle class=\"w\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"10\"/><circle class=\"w\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"10\"/>",
                y + 18.0,
                y + 32.0
            ));
            self.wire(x, y + 42.0, x, y + TRANSFORMER);
            self.text(x + 18.0, y + 29.0, "m", &transformer(t));
            y += TRANSFORMER;
        }
        self.wire(x, y, x, y + BREAKER);
        self.push(format_args!(
            "<rect class=\"z\" x=\"{:.1}\" y=\"{:.1}\" width=\"14\" height=\"14\"/>",
            x - 7.0,
            y + 10.0
        ));
        let label = circuit(this);
        self.text(x + 14.0, y + 21.0, "", &label);
        self.text(x + 14.0, y + 35.0, "m", &limits(this));
        let mut meter_x = x + 24.0 + label.chars().count() as f64 * CHARACTER;
        for meter in self.tree.meters(this) {
            self.push(format_args!(
                "<circle class=\"z\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"8\"/>",
                meter_x + 8.0,
                y + 17.0
            ));
            self.text(meter_x + 4.6, y + 21.0, "", "M");
            self.text(meter_x + 20.0, y + 21.0, "", meter);
            meter_x += 28.0 + meter.chars().count() as f64 * CHARACTER;
        }
    }

    fn column(&mut self, rows: &[Row<'d>], x: f64, y: f64) {
        let bus = x + 12.0;
        let station_x = x + 40.0 + self.widths.branch;
        let mut last = y;
        for (index, row) in rows.iter().enumerate() {
            let middle = y + 8.0 + index as f64 * ROW + ROW / 2.0;
            if row.follows {
                self.wire(station_x - 8.0, middle - ROW, station_x - 8.0, middle);
                self.wire(station_x - 8.0, middle, station_x, middle);
            } else {
                let end = if row.station.is_some() {
                    station_x
                } else {
                    bus + 24.0
                };
                self.wire(bus, middle, end, middle);
                last = middle;
            }
            if let Some(branch) = row.branch {
                self.push(format_args!(
                    "<rect class=\"z\" x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\"/>",
                    bus + 8.0,
                    middle - 5.0
                ));
                self.text(bus + 24.0, middle - 3.0, "", &circuit(branch));
            }
            if let Some(s) = row.station {
                let width = self.widths.station;
                self.push(format_args!(
                    "<rect class=\"s\" x=\"{station_x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"18\" rx=\"4\"/>",
                    middle - 9.0,
                    width
                ));
                self.text(station_x + 6.0, middle + 4.0, "", &station(s));
                let parkings = self.tree.parkings(s);
                self.text(
                    station_x + self.widths.station + 8.0,
                    middle + 4.0,
                    "m",
                    &parkings,
                );
            }
        }
        self.wire(bus, y, bus, last);
    }

    fn wire(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.push(format_args!(
            "<line class=\"w\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn bar(&mut self, x1: f64, x2: f64, y: f64) {
        self.push(format_args!(
            "<line class=\"b\" x1=\"{x1:.1}\" y1=\"{y:.1}\" x2=\"{x2:.1}\" y2=\"{y:.1}\"/>"
        ));
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{class}\"")
        };
        self.push(format_args!(
            "<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }

    fn push(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.body
            .write_fmt(arguments)
            .expect("a String takes every text");
        self.body.push('\n');
    }
}
