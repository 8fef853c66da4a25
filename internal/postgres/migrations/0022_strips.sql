-- A second form of the newest minutes, for pictures of one series over many hosts: one
-- row for an hour and eight series of a layout, the sixty minutes of each beside each
-- other. To read a day of one series is to read 24 rows, not 1,440. Made together with
-- the hour's roll-up, from the same minutes, and made again with it; kept for days.
DO $$
DECLARE
    timescale bool := current_setting('sentinel.engine') = 'timescale';
BEGIN
    EXECUTE 'CREATE TABLE strips_1m (
            ts        timestamptz NOT NULL, -- start of the hour
            agent_id  int8 NOT NULL,
            layout_id int8 NOT NULL,
            part      int4 NOT NULL,        -- 0: the first eight series, 1: the next eight ...
            present   int8 NOT NULL,        -- bit i is set where minute i has a roll-up
            mins      float8[] NOT NULL,    -- of series k of the part, minute i: element 60 * k + i + 1
            maxs      float8[] NOT NULL,
            sums      float8[] NOT NULL,
            counts    int4[] NOT NULL,
            lasts     float8[] NOT NULL
        )' || CASE WHEN timescale THEN '' ELSE ' PARTITION BY RANGE (ts)' END;
    CREATE INDEX strips_1m_at ON strips_1m (agent_id, layout_id, part, ts);
    BEGIN
        ALTER TABLE strips_1m ALTER mins SET COMPRESSION lz4, ALTER maxs SET COMPRESSION lz4,
            ALTER sums SET COMPRESSION lz4, ALTER counts SET COMPRESSION lz4, ALTER lasts SET COMPRESSION lz4;
    EXCEPTION WHEN feature_not_supported THEN
        NULL; -- as for the tables that it is made from
    END;
    -- What most pictures are drawn from stays in the row, as in scrapes_1m.
    ALTER TABLE strips_1m ALTER lasts SET STORAGE MAIN, ALTER sums SET STORAGE MAIN;
    IF timescale THEN
        PERFORM create_hypertable('strips_1m', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
    END IF;
END
$$;

-- Hours before this have none, or no longer.
ALTER TABLE storage ADD strips_from timestamptz NOT NULL DEFAULT '-infinity';
UPDATE storage SET strips_from = hours_to
WHERE EXISTS (SELECT FROM scrapes_1m) OR EXISTS (SELECT FROM rollup_dirty);
