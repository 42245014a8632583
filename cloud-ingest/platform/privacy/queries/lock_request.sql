-- A request that is to be carried out, held until the transaction ends.
SELECT kind, subject, state, also, receipt, asked_by, request_id FROM privacy.request
WHERE organization_id = $1 AND id = $2 FOR UPDATE
