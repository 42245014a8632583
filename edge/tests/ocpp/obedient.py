"""A charging station by the library `ocpp` that does whatever it is asked: every request is checked against the official schemas.
Asked what it would allow, it says far more than anybody tells it.

Usage: obedient.py VERSION PORT. Begins a transaction, prints its name, and serves until it is ended.
"""

import asyncio
import base64
import sys
from datetime import datetime, timezone

import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201

VARIABLE = {
    "attribute_status": "Accepted",
    "component": {"name": "SampledDataCtrlr"},
    "variable": {"name": "TxUpdatedInterval"},
}
PLAIN = {
    "Reset",
    "ChangeAvailability",
    "TriggerMessage",
    "ReserveNow",
    "CancelReservation",
    "SetChargingProfile",
    "ClearChargingProfile",
    "ClearCache",
}
NOW = datetime.now(timezone.utc).isoformat()


def schedule(unit, limit):
    periods = "charging_schedule_period"
    return {"duration": 3600, "charging_rate_unit": unit, periods: [{"start_period": 0, "limit": limit}]}


ANSWERS16 = {
    "GetCompositeSchedule": {
        "status": "Accepted",
        "connector_id": 1,
        "schedule_start": NOW,
        "charging_schedule": schedule("A", 99.0),
    },
    "UnlockConnector": {"status": "Unlocked"},
    "GetConfiguration": {"configuration_key": [{"key": "HeartbeatInterval", "readonly": False, "value": "60"}]},
    "UpdateFirmware": {},
    "GetDiagnostics": {"file_name": "log.txt"},
    "GetLocalListVersion": {"list_version": 7},
} | {name: {"status": "Accepted"} for name in PLAIN | {"RemoteStartTransaction", "RemoteStopTransaction", "ChangeConfiguration"}}
ANSWERS201 = {
    "GetCompositeSchedule": {
        "status": "Accepted",
        "schedule": schedule("W", 50000.0) | {"evse_id": 1, "schedule_start": NOW},
    },
    "UnlockConnector": {"status": "Unlocked"},
    "GetVariables": {"get_variable_result": [VARIABLE | {"attribute_value": "60"}]},
    "SetVariables": {"set_variable_result": [VARIABLE]},
    "GetLocalListVersion": {"version_number": 7},
    "GetTransactionStatus": {"messages_in_queue": False},
} | {
    name: {"status": "Accepted"}
    for name in PLAIN | {"RequestStartTransaction", "RequestStopTransaction", "UpdateFirmware", "GetLog"}
}


def obedient(base, results, answers):
    """A station that answers each of these actions."""

    def handler(action, payload):
        def handle(self, **_):
            return getattr(results, action)(**payload)

        # Routes are found by the names of their functions.
        handle.__name__ = f"on_{action}"
        return on(action)(handle)

    return type("Obedient", (base,), {f"on_{name}": handler(name, payload) for name, payload in answers.items()})


async def begin16(station):
    await station.call(call16.BootNotification(charge_point_vendor="V", charge_point_model="M"))
    begun = await station.call(
        call16.StartTransaction(connector_id=1, id_tag="CARD", meter_start=0, timestamp=NOW)
    )
    return begun.transaction_id


async def begin201(station):
    about = {"vendor_name": "V", "model": "M"}
    await station.call(call201.BootNotification(charging_station=about, reason="PowerUp"))
    event = call201.TransactionEvent(
        event_type="Started",
        timestamp=NOW,
        trigger_reason="CablePluggedIn",
        seq_no=0,
        transaction_info={"transaction_id": "tx-1"},
        evse={"id": 1},
    )
    await station.call(event)
    return "tx-1"


async def main():
    version, port = sys.argv[1:]
    coded = base64.b64encode(b"CP-1:secret").decode()
    socket = await websockets.connect(
        f"ws://127.0.0.1:{port}/ocpp/CP-1",
        subprotocols=[f"ocpp{version}"],
        additional_headers={"Authorization": f"Basic {coded}"},
        open_timeout=60,
    )
    if version == "1.6":
        kind, begin = obedient(ChargePoint16, result16, ANSWERS16), begin16
    else:
        kind, begin = obedient(ChargePoint201, result201, ANSWERS201), begin201
    station = kind("CP-1", socket, 60)
    task = asyncio.create_task(station.start())
    print(await begin(station), flush=True)
    await task


asyncio.run(main())
