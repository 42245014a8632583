// A charging station by the package `ocpp-rpc` in strict mode: every call and every answer has to keep to the official schema of
// its version. Charges once, and loses its connection after each step.
//
// Usage: node strict.cjs MODULES SUBPROTOCOL PORT. Prints one JSON object: what the central system has answered.
"use strict";

const path = require("node:path");

const [modules, version, port] = process.argv.slice(2);
const { RPCClient, createValidator } = require(path.join(modules, "ocpp-rpc"));

/** The package has the schemas of 2.1 by other names than those by which it looks for them. */
function validators() {
  if (version !== "ocpp2.1") {
    return [];
  }
  const schemas = require(path.join(modules, "ocpp-rpc/lib/schemas/ocpp2_1.json"));
  const named = (id) => id.replace(/Request$/, ".req").replace(/Response$/, ".conf");
  return [createValidator(version, schemas.map((one) => ({ ...one, $id: named(one.$id) })))];
}

const wrong = [];

async function connected() {
  const station = new RPCClient({
    endpoint: `ws://127.0.0.1:${port}/ocpp`,
    identity: "CP-1",
    password: "secret",
    protocols: [version],
    strictMode: true,
    strictModeValidators: validators(),
    reconnect: false,
  });
  station.on("strictValidationFailure", (event) => wrong.push(String(event.error)));
  station.on("badMessage", (event) => wrong.push(String(event.error)));
  await station.connect();
  return station;
}

/** Each step over a connection of its own, which is lost at once. */
async function ask(...calls) {
  const station = await connected();
  const answers = [];
  for (const [action, payload] of calls) {
    answers.push(await station.call(action, payload));
  }
  await station.close({ force: true });
  return answers.at(-1);
}

const times = [10, 11, 12].map((hour) => `2026-05-04T${hour}:00:00Z`);

async function charge16() {
  const boot = await ask(["BootNotification", { chargePointVendor: "V", chargePointModel: "M" }]);
  const allowed = await ask(
    ["StatusNotification", { connectorId: 1, errorCode: "NoError", status: "Preparing" }],
    ["Authorize", { idTag: "CARD" }],
  );
  const start = ["StartTransaction", { connectorId: 1, idTag: "CARD", meterStart: 1000, timestamp: times[0] }];
  await ask(start);
  const { transactionId } = await ask(start);
  await ask(["MeterValues", {
    connectorId: 1,
    transactionId,
    meterValue: [{ timestamp: times[1], sampledValue: [{ value: "1.75", unit: "kWh" }] }],
  }]);
  const stop = ["StopTransaction", { transactionId, meterStop: 2500, timestamp: times[2] }];
  await ask(stop);
  await ask(stop, ["Heartbeat", {}]);
  return { boot: boot.status, token: allowed.idTagInfo.status, transaction: String(transactionId) };
}

async function charge2() {
  const boot = ["BootNotification", { chargingStation: { vendorName: "V", model: "M" }, reason: "PowerUp" }];
  const booted = await ask(boot);
  const idToken = { idToken: "CARD", type: "ISO14443" };
  const status = { timestamp: times[0], connectorStatus: "Occupied", evseId: 1, connectorId: 1 };
  const allowed = await ask(boot, ["StatusNotification", status], ["Authorize", { idToken }]);
  const kinds = ["Started", "Updated", "Ended"];
  for (const [seqNo, eventType] of kinds.entries()) {
    const event = ["TransactionEvent", {
      eventType,
      seqNo,
      idToken,
      timestamp: times[seqNo],
      triggerReason: "MeterValuePeriodic",
      transactionInfo: { transactionId: "tx-1" },
      evse: { id: 1 },
      meterValue: [{ timestamp: times[seqNo], sampledValue: [{ value: [1000, 1750, 2500][seqNo] }] }],
    }];
    await ask(boot, event);
    await ask(boot, event, ["Heartbeat", {}]);
  }
  return { boot: booted.status, token: allowed.idTokenInfo.status, transaction: "tx-1" };
}

async function main() {
  const said = await (version === "ocpp1.6" ? charge16() : charge2());
  if (wrong.length > 0) {
    throw new Error(wrong.join("; "));
  }
  console.log(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
