INSERT INTO telemetry.signal (id, column_name, column_type, name, standard, unit, resolution, least, greatest, class, about)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::numeric, $8, $9, $10, $11)
