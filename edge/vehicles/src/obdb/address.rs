//! Identifiers and names of commands.

use isotp::CanId;
use serde_json::{Map, Value};

use super::{
    NoteKind,
    import::{Importer, Names},
};
use crate::profile::{Hex, Years};

/// The tester's address where a set gives none (ISO 15765-4).
const TESTER: u8 = 0xF1;

/// Priority of 29-bit identifiers where a set gives none (ISO 15765-2 §10.3.3).
const PRIORITY: u8 = 0x18;

/// The request's and the answer's addresses.
pub(super) struct Addresses {
    pub(super) request: CanId,
    pub(super) response: Option<CanId>,
    pub(super) request_extension: Option<u8>,
    pub(super) response_extension: Option<u8>,
}

impl Importer {
    pub(super) fn addresses(
        &mut self,
        path: &str,
        command: &Map<String, Value>,
    ) -> Option<Addresses> {
        let text = |key: &str| command.get(key).and_then(Value::as_str);
        let header = text("hdr").unwrap_or_default();
        let priority = self
            .byte(&format!("{path}.pri"), command.get("pri"))
            .unwrap_or(PRIORITY);
        let tester = self.byte(&format!("{path}.tst"), command.get("tst"));
        let extension = self.byte(&format!("{path}.eax"), command.get("eax"));
        let request = match header.len() {
            3 => header.parse().ok(),
            4 => format!("{priority:02X}{header}{:02X}", tester.unwrap_or(TESTER))
                .parse()
                .ok(),
            _ => None,
        };
        let Some(request): Option<CanId> = request else {
            self.note(
                &format!("{path}.hdr"),
                NoteKind::Identifier(header.to_owned()),
            );
            return None;
        };
        let response = match (text("rax"), request.is_extended()) {
            (None, _) => None,
            (Some(answer), extended) => {
                let id = match (extended, answer.len()) {
                    (false, 3) => answer.parse().ok(),
                    // The ECU's address: 18DA<tester><ECU>.
                    (true, 2) => {
                        format!("{priority:02X}DA{:02X}{answer}", tester.unwrap_or(TESTER))
                            .parse()
                            .ok()
                    }
                    (true, 6) => format!("{priority:02X}{answer}").parse().ok(),
                    _ => None,
                };
                if id.is_none() {
                    self.note(
                        &format!("{path}.rax"),
                        NoteKind::Identifier(answer.to_owned()),
                    );
                    return None;
                }
                id
            }
        };
        // In extended addressing the answer carries the tester's address: `tst`, or the end of a header like 6F1.
        // In mixed addressing both directions carry the same extension, which sets write as `tst` = `eax`.
        let response_extension = extension.map(|extension| match tester {
            Some(tester) => tester,
            None if request.raw() & 0xFF == u32::from(TESTER) => TESTER,
            None => extension,
        });
        Some(Addresses {
            request,
            response,
            request_extension: extension,
            response_extension,
        })
    }
}

/// What a command's name says: request, answer and payload. `7E4.7EC.220101|fc=1` is 7E4, 7EC and 22 01 01.
pub(crate) fn parse_name(name: &str) -> Option<(CanId, Option<CanId>, Vec<u8>)> {
    let (route, flags) = name.split_once('|').unwrap_or((name, ""));
    let parts: Vec<&str> = route.split('.').collect();
    let (header, answer, payload) = match *parts.as_slice() {
        [header, payload] => (header, None, payload),
        [header, answer, payload] => (header, Some(answer), payload),
        _ => return None,
    };
    let mut command = Map::new();
    command.insert("hdr".into(), header.into());
    command.extend(answer.map(|answer| ("rax".into(), answer.into())));
    for (flag, value) in flags.split(',').filter_map(|flag| flag.split_once('=')) {
        let key = match flag {
            "ta" => "tst",
            "c" => "pri",
            _ => continue,
        };
        command.insert(key.into(), value.into());
    }
    let mut importer = Importer {
        notes: Vec::new(),
        names: Names::Own,
        session: None,
    };
    let addresses = importer.addresses("", &command)?;
    Some((
        addresses.request,
        addresses.response,
        payload.parse::<Hex>().ok()?.0,
    ))
}

/// The name that OBDb's recordings give a command.
pub(super) fn name(
    command: &Map<String, Value>,
    service: u8,
    identifier: &Hex,
    years: Option<&Years>,
) -> String {
    let text = |key: &str| command.get(key).and_then(Value::as_str);
    let mut name = text("hdr").unwrap_or_default().to_owned();
    if let Some(answer) = text("rax") {
        name = format!("{name}.{answer}");
    }
    name = format!("{name}.{service:02X}{identifier}");
    let mut flags = Vec::new();
    for (flag, key) in [("t", "tmo"), ("e", "eax"), ("ta", "tst")] {
        flags.extend(text(key).map(|value| format!("{flag}={value}")));
    }
    if command.get("fcm1").and_then(Value::as_bool) == Some(true) {
        flags.push("fc=1".to_owned());
    }
    for (flag, key) in [("c", "pri"), ("din", "din"), ("dout", "dout")] {
        flags.extend(text(key).map(|value| format!("{flag}={value}")));
    }
    flags.extend(years.map(|years| format!("f={}", years_text(years))));
    if flags.is_empty() {
        name
    } else {
        format!("{name}|{}", flags.join(","))
    }
}

fn years_text(years: &Years) -> String {
    let mut parts = match (years.from, years.to) {
        (Some(from), Some(to)) if from < to => vec![format!("{from}-{to}")],
        (from, to) => from
            .map(|from| format!("{from}-"))
            .into_iter()
            .chain(to.map(|to| format!("-{to}")))
            .collect(),
    };
    let mut also = years.also.clone();
    also.sort_unstable();
    parts.extend(also.iter().map(u16::to_string));
    parts.join(";")
}
