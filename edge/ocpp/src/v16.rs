//! What the requests of OCPP 1.6 mean (edition 2, §4 and §6; security whitepaper, edition 3).

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use ocpp_kit::{
    rpc::CallError,
    types::DateTime,
    v1_6::{
        AuthorizationStatus, AuthorizeResponse, BootNotificationResponse, ChargePointErrorCode,
        ChargePointStatus, CsRequest, DataTransferResponse, DataTransferStatus, GenericStatus,
        HeartbeatResponse, IdTagInfo, MeterValue, MeterValuesRequest, RegistrationStatus,
        SignCertificateResponse, StartTransactionRequest, StartTransactionResponse,
        StatusNotificationRequest, StopTransactionRequest, StopTransactionResponse,
    },
};
use serde_json::{Value, json};

use crate::{
    authorize::{Standing, Verdict},
    meter::{self, Reading, Sampled, Wh},
    station::{Effect, Evse, Note, Now, Station, payload},
    transaction::Transaction,
};

/// Handles a request; gives the payload of its answer.
pub(crate) fn answer(
    station: &mut Station,
    now: Now,
    request: CsRequest,
) -> Result<Value, CallError> {
    match request {
        CsRequest::BootNotification(boot) => {
            station.tell("station.booted", payload(&boot)?);
            let boot = station.boot(now);
            let status = if boot.accepted {
                RegistrationStatus::Accepted
            } else {
                RegistrationStatus::Pending
            };
            payload(&BootNotificationResponse::new(
                status,
                boot.time,
                boot.interval,
            ))
        }
        CsRequest::Heartbeat(_) => payload(&HeartbeatResponse::new(Station::wall(now)?)),
        CsRequest::Authorize(request) => {
            let verdict = station.policy.tokens.verdict(&request.id_tag, now.wall);
            payload(&AuthorizeResponse::new(info(&verdict)))
        }
        CsRequest::StatusNotification(request) => status(station, now, &request),
        CsRequest::StartTransaction(request) => start(station, now, &request),
        CsRequest::MeterValues(request) => meter_values(station, now, &request),
        CsRequest::StopTransaction(request) => stop(station, now, &request),
        CsRequest::DataTransfer(request) => {
            station.tell("station.data", payload(&request)?);
            payload(&DataTransferResponse::new(
                DataTransferStatus::UnknownVendorId,
            ))
        }
        CsRequest::DiagnosticsStatusNotification(request) => {
            told(station, "station.diagnostics", &request)
        }
        CsRequest::FirmwareStatusNotification(request) => {
            told(station, "station.firmware", &request)
        }
        CsRequest::SignedFirmwareStatusNotification(request) => {
            told(station, "station.firmware", &request)
        }
        CsRequest::LogStatusNotification(request) => told(station, "station.log", &request),
        CsRequest::SecurityEventNotification(request) => {
            told(station, "station.security", &request)
        }
        // The gateway is no certificate authority; who is, installs certificates by command.
        CsRequest::SignCertificate(_) => {
            payload(&SignCertificateResponse::new(GenericStatus::Rejected))
        }
        other => Err(CallError::not_supported(other.action().as_str())),
    }
}

/// What is passed on to the cloud, and answered with nothing.
fn told(
    station: &mut Station,
    kind: &'static str,
    request: &impl serde::Serialize,
) -> Result<Value, CallError> {
    station.tell(kind, payload(request)?);
    Ok(json!({}))
}

fn info(verdict: &Verdict) -> IdTagInfo {
    let mut info = IdTagInfo::new(AuthorizationStatus::from_wire(verdict.standing.name()));
    info.expiry_date = verdict.expires.map(DateTime::from_timestamp);
    info.parent_id_tag.clone_from(&verdict.group);
    info
}

fn status(
    station: &mut Station,
    now: Now,
    request: &StatusNotificationRequest,
) -> Result<Value, CallError> {
    if let Some(time) = request.timestamp {
        station.clock(now, time.timestamp());
    }
    station.evses.insert(
        request.connector_id,
        Evse {
            ground_failure: request.error_code == ChargePointErrorCode::GroundFailure,
            unavailable: matches!(
                request.status,
                ChargePointStatus::Unavailable | ChargePointStatus::Faulted
            ),
            in_use: matches!(
                request.status,
                ChargePointStatus::Preparing
                    | ChargePointStatus::Charging
                    | ChargePointStatus::SuspendedEV
                    | ChargePointStatus::SuspendedEVSE
                    | ChargePointStatus::Finishing
            ),
        },
    );
    // Connector 0 is the station as a whole (§4.9).
    let code = ChargePointStatus::VARIANTS
        .iter()
        .position(|name| *name == request.status.as_str());
    if let (Some(code), 1..) = (code, request.connector_id) {
        station.readings(vec![Reading {
            evse: request.connector_id,
            time: now.wall.unwrap_or(now.least),
            signal: "ChargePointStatus",
            milli: code as i64 * 1000,
        }]);
    }
    told(station, "station.status", request)
}

fn start(
    station: &mut Station,
    now: Now,
    request: &StartTransactionRequest,
) -> Result<Value, CallError> {
    let (connector, time) = (request.connector_id, request.timestamp.timestamp());
    let register = Wh::whole(request.meter_start.into());
    let mut verdict = station.policy.tokens.verdict(&request.id_tag, now.wall);
    let known = station
        .memory
        .started(connector, &request.id_tag, register, time);
    if let Some(number) = known.and_then(|known| known.number) {
        // It has come again, for its answer was lost.
        return payload(&StartTransactionResponse::new(info(&verdict), number));
    }
    // An end that was lost with its station must not lock a token out: another connector counts while it is in use.
    let in_use = |evse: &i32| station.evses.get(evse).is_some_and(|evse| evse.in_use);
    let elsewhere = |one: &Transaction| {
        let token = one.token.as_deref();
        token.is_some_and(|token| token.eq_ignore_ascii_case(&request.id_tag))
            && one
                .evse
                .is_some_and(|evse| evse != connector && in_use(&evse))
    };
    if verdict.standing == Standing::Accepted && station.memory.open().any(elsewhere) {
        verdict.standing = Standing::ConcurrentTx;
    }
    let number = next_number(station, now);
    let name = station.name.clone();
    let ahead = station.clock_ahead();
    let mut transaction = Transaction::new(number.to_string());
    transaction.number = Some(number);
    transaction.evse = Some(connector);
    transaction.token = Some(request.id_tag.clone());
    transaction.started = Some(time);
    transaction.register(register);
    let write = station.memory.add(transaction).write(
        &name,
        "transaction.started",
        json!({
            "time": time,
            "authorization": verdict.standing.name(),
            "reservation": request.reservation_id,
            "clock_ahead_s": ahead,
        }),
    );
    station.effects.push(Effect::Store(Box::new(write)));
    station.readings(vec![register_reading(connector, time, register)]);
    payload(&StartTransactionResponse::new(info(&verdict), number))
}

/// Seconds since 1970, or more: no number comes again, be it that all that was remembered is lost.
fn next_number(station: &Station, now: Now) -> i32 {
    let numbers = station.memory.transactions().filter_map(|one| one.number);
    let after = numbers.max().map_or(1, |last| last.wrapping_add(1));
    let seconds = now.wall.map_or(0, Timestamp::as_second);
    i32::try_from(seconds).unwrap_or(0).max(after).max(1)
}

fn register_reading(evse: i32, time: Timestamp, register: Wh) -> Reading {
    Reading {
        evse,
        time,
        signal: "Energy.Active.Import.Register",
        milli: register.0,
    }
}

/// Readings of meter values, and the registers among them with their times.
fn read(evse: i32, values: &[MeterValue]) -> (Vec<Reading>, Vec<(Timestamp, Wh)>) {
    let (mut all, mut registers) = (Vec::new(), Vec::new());
    for value in values {
        let time = value.timestamp.timestamp();
        let sampled: Vec<Sampled<'_>> = value.sampled_value.iter().map(Sampled::from).collect();
        let (readings, register) = meter::readings(evse, time, &sampled);
        all.extend(readings);
        registers.extend(register.map(|register| (time, register)));
    }
    (all, registers)
}

fn meter_values(
    station: &mut Station,
    now: Now,
    request: &MeterValuesRequest,
) -> Result<Value, CallError> {
    if let Some(last) = request.meter_value.last() {
        station.clock(now, last.timestamp.timestamp());
    }
    let (readings, registers) = read(request.connector_id, &request.meter_value);
    let name = station.name.clone();
    // Without a number they are of no transaction (§6.31); a number that was never given means the one that goes on.
    let transaction = match request.transaction_id {
        None => None,
        Some(number) if number > 0 && station.memory.by_number(number).is_some() => {
            station.memory.by_number(number)
        }
        Some(_) => station.memory.at(request.connector_id),
    };
    let mut went_back = None;
    if let Some(transaction) = transaction
        && !transaction.ended
        && !registers.is_empty()
    {
        let mut hasher = DefaultHasher::new();
        payload(request)?.to_string().hash(&mut hasher);
        let fingerprint = hasher.finish();
        if transaction.fingerprint != fingerprint {
            transaction.fingerprint = fingerprint;
            let resets = transaction.resets;
            for &(_, register) in &registers {
                transaction.register(register);
            }
            went_back = (transaction.resets > resets).then(|| transaction.id.clone());
            let more = json!({ "time": registers.last().map(|one| one.0), "registers": registers });
            let write = transaction.write(&name, "transaction.updated", more);
            station.effects.push(Effect::Store(Box::new(write)));
        }
    }
    if let Some(id) = went_back {
        station.note(Note::Register(id));
    }
    station.readings(readings);
    Ok(json!({}))
}

fn stop(
    station: &mut Station,
    now: Now,
    request: &StopTransactionRequest,
) -> Result<Value, CallError> {
    let time = request.timestamp.timestamp();
    let register = Wh::whole(request.meter_stop.into());
    // It is always accepted (§6.49): what has happened has happened.
    let verdict = request
        .id_tag
        .as_ref()
        .map(|token| info(&station.policy.tokens.verdict(token, now.wall)));
    let response = StopTransactionResponse {
        id_tag_info: verdict,
    };
    let told = |one: &Transaction| {
        one.ended
            && (one.number == Some(request.transaction_id)
                || (one.stopped, one.last) == (Some(time), Some(register)))
    };
    if station.memory.transactions().any(told) {
        return payload(&response);
    }
    let name = station.name.clone();
    let number = request.transaction_id;
    let given = station.memory.by_number(number).is_some();
    let transaction = if given {
        station.memory.by_number(number)
    } else {
        station
            .memory
            .meant(request.id_tag.as_deref(), register, time)
    };
    let found = transaction.is_some();
    let transaction = match transaction {
        Some(transaction) => transaction,
        None => {
            let id = format!("unknown.{number}.{}", time.as_second());
            station.memory.add(Transaction::new(id))
        }
    };
    let data = request.transaction_data.as_deref().unwrap_or_default();
    let (readings, _) = read(transaction.evse.unwrap_or(0), data);
    let resets = transaction.resets;
    transaction.register(register);
    transaction.ended = true;
    transaction.stopped = Some(time);
    let (id, evse) = (transaction.id.clone(), transaction.evse);
    let went_back = transaction.resets > resets;
    let write = transaction.write(
        &name,
        "transaction.ended",
        json!({
            "time": time,
            "reason": request.reason.as_ref().map_or("Local", |reason| reason.as_str()),
            "ended_by": request.id_tag,
            "told_number": (!given).then_some(number),
            "beginning_unknown": (!found).then_some(true),
        }),
    );
    station.effects.push(Effect::Store(Box::new(write)));
    if !found {
        station.note(Note::Unknown(id.clone()));
    }
    if went_back {
        station.note(Note::Register(id));
    }
    if let Some(evse) = evse {
        station.readings(readings);
        station.readings(vec![register_reading(evse, time, register)]);
    }
    payload(&response)
}
