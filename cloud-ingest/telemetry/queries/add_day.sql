SELECT telemetry.add_day($1::text, $2)
