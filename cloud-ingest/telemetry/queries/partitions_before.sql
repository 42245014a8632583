SELECT telemetry.partitions_before($1::text, $2::text, $3)
