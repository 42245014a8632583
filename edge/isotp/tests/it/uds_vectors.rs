//! Requests and responses of an independent implementation.

use isotp::uds::{Answer, Dtc, ReadDtc, Request, Response, service_name};
use serde_json::Value;

use crate::data;

/// Letters and digits in lower case: the reference writes the standard's names without hyphens and spaces.
fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// A number as the reference's test names write it: `0x1`, `175`.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    text.strip_prefix("0x").map_or_else(
        || text.parse().ok(),
        |digits| u32::from_str_radix(digits, 16).ok(),
    )
}

/// The value of `'key': value` in a name.
fn named(name: &str, key: &str) -> Option<u32> {
    let (_, rest) = name.split_once(&format!("'{key}':"))?;
    number(rest.split([',', '}']).next()?)
}

/// Builds the request a name describes; `None` if it describes none that is known here.
fn from_name(name: &str, payload: &[u8]) -> Option<Request> {
    let argument = || number(name.split_once('(')?.1.strip_suffix(')')?).map(|n| n as u8);
    let word = name.split([' ', '(']).next()?;
    Some(match word {
        "DiagnosticSessionControl" => Request::DiagnosticSessionControl {
            session: argument()?,
            suppress: false,
        },
        "ECUReset" => Request::EcuReset {
            kind: argument()?,
            suppress: false,
        },
        "TesterPresent" => Request::TesterPresent { suppress: false },
        // A key for level n is sent with the even number that follows; the key itself is not in the name.
        "SecurityAccess" if name.contains("key") => Request::SecurityAccess {
            sub_function: argument()?.next_multiple_of(2),
            data: payload.get(2..)?.to_vec(),
        },
        "RDBI" => {
            let ids = name
                .split_once(' ')?
                .1
                .split(',')
                .map(|id| u16::from_str_radix(id.trim(), 16).ok());
            Request::ReadDataByIdentifier {
                ids: ids.collect::<Option<_>>()?,
            }
        }
        "ReadDTC" => {
            let dtc =
                named(name, "dtc").map(|dtc| Dtc::uds(dtc.to_be_bytes()[1..].try_into().unwrap()));
            let mask = named(name, "status_mask").map(|mask| mask as u8);
            let record = |key| named(name, key).map(|record| record as u8);
            Request::ReadDtcInformation(match number(name.split(' ').nth(1)?)? {
                0x01 => ReadDtc::CountByStatusMask(mask?),
                0x02 => ReadDtc::ByStatusMask(mask?),
                0x04 => ReadDtc::Snapshot {
                    dtc: dtc?,
                    record: record("snapshot_record_number")?,
                },
                0x06 => ReadDtc::ExtendedData {
                    dtc: dtc?,
                    record: record("extended_data_record_number")?,
                },
                0x0A => ReadDtc::Supported,
                _ => return None,
            })
        }
        _ => return None,
    })
}

fn check_request(vector: &Value) -> Result<(), String> {
    let (name, payload) = (
        vector["name"].as_str().unwrap(),
        data::bytes(&vector["payload"]),
    );
    let decoded = Request::decode(&payload).map_err(|code| format!("{name}: {code}"))?;
    if decoded.encode().as_ref() != Ok(&payload) {
        return Err(format!(
            "{name}: read as {decoded:?}, which is {:02x?}",
            decoded.encode()
        ));
    }
    match from_name(name, &payload) {
        Some(built) if built == decoded => Ok(()),
        Some(built) => Err(format!("{name}: built {built:?}, read {decoded:?}")),
        // Nothing to build it from; what was read back stands.
        None if !matches!(decoded, Request::Other { .. }) => Ok(()),
        None => Err(format!("{name}: no such request is known here")),
    }
}

fn check_response(vector: &Value) -> Result<(), String> {
    let (name, payload) = (
        vector["name"].as_str().unwrap(),
        data::bytes(&vector["payload"]),
    );
    let parsed = Response::parse(&payload);
    let wrong = || Err(format!("{name}: {parsed:?}"));
    if !vector["valid"].as_bool().unwrap() {
        return if parsed.is_err() { Ok(()) } else { wrong() };
    }
    let service_is =
        |service| service_name(service).map(plain) == vector["service"].as_str().map(plain);
    match parsed {
        Ok(Response::Positive { service, data }) if vector["positive"] == true => {
            if !service_is(service) || data != data::bytes(&vector["data"]) {
                return wrong();
            }
            interpret(vector, service, &payload).map_err(|error| format!("{name}: {error}"))
        }
        Ok(Response::Negative { service, code }) if vector["positive"] == false => {
            let same = service_is(service)
                && vector["code"] == code.code()
                && vector["code_name"].as_str().map(plain) == Some(plain(code.name()));
            if same { Ok(()) } else { wrong() }
        }
        _ => wrong(),
    }
}

/// Takes the typed values out of a positive answer, as the answer to the request the vector's expectation names.
fn interpret(vector: &Value, service: u8, payload: &[u8]) -> Result<(), String> {
    let answer = |request: Request| {
        Answer::new(request, payload.to_vec()).ok_or("not the answer to its request")
    };
    let same = |found: String, expected: String| {
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found}, not {expected}"))
        }
    };
    let number = |value: &Value| {
        value
            .as_u64()
            .unwrap_or_else(|| panic!("not a number: {value}"))
    };
    let Some(expected) = vector.get("interpreted").filter(|value| !value.is_null()) else {
        if vector.get("interpret_error").is_none_or(Value::is_null) {
            return Ok(());
        }
        // The reference was asked for the VIN only.
        return match answer(Request::did(isotp::uds::VIN_DID)) {
            Err(_) => Ok(()),
            Ok(answer) => answer
                .vin()
                .map_or(Ok(()), |vin| Err(format!("taken as {vin}"))),
        };
    };
    let fields = expected.as_object().ok_or("not an object")?;
    match service {
        0x19 => {
            let report = answer(Request::ReadDtcInformation(ReadDtc::ByStatusMask(0xFF)))?
                .dtc_report()
                .map_err(|e| e.to_string())?;
            let found: Vec<_> = report
                .records
                .iter()
                .map(|record| {
                    let [a, b, c] = record.dtc.to_uds();
                    (
                        u64::from(u32::from_be_bytes([0, a, b, c])),
                        u64::from(record.status.0),
                    )
                })
                .collect();
            let listed = |value: &Value| {
                value
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|dtc| (number(&dtc[0]), number(&dtc[1])))
                    .collect()
            };
            let wanted: Vec<_> = listed(&fields["dtcs"]);
            let counts = (number(&fields["count"]), number(&fields["availability"]));
            same(
                format!("{found:?} {:?}", (found.len(), report.availability.0)),
                format!("{wanted:?} {counts:?}"),
            )
        }
        0x22 => {
            let parse = |did: &String| {
                u16::from_str_radix(did, 16).map_err(|_| format!("{did} is no identifier"))
            };
            let ids = fields.keys().map(parse).collect::<Result<Vec<_>, _>>()?;
            let texts: Vec<_> = fields
                .values()
                .map(|text| text.as_str().unwrap().as_bytes())
                .collect();
            let lengths: Vec<_> = ids
                .iter()
                .copied()
                .zip(texts.iter().map(|text| text.len()))
                .collect();
            let answer = answer(Request::ReadDataByIdentifier { ids: ids.clone() })?;
            let found = answer
                .data_identifiers(&lengths)
                .map_err(|e| e.to_string())?;
            let wanted: Vec<_> = ids.iter().copied().zip(texts.iter().copied()).collect();
            same(format!("{found:x?}"), format!("{wanted:x?}"))
        }
        0x27 => {
            let answer = answer(Request::SecurityAccess {
                sub_function: number(&fields["level"]) as u8,
                data: Vec::new(),
            })?;
            same(
                hex::encode(answer.seed().map_err(|e| e.to_string())?),
                fields["seed"].as_str().unwrap().to_owned(),
            )
        }
        _ => Err(format!(
            "no reading of service {service:02X} to compare {expected} with"
        )),
    }
}

/// Requests byte for byte; responses with their names, codes and values.
#[test]
fn real_data_uds_vectors() {
    let Some(path) = data::path("isotp/uds_vectors.jsonl") else {
        return;
    };
    let check = |vector: &Value| match vector["kind"].as_str() {
        Some("request") => check_request(vector),
        Some("response") => check_response(vector),
        other => Err(format!("unknown kind {other:?}")),
    };
    let results: Vec<_> = data::json_lines(&path).iter().map(check).collect();
    data::report("messages", &results);
}
