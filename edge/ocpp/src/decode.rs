//! Payloads become typed messages. One that breaks the schema is answered with the error that its version prescribes
//! (OCPP-J 1.6 §4.2.3, 2.0.1 part 4 §4.3), in its version's own spelling, and what is valid in it is kept all the same: a
//! meter value beside a broken one is still a meter value, and a transaction's end without its readings is still its end.

use ocpp_kit::{
    Version,
    decode::{DecodeError, DecodeOptions},
    rpc::CallError,
    types::{DateTime, normalize_datetime},
    v1_6, v2_0_1,
};
use serde_json::{Value, value::RawValue};

/// Broken parts that are taken out of one payload before it is given up.
const MOST_BROKEN: usize = 64;

/// A request of a station.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives for one call")]
pub(crate) enum Request {
    V16(v1_6::CsRequest),
    V201(v2_0_1::CsRequest),
}

/// A payload that breaks the schema.
#[derive(Debug)]
pub(crate) struct Broken {
    /// How it is answered.
    pub(crate) error: CallError,
    /// The request without its broken parts, if something is left that means something.
    pub(crate) rest: Option<Request>,
}

/// What a station's request says.
pub(crate) fn request(
    version: Version,
    action: &str,
    payload: &RawValue,
) -> Result<Request, Box<Broken>> {
    let options = DecodeOptions::lenient();
    let first = match decode(version, action, payload, &options) {
        Ok(request) => return Ok(request),
        Err(error) => error,
    };
    let mut parts = Parts::read(payload);
    let mut error = first.clone();
    let mut rest = None;
    for _ in 0..MOST_BROKEN {
        let Some(text) = parts.as_mut().and_then(|parts| parts.without(&error)) else {
            break;
        };
        match decode(version, action, &text, &options) {
            Ok(request) => {
                rest = Some(request);
                break;
            }
            Err(next) => error = next,
        }
    }
    match (rest, parts) {
        (Some(request), Some(Parts { repaired: true, .. })) => Ok(request),
        (rest, _) => Err(Box::new(Broken {
            error: CallError::from(first),
            rest,
        })),
    }
}

fn decode(
    version: Version,
    action: &str,
    payload: &RawValue,
    options: &DecodeOptions,
) -> Result<Request, DecodeError> {
    let unsupported = || DecodeError::unsupported_action(action);
    if version == Version::V1_6 {
        let action = v1_6::Action::from_wire(action).ok_or_else(unsupported)?;
        v1_6::CsRequest::decode(action, payload, options).map(Request::V16)
    } else {
        let action = v2_0_1::Action::from_wire(action).ok_or_else(unsupported)?;
        v2_0_1::CsRequest::decode(action, payload, options).map(Request::V201)
    }
}

/// A payload that is being put right.
struct Parts {
    value: Value,
    /// Whether spellings alone had to be put right so far, and nothing was taken out.
    repaired: bool,
}

impl Parts {
    fn read(payload: &RawValue) -> Option<Self> {
        let value = serde_json::from_str(payload.get()).ok()?;
        let repaired = true;
        Some(Self { value, repaired })
    }

    /// The payload without what an error points at, if that can be spelled otherwise or done without.
    fn without(&mut self, error: &DecodeError) -> Option<Box<RawValue>> {
        // Elements of lists come as `list[0]`.
        let path = error.path.replace('[', "/").replace(']', "");
        if !respell(&mut self.value, &path) {
            self.repaired = false;
            take_out(&mut self.value, &path)?;
        }
        serde_json::value::to_raw_value(&self.value).ok()
    }
}

/// A time without its offset, or with a space in it, is in UTC; many stations write such ones.
fn respell(value: &mut Value, path: &str) -> bool {
    let Some(Value::String(text)) = value.pointer_mut(path) else {
        return false;
    };
    let spelled = normalize_datetime(text);
    let right = spelled != *text && DateTime::parse(&spelled).is_ok();
    if right {
        *text = spelled;
    }
    right
}

/// Removes the innermost reading (or optional part) that holds the place of an error; `None` when there is none.
fn take_out(value: &mut Value, path: &str) -> Option<()> {
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    let lists = ["sampledValue", "meterValue", "transactionData"];
    let list = steps.iter().rposition(|step| lists.contains(step))?;
    let pointer: String = steps[..=list]
        .iter()
        .flat_map(|step| ["/", *step])
        .collect();
    let index: Option<usize> = steps.get(list + 1).and_then(|step| step.parse().ok());
    let items = value.pointer_mut(&pointer).and_then(Value::as_array_mut);
    if let (Some(items), Some(index)) = (items, index)
        && index < items.len()
    {
        items.remove(index);
        if !items.is_empty() {
            return Some(());
        }
    }
    // Nothing is left of the list, or it is none: what holds it goes, too.
    let holder: String = steps[..list].iter().flat_map(|step| ["/", *step]).collect();
    match steps[..list] {
        [] => value.as_object_mut()?.remove(steps[list]).map(drop),
        _ => take_out(value, &holder),
    }
}
