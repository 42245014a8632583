UPDATE telemetry.ledger AS l
SET done = u.done::int8multirange,
    blocks = l.blocks + u.blocks,
    samples = l.samples + u.samples,
    thinned = l.thinned + u.thinned,
    dropped = l.dropped + u.dropped,
    quarantined = l.quarantined + u.quarantined,
    unplaced = l.unplaced + u.unplaced,
    earliest = least(l.earliest, u.earliest),
    latest = greatest(l.latest, u.latest)
FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
        $10::timestamptz[], $11::timestamptz[])
    AS u (epoch_id, stream, done, blocks, samples, thinned, dropped, quarantined, unplaced, earliest, latest)
WHERE l.epoch_id = u.epoch_id AND l.stream = u.stream
