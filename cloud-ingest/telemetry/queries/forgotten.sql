SELECT f.until FROM telemetry.forgotten AS f FOR SHARE
