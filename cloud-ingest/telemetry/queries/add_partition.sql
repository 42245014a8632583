SELECT telemetry.add_partition($1::text, $2::text, $3)
