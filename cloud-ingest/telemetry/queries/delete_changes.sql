DELETE FROM telemetry.state_change
WHERE asset_id = $1 AND signal_id = $2 AND source = $3 AND time >= $4 AND time <= $5
