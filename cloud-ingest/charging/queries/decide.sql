-- What somebody has said, or what is certain, is not decided again.
INSERT INTO charging.vehicle AS v (transaction_id, organization_id, asset_id, confidence, certain, evidence, decided_at)
SELECT u.id, $1::int, u.asset_id, u.confidence, u.certain, string_to_array(u.evidence, ' '), $7::timestamptz
FROM unnest($2::bigint[], $3::int[], $4::double precision[], $5::boolean[], $6::text[]) AS u (id, asset_id, confidence, certain, evidence)
ORDER BY u.id
ON CONFLICT (transaction_id) DO UPDATE SET
    asset_id = excluded.asset_id, confidence = excluded.confidence, certain = excluded.certain, evidence = excluded.evidence,
    decided_at = excluded.decided_at
WHERE v.assigned_by IS NULL AND NOT v.certain
  AND (v.asset_id, v.certain) IS DISTINCT FROM (excluded.asset_id, excluded.certain)
