//! The files that a depot file names: they belong to it when it travels.

use std::path::{Path, PathBuf};

use config_file::is_path;

use super::Depot;

/// Each path once, in the order in which they are named. Paths in a file that is named start from its folder.
pub(super) fn named(depot: &Depot) -> Vec<PathBuf> {
    let mut paths = Paths::default();
    let site = &depot.site;
    if let Some(calendar) = &site.holiday_calendar {
        paths.add(Path::new(""), calendar);
    }
    if let Some(contract) = &depot.contract {
        let folder = paths.add(Path::new(""), &contract.tariff_book);
        if let Some(book) = &depot.named.book {
            paths.add(&folder, &book.holiday_calendar);
        }
        if let (Some(name), Some(table)) = (&contract.prices, &depot.named.prices) {
            let folder = paths.add(Path::new(""), name);
            paths.add(&folder, &table.tariff_book);
        }
    }
    let stations = depot.stations.iter().filter_map(|s| s.modbus.as_ref());
    let meters = depot.meters.iter().map(|meter| &meter.modbus);
    for unit in stations.chain(meters) {
        paths.add(Path::new(""), &unit.map);
    }
    paths.0
}

#[derive(Default)]
struct Paths(Vec<PathBuf>);

impl Paths {
    /// Adds what is named in a file of this folder, when it is a path; returns the folder of what was named.
    fn add(&mut self, folder: &Path, name: &str) -> PathBuf {
        if !is_path(name) {
            return PathBuf::new();
        }
        let path = folder.join(name);
        if !self.0.contains(&path) {
            self.0.push(path.clone());
        }
        path.parent().map(Path::to_owned).unwrap_or_default()
    }
}
