//! Points become requests: neighbours together, gaps bridged where the device allows it and it is cheaper than
//! another request, never across a register that must not be read. Pure.

use std::{collections::BTreeMap, time::Duration};

use tokio_modbus::Request;

use crate::{
    codec::Shape,
    decode::factor_of,
    device::{Device, Place, ResolvedControl},
    map::Table,
};

/// The gap, in registers, from which on another request is cheaper: it costs 8 bytes of request, 5 of answer around
/// the data and two silences of 3.5 characters, which is the time of 10 registers (160 coils).
pub const BREAK_EVEN: u16 = 10;

/// A request that reads one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// What it reads.
    pub place: Place,
    /// The points it covers, as indices into the map.
    pub points: Vec<usize>,
}

impl ReadRequest {
    /// The request.
    pub fn request(&self) -> Request<'static> {
        read_request(self.place)
    }

    /// What its answer can be told apart by.
    pub fn shape(&self) -> Shape {
        shape_of(self.place)
    }
}

/// The points that are read at the same interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Time between two readings.
    pub interval: Duration,
    /// Requests by table and address.
    pub requests: Vec<ReadRequest>,
    /// All points of these requests.
    pub points: Vec<usize>,
}

/// How a device is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Shortest interval first.
    pub groups: Vec<Group>,
    /// Reads whose answers cannot be mistaken for that of any other request of the plan, nor for each other's: they prove
    /// that the unit is in step. At most two, the identity register first if it is such a read; fewer if the map leaves fewer.
    pub syncs: Vec<Place>,
}

/// Plans the requests of a device.
///
/// Every point, and every scale factor with it, is covered by exactly one request of its group.
pub fn plan(device: &Device) -> Plan {
    let mut intervals: BTreeMap<Duration, Vec<usize>> = BTreeMap::new();
    for (index, point) in device.points.iter().enumerate() {
        intervals.entry(point.interval).or_default().push(index);
    }
    let groups = intervals.into_iter().map(|(interval, points)| {
        let requests = merge(device, &points);
        Group {
            interval,
            requests,
            points,
        }
    });
    let groups: Vec<Group> = groups.collect();
    let syncs = syncs(device, &groups);
    Plan { groups, syncs }
}

/// A range that has to be read whole, and the point it belongs to (a scale factor belongs to none: any reader may bring it).
type Field = (Place, Option<usize>);

fn fields(device: &Device, points: &[usize]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for &index in points {
        let point = &device.points[index];
        fields.push((point.place, Some(index)));
        fields.extend(factor_of(point).map(|place| (place, None)));
    }
    fields.sort();
    fields.dedup();
    fields
}

fn merge(device: &Device, points: &[usize]) -> Vec<ReadRequest> {
    let defaults = &device.map.defaults;
    let alone = device.map.workarounds.one_request_per_point.is_some();
    let mut requests: Vec<ReadRequest> = Vec::new();
    for (place, point) in fields(device, points) {
        let (most, bridge) = if place.table.is_bits() {
            (defaults.max_bits, defaults.max_gap.min(BREAK_EVEN) * 16)
        } else {
            (defaults.max_registers, defaults.max_gap.min(BREAK_EVEN))
        };
        let joined = requests.last_mut().filter(|last| {
            let same = last.place == place || (!alone && last.place.table == place.table);
            let gap = u32::from(place.address).saturating_sub(last.place.end());
            let end = place.end().max(last.place.end());
            let whole = Place {
                count: (end - u32::from(last.place.address)) as u16,
                ..last.place
            };
            let blocked = device.holes.iter().any(|hole| hole.overlaps(whole));
            same && gap <= u32::from(bridge)
                && end - u32::from(last.place.address) <= u32::from(most)
                && !blocked
        });
        match joined {
            Some(last) => {
                last.place.count =
                    (place.end().max(last.place.end()) - u32::from(last.place.address)) as u16;
                last.points.extend(point);
            }
            None => requests.push(ReadRequest {
                place,
                points: point.into_iter().collect(),
            }),
        }
    }
    requests
}

/// The identity when its answer has a shape of its own, then the shortest readable ranges that have one.
fn syncs(device: &Device, groups: &[Group]) -> Vec<Place> {
    let requests = || groups.iter().flat_map(|group| &group.requests);
    let mut taken: Vec<Shape> = requests().map(ReadRequest::shape).collect();
    taken.extend(device.guards.iter().map(|guard| shape_of(guard.place)));
    taken.extend(
        device
            .control
            .iter()
            .flat_map(ResolvedControl::settings)
            .map(|setting| shape_of(setting.back.0)),
    );
    let mut candidates: Vec<Place> = Vec::new();
    // A device that refuses blocks is asked for nothing but what its map names.
    if device.map.workarounds.one_request_per_point.is_none() {
        for request in requests() {
            let places: Vec<Place> = request
                .points
                .iter()
                .map(|&point| device.points[point].place)
                .collect();
            for (from, first) in places.iter().enumerate() {
                let mut end = first.end();
                for last in &places[from..] {
                    end = end.max(last.end());
                    candidates.push(Place {
                        count: (end - u32::from(first.address)) as u16,
                        ..*first
                    });
                }
            }
        }
        candidates.sort_by_key(|place| (shape_bytes(&shape_of(*place)), *place));
    }
    if let Some((identity, _)) = device.identity {
        if taken.contains(&shape_of(identity)) {
            taken.push(shape_of(identity));
        } else {
            candidates.insert(0, identity);
        }
    }
    let mut syncs = Vec::new();
    for place in candidates {
        if syncs.len() < 2 && !taken.contains(&shape_of(place)) {
            taken.push(shape_of(place));
            syncs.push(place);
        }
    }
    syncs
}

/// The request that reads a place.
pub(crate) fn read_request(place: Place) -> Request<'static> {
    match place.table {
        Table::Coil => Request::ReadCoils(place.address, place.count),
        Table::Discrete => Request::ReadDiscreteInputs(place.address, place.count),
        Table::Holding => Request::ReadHoldingRegisters(place.address, place.count),
        Table::Input => Request::ReadInputRegisters(place.address, place.count),
    }
}

/// The shape of the answer to [`read_request`].
pub(crate) fn shape_of(place: Place) -> Shape {
    crate::codec::shape(&read_request(place)).expect("the four reads have a shape")
}

fn shape_bytes(shape: &Shape) -> u8 {
    match shape {
        Shape::Read(_, bytes) => *bytes,
        Shape::Echo(..) => u8::MAX,
    }
}
