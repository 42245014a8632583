INSERT INTO charging.assumption (organization_id, energy_wh, leaves_after_s)
VALUES ((SELECT platform.current_organization()), $1, $2)
ON CONFLICT (organization_id) DO UPDATE SET energy_wh = excluded.energy_wh, leaves_after_s = excluded.leaves_after_s
