-- Whose positions are not everybody's business: the car of somebody who buys it by driving it is theirs when their shift
-- is over. What a shift is, other rooms know; they keep the intervals.

CREATE TABLE platform.position_rule (
    organization_id int NOT NULL,
    asset_id int NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    PRIMARY KEY (asset_id, since),
    FOREIGN KEY (organization_id, asset_id) REFERENCES platform.asset (organization_id, id),
    CHECK (until > since)
);
COMMENT ON TABLE platform.position_rule IS 'Assets whose positions are hidden but in the intervals of platform.position_interval.';
COMMENT ON COLUMN platform.position_rule.organization_id IS 'Who owns the asset.';
COMMENT ON COLUMN platform.position_rule.asset_id IS 'The asset.';
COMMENT ON COLUMN platform.position_rule.since IS 'From when its positions are hidden.';
COMMENT ON COLUMN platform.position_rule.until IS 'Until when; NULL: for good.';
COMMENT ON COLUMN platform.position_rule.reason IS 'Why, such as the contract; names nobody.';

CREATE TABLE platform.position_interval (
    organization_id int NOT NULL,
    asset_id int NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    PRIMARY KEY (asset_id, since),
    FOREIGN KEY (organization_id, asset_id) REFERENCES platform.asset (organization_id, id),
    CHECK (until > since)
);
COMMENT ON TABLE platform.position_interval IS 'When positions may be shown of assets that stand in platform.position_rule: shifts.';
COMMENT ON COLUMN platform.position_interval.organization_id IS 'Who owns the asset.';
COMMENT ON COLUMN platform.position_interval.asset_id IS 'The asset.';
COMMENT ON COLUMN platform.position_interval.since IS 'From when on.';
COMMENT ON COLUMN platform.position_interval.until IS 'Before when; NULL: it goes on.';

CALL platform.protect('platform.position_rule', reader_may => true);
CALL platform.protect('platform.position_interval', reader_may => true);

CREATE FUNCTION platform.is_position(signal text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT signal LIKE 'Vehicle.CurrentLocation.%'
$$;
COMMENT ON FUNCTION platform.is_position IS 'Whether a signal tells where its vehicle is (COVESA VSS, branch Vehicle.CurrentLocation).';

CREATE FUNCTION platform.position_shown(asset int, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT NOT EXISTS (SELECT FROM platform.position_rule AS r
                       WHERE r.asset_id = asset AND r.since <= at AND (r.until IS NULL OR at < r.until))
        OR EXISTS (SELECT FROM platform.position_interval AS i
                   WHERE i.asset_id = asset AND i.since <= at AND (i.until IS NULL OR at < i.until))
$$;
COMMENT ON FUNCTION platform.position_shown IS 'Whether the position of an asset at this time may be shown. Everything that gives positions to people asks it.';
