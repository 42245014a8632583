-- Transactions at stations that tell none: their gateways make them of what they read.

COMMENT ON TABLE telemetry.charging_transaction IS 'Charging transactions, as their stations told them, or as their gateways made them of what is read of a station: the latest word on each.';
COMMENT ON COLUMN telemetry.charging_transaction.station IS 'The station, as it calls itself; one that is only read: as its gateway calls it.';
COMMENT ON COLUMN telemetry.charging_transaction.name IS 'The transaction: the number that the gateway gave (OCPP 1.6), the station''s own name of it (2.0.1), or the gateway''s where the station is only read.';
COMMENT ON COLUMN telemetry.charging_transaction.token IS 'Whose token began it; NULL: none was told.';
COMMENT ON COLUMN telemetry.charging_transaction.incomplete IS 'Whether some of what happened is missing: the station left it out (2.0.1: gaps in seqNo), or nobody read the station for so long that it may be of several cars.';
