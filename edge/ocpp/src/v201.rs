//! What the requests of OCPP 2.0.1 mean (part 2, blocks A to P).

use jiff::Timestamp;
use ocpp_kit::{
    rpc::CallError,
    types::DateTime,
    v2_0_1::{
        AuthorizationStatus, AuthorizeResponse, BootNotificationResponse, ChargingState,
        ConnectorStatus, CsRequest, DataTransferResponse, DataTransferStatus, GenericStatus,
        Get15118EVCertificateResponse, GetCertificateStatusEnum, GetCertificateStatusResponse,
        HeartbeatResponse, IdToken, IdTokenEnum, IdTokenInfo, Iso15118EVCertificateStatus,
        MeterValue, NotifyEVChargingNeedsResponse, NotifyEVChargingNeedsStatus,
        NotifyEVChargingScheduleResponse, RegistrationStatus, SignCertificateResponse,
        StatusNotificationRequest, TransactionEventEnum, TransactionEventRequest,
        TransactionEventResponse, TriggerReason,
    },
};
use serde_json::{Value, json};

use crate::{
    authorize::{Standing, Verdict},
    meter::{self, Reading, Sampled, Wh},
    station::{Effect, Note, Now, Station, payload},
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
                boot.time,
                boot.interval,
                status,
            ))
        }
        CsRequest::Heartbeat(_) => payload(&HeartbeatResponse::new(Station::wall(now)?)),
        CsRequest::Authorize(request) => payload(&AuthorizeResponse::new(token(
            station,
            now,
            &request.id_token,
        ))),
        CsRequest::StatusNotification(request) => status(station, now, &request),
        CsRequest::TransactionEvent(request) => transaction_event(station, now, &request),
        CsRequest::MeterValues(request) => {
            let (readings, _) = read(request.evse_id, &request.meter_value);
            station.readings(readings);
            Ok(json!({}))
        }
        CsRequest::DataTransfer(request) => {
            station.tell("station.data", payload(&request)?);
            payload(&DataTransferResponse::new(
                DataTransferStatus::UnknownVendorId,
            ))
        }
        CsRequest::FirmwareStatusNotification(request) => {
            told(station, "station.firmware", &request)
        }
        CsRequest::LogStatusNotification(request) => told(station, "station.log", &request),
        CsRequest::SecurityEventNotification(request) => {
            told(station, "station.security", &request)
        }
        CsRequest::NotifyEvent(request) => told(station, "station.event", &request),
        CsRequest::NotifyReport(request) => told(station, "station.report", &request),
        CsRequest::NotifyMonitoringReport(request) => told(station, "station.monitoring", &request),
        CsRequest::NotifyDisplayMessages(request) => told(station, "station.display", &request),
        CsRequest::NotifyCustomerInformation(request) => {
            told(station, "station.customer", &request)
        }
        CsRequest::NotifyChargingLimit(request) => told(station, "station.limit", &request),
        CsRequest::ClearedChargingLimit(request) => told(station, "station.limit", &request),
        CsRequest::ReportChargingProfiles(request) => told(station, "station.profiles", &request),
        CsRequest::ReservationStatusUpdate(request) => {
            told(station, "station.reservation", &request)
        }
        CsRequest::PublishFirmwareStatusNotification(request) => {
            told(station, "station.firmware", &request)
        }
        // The gateway is no certificate authority and asks none.
        CsRequest::SignCertificate(_) => {
            payload(&SignCertificateResponse::new(GenericStatus::Rejected))
        }
        CsRequest::Get15118EVCertificate(_) => payload(&Get15118EVCertificateResponse::new(
            Iso15118EVCertificateStatus::Failed,
            "",
        )),
        CsRequest::GetCertificateStatus(_) => payload(&GetCertificateStatusResponse::new(
            GetCertificateStatusEnum::Failed,
        )),
        CsRequest::NotifyEVChargingNeeds(request) => {
            station.tell("station.needs", payload(&request)?);
            payload(&NotifyEVChargingNeedsResponse::new(
                NotifyEVChargingNeedsStatus::Rejected,
            ))
        }
        CsRequest::NotifyEVChargingSchedule(_) => payload(&NotifyEVChargingScheduleResponse::new(
            GenericStatus::Accepted,
        )),
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

/// How a token stands. One that nobody has shown (a start by cable alone, C02) is accepted.
fn token(station: &Station, now: Now, token: &IdToken) -> IdTokenInfo {
    let verdict = if token.r#type == IdTokenEnum::NoAuthorization {
        Verdict {
            standing: Standing::Accepted,
            expires: None,
            group: None,
        }
    } else {
        station.policy.tokens.verdict(&token.id_token, now.wall)
    };
    info(&verdict)
}

fn info(verdict: &Verdict) -> IdTokenInfo {
    let mut info = IdTokenInfo::new(AuthorizationStatus::from_wire(verdict.standing.name()));
    info.cache_expiry_date_time = verdict.expires.map(DateTime::from_timestamp);
    let group = verdict.group.as_ref();
    info.group_id_token = group.map(|group| IdToken::new(group, IdTokenEnum::Central));
    info
}

fn status(
    station: &mut Station,
    now: Now,
    request: &StatusNotificationRequest,
) -> Result<Value, CallError> {
    station.clock(now, request.timestamp.timestamp());
    let evse = station.evses.entry(request.evse_id).or_default();
    evse.unavailable = matches!(
        request.connector_status,
        ConnectorStatus::Unavailable | ConnectorStatus::Faulted
    );
    evse.in_use = request.connector_status == ConnectorStatus::Occupied;
    // The catalogue's codes are 1.6's: of an occupied connector only the transaction tells more.
    let code = match request.connector_status {
        ConnectorStatus::Available => Some(0),
        ConnectorStatus::Occupied => Some(1),
        ConnectorStatus::Reserved => Some(6),
        ConnectorStatus::Unavailable => Some(7),
        ConnectorStatus::Faulted => Some(8),
        _ => None,
    };
    let time = now.wall.unwrap_or(now.least);
    station.readings(status_reading(request.evse_id, time, code));
    told(station, "station.status", request)
}

fn status_reading(evse: i32, time: Timestamp, code: Option<i64>) -> Vec<Reading> {
    let reading = |code: i64| Reading {
        evse,
        time,
        signal: "ChargePointStatus",
        milli: code * 1000,
    };
    code.filter(|_| evse > 0).map(reading).into_iter().collect()
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

fn transaction_event(
    station: &mut Station,
    now: Now,
    request: &TransactionEventRequest,
) -> Result<Value, CallError> {
    let time = request.timestamp.timestamp();
    if request.offline != Some(true) {
        station.clock(now, time);
    }
    let shown = request.id_token.as_ref();
    let mut response = TransactionEventResponse::new();
    response.id_token_info = shown.map(|shown| token(station, now, shown));
    let id = &request.transaction_info.transaction_id;
    let name = station.name.clone();
    let ahead = station.clock_ahead();
    if station.memory.by_id(id).is_none() {
        station.memory.add(Transaction::new(id.clone()));
    }
    let Some(transaction) = station.memory.by_id(id) else {
        return Err(CallError::internal("the transaction cannot be remembered"));
    };
    let latest = transaction.seen.last().map(|&(_, last)| last);
    if !transaction.note(request.seq_no) {
        return payload(&response);
    }
    let evse = request.evse.as_ref().map(|evse| evse.id);
    transaction.evse = transaction.evse.or(evse);
    let evse = evse.or(transaction.evse);
    if transaction.token.is_none() {
        transaction.token = shown.map(|shown| shown.id_token.clone());
    }
    let values = request.meter_value.as_deref().unwrap_or_default();
    let (mut readings, registers) = read(evse.unwrap_or(0), values);
    let resets = transaction.resets;
    for &(_, register) in &registers {
        // What comes after its successors must not look like a register that went back.
        if latest.is_none_or(|latest| latest < request.seq_no) {
            transaction.register(register);
        } else if transaction.first.is_some_and(|first| register < first) {
            transaction.earlier(register);
        }
    }
    let kind = match request.event_type {
        TransactionEventEnum::Started => {
            transaction.started = Some(time);
            "transaction.started"
        }
        TransactionEventEnum::Ended => {
            transaction.ended = true;
            transaction.stopped = Some(time);
            "transaction.ended"
        }
        _ => "transaction.updated",
    };
    let whole = transaction.seen.len() == 1 && transaction.started.is_some();
    let gaps = transaction.ended && !whole;
    let went_back = transaction.resets > resets;
    let about = &request.transaction_info;
    let write = transaction.write(
        &name,
        kind,
        json!({
            "time": time,
            "seq_no": request.seq_no,
            "trigger": request.trigger_reason.as_str(),
            "offline": request.offline.filter(|offline| *offline),
            "charging_state": about.charging_state.as_ref().map(ChargingState::as_str),
            "reason": about.stopped_reason.as_ref().map(|reason| reason.as_str().to_owned()),
            "remote_start": about.remote_start_id,
            "reservation": request.reservation_id,
            "authorization": response.id_token_info.as_ref().map(|info| info.status.as_str().to_owned()),
            "registers": registers,
            "clock_ahead_s": ahead,
            "incomplete": gaps.then_some(true),
        }),
    );
    station.effects.push(Effect::Store(Box::new(write)));
    if gaps {
        station.note(Note::Gaps(id.clone()));
    }
    if went_back {
        station.note(Note::Register(id.clone()));
    }
    if request.trigger_reason == TriggerReason::AbnormalCondition {
        station.tell(
            "station.abnormal",
            json!({ "transaction": id, "time": time }),
        );
    }
    let code = match &about.charging_state {
        Some(ChargingState::EVConnected) => Some(1),
        Some(ChargingState::Charging) => Some(2),
        Some(ChargingState::SuspendedEVSE) => Some(3),
        Some(ChargingState::SuspendedEV) => Some(4),
        Some(ChargingState::Idle) => Some(5),
        _ => None,
    };
    if let Some(evse) = evse {
        let fresh = request.offline != Some(true);
        let at = now.wall.unwrap_or(now.least);
        readings.extend(status_reading(evse, at, code.filter(|_| fresh)));
        station.readings(readings);
    }
    payload(&response)
}
