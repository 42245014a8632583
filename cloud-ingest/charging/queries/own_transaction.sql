SELECT 1 FROM telemetry.own_charging_transaction WHERE id = $1
