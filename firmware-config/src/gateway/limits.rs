//! The depot whose electrical limits a gateway is to hold. The depot's own check finds what is wrong with it; here, whether
//! this gateway can, and whether the installer has signed what it is rated for.

use std::{fs, path::Path, sync::Arc};

use depot_config::{
    depot::Depot,
    ratings::{Ratings, beside},
};
use modbus::map::DeviceMap;
use shared_protocol::{AssetKey, GatewayId, VerifyingKey};

use super::{Line, Station, check::Check, file};

const KEY: &str = "control.depot";
const INSTALLER: &str = "control.installer_key";
/// What a meter has to measure.
const CURRENTS: [&str; 3] = ["AphA", "AphB", "AphC"];

/// Reads the depot, with the key by which it is signed; `None` when a fault was found.
pub(super) fn check(
    written: &file::Control,
    gateway: &GatewayId,
    lines: &[Option<Line>],
    stations: &[Station],
    check: &mut Check<'_>,
) -> Option<(Arc<Depot>, Option<VerifyingKey>)> {
    let path = check.existing(KEY, &written.depot)?;
    let depot = match Depot::read(&path) {
        Ok(depot) => depot,
        Err(faults) => {
            let expected = format!("a depot file at {} without faults", path.display());
            check.fault(KEY, expected, format!("these: {faults}"));
            return None;
        }
    };
    let of_depot = |station: &&Station| depot.stations.iter().any(|one| one.id == station.asset);
    let (mut found, mut sound) = (stations.iter().filter(of_depot).count(), true);
    for (line, devices) in lines.iter().enumerate() {
        let devices = devices.iter().flat_map(|line| &line.devices);
        for (place, device) in devices.enumerate() {
            let Some(problem) = lacks(&depot, gateway, &device.asset, &device.map) else {
                continue;
            };
            found += 1;
            if let Err(expected) = problem {
                let key = format!("modbus[{line}].device[{place}].map");
                check.fault(&key, expected, format!("{} without", device.map.model));
                sound = false;
            }
        }
    }
    if found == 0 {
        check.fault(
            KEY,
            "a depot with a station or meter that is one of the devices or stations here",
            format!("{}, none of whose stations and meters is", path.display()),
        );
    }
    let mut installer = None;
    if let Some(key) = &written.installer_key {
        installer = check.public_key(INSTALLER, key);
        sound &= installer.is_some_and(|key| is_signed(&depot, &path, &key, check));
    }
    (found > 0 && sound).then(|| (Arc::new(depot), installer))
}

/// Whether the installer has signed all that the depot has, or more. Reports what is not so.
fn is_signed(depot: &Depot, path: &Path, key: &VerifyingKey, check: &mut Check<'_>) -> bool {
    let path = beside(path);
    let Ok(text) = fs::read_to_string(&path) else {
        let expected = format!(
            "ratings at {}, signed by the installer with this key (depot-config sign)",
            path.display()
        );
        check.fault(INSTALLER, expected, "no such file that can be read");
        return false;
    };
    let ratings = match Ratings::parse(&text) {
        Ok(ratings) => ratings,
        Err(error) => {
            let expected = format!("ratings at {} with a sound signature", path.display());
            check.fault(INSTALLER, expected, format!("this: {error}"));
            return false;
        }
    };
    if ratings.key != *key {
        let expected = format!("ratings at {} signed with this key", path.display());
        check.fault(
            INSTALLER,
            expected,
            format!("the signature of {}", ratings.key),
        );
        return false;
    }
    let mut differences = ratings.differences(depot);
    differences.retain(|one| !one.allowed);
    for one in &differences {
        let found = one.found.as_deref().unwrap_or("none");
        check.fault(KEY, format!("a depot with {}", one.expected()), found);
    }
    differences.is_empty()
}

/// What the map of a station or meter lacks; `None`: it is neither, or another gateway's.
fn lacks(
    depot: &Depot,
    gateway: &GatewayId,
    asset: &AssetKey,
    map: &DeviceMap,
) -> Option<Result<(), String>> {
    let ours = |of: &Option<GatewayId>| of.as_ref().is_none_or(|of| of == gateway);
    let mut stations = depot.stations.iter().filter(|one| ours(&one.gateway));
    if stations.any(|one| one.id == *asset) {
        let expected =
            || format!("a map with [control], as the depot limits its station `{asset}`");
        return Some(map.control.as_ref().map(drop).ok_or_else(expected));
    }
    let mut meters = depot.meters.iter().filter(|one| ours(&one.gateway));
    if !meters.any(|one| one.id == *asset) {
        return None;
    }
    let measures = |name: &str| map.points.iter().any(|point| point.signal == name);
    let expected = || {
        let names = CURRENTS.join(", ");
        format!("a map with {names}, as the depot's limits are held by its meter `{asset}`")
    };
    let any = CURRENTS.iter().any(|name| measures(name));
    Some(any.then_some(()).ok_or_else(expected))
}
