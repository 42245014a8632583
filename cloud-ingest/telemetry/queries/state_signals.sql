SELECT column_name FROM telemetry.state_signal
