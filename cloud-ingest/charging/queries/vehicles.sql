SELECT transaction_id, asset_id, confidence, certain, evidence, assigned_by, decided_at
FROM charging.vehicle WHERE transaction_id = ANY($1)
