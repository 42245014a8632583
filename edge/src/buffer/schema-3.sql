-- A gap record stands for a range of numbers, `seq` to `last`: blocks that were dropped side by side before anybody had seen one
-- of them. Its bytes are the record of `seq`, which counts the samples of all of them (`gone` and `thinned`); those of the
-- further numbers count none, and are made of it when they are sent. `gap` is the reason. What an older gateway left has none
-- here, and stays one by one.
ALTER TABLE block ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN gap TEXT;
ALTER TABLE block ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;

-- The order of sending. Each number of a range has a place of its own: the first one's, and so on.
ALTER TABLE block ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
UPDATE block SET last = seq, place = id << 24;
DROP INDEX block_by_state;
CREATE INDEX block_by_place ON block (state, priority, place);

-- `offered` is 2 where a block may be published at any moment without another mark: nobody has it as long as this run of the
-- gateway has not given it away, but the next run has to take it for published.
