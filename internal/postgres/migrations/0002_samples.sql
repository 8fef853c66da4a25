-- Samples: one row per collection cycle, its values in the order of a layout.
-- With TimescaleDB the three big tables are hypertables, without it natively
-- partitioned by time; columns, index and queries are the same. The runner says
-- which in the setting sentinel.engine, and the answer is kept for good.

CREATE TABLE storage (
    one         bool PRIMARY KEY DEFAULT true CHECK (one),
    engine      text NOT NULL CHECK (engine IN ('native', 'timescale')),
    -- Minutes before this are rolled up or about to be: a row that comes later marks its minute.
    dirty_below timestamptz NOT NULL DEFAULT date_trunc('minute', now()),
    minutes_to  timestamptz NOT NULL DEFAULT date_trunc('minute', now()), -- scrapes_1m is made up to here
    hours_to    timestamptz NOT NULL DEFAULT date_trunc('hour', now(), 'UTC'),   -- scrapes_1h is made up to here
    -- Retention has removed what is older: a roll-up from there can no longer be made again.
    raw_from     timestamptz NOT NULL DEFAULT '-infinity',
    minutes_from timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO storage (engine) VALUES (current_setting('sentinel.engine'));

CREATE TABLE series (
    id       int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id int8 NOT NULL REFERENCES agents ON DELETE CASCADE,
    key      bytea NOT NULL,               -- SHA-256 of name and labels: these may exceed what an index takes
    name     text NOT NULL,
    labels   jsonb NOT NULL,
    kind     int2 NOT NULL,                -- 1 gauge, 2 counter
    unit     text NOT NULL,
    UNIQUE (agent_id, key)
);
CREATE INDEX series_by_name ON series (name, agent_id);

CREATE TABLE layouts (
    id         int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id   int8 NOT NULL REFERENCES agents ON DELETE CASCADE,
    hash       bytea NOT NULL,
    definition bytea NOT NULL,             -- canonical encoding, what the hash is of
    series_ids int8[] NOT NULL,            -- series_ids[i] names the series of vals[i]
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (agent_id, hash)
);

DO $$
DECLARE
    timescale bool := current_setting('sentinel.engine') = 'timescale';
    native    text := CASE WHEN timescale THEN '' ELSE 'PARTITION BY RANGE (ts)' END;
    rollup    text := 'CREATE TABLE %I (
            ts        timestamptz NOT NULL, -- start of the minute or hour
            agent_id  int8 NOT NULL,
            layout_id int8 NOT NULL,
            mins      float8[] NOT NULL,
            maxs      float8[] NOT NULL,
            sums      float8[] NOT NULL,
            counts    int4[] NOT NULL,      -- 0 where the series had no value: the other four are NULL
            lasts     float8[] NOT NULL
        ) %s';
    t         text;
BEGIN
    EXECUTE format('CREATE TABLE scrapes (
            ts        timestamptz NOT NULL,
            agent_id  int8 NOT NULL,
            layout_id int8 NOT NULL,
            vals      float8[] NOT NULL     -- NULL where a series had no value
        ) %s', native);
    EXECUTE format(rollup, 'scrapes_1m', native);
    EXECUTE format(rollup, 'scrapes_1h', native);

    -- The one index of each. No unique key: the ledger keeps scrapes single, the
    -- single roller its roll-ups, and a unique key would cost as much as the row.
    CREATE INDEX scrapes_at ON scrapes (agent_id, ts);
    CREATE INDEX scrapes_1m_at ON scrapes_1m (agent_id, ts);
    CREATE INDEX scrapes_1h_at ON scrapes_1h (agent_id, ts);

    BEGIN
        ALTER TABLE scrapes ALTER vals SET COMPRESSION lz4;
        FOREACH t IN ARRAY ARRAY['scrapes_1m', 'scrapes_1h'] LOOP
            EXECUTE format('ALTER TABLE %I ALTER mins SET COMPRESSION lz4, ALTER maxs SET COMPRESSION lz4,
                ALTER sums SET COMPRESSION lz4, ALTER counts SET COMPRESSION lz4, ALTER lasts SET COMPRESSION lz4', t);
        END LOOP;
    EXCEPTION WHEN feature_not_supported THEN
        NULL; -- a server built without lz4 compresses with its own default
    END;

    IF timescale THEN
        PERFORM create_hypertable('scrapes', by_range('ts', INTERVAL '6 hours'), create_default_indexes => false);
        PERFORM create_hypertable('scrapes_1m', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
        PERFORM create_hypertable('scrapes_1h', by_range('ts', INTERVAL '30 days'), create_default_indexes => false);
        -- The columnstore is not part of TimescaleDB's Apache edition.
        IF current_setting('timescaledb.license', true) = 'timescale' THEN
            FOREACH t IN ARRAY ARRAY['scrapes', 'scrapes_1m', 'scrapes_1h'] LOOP
                EXECUTE format('ALTER TABLE %I SET (timescaledb.enable_columnstore,
                    timescaledb.segmentby = ''agent_id'', timescaledb.orderby = ''ts'')', t);
            END LOOP;
            CALL add_columnstore_policy('scrapes', after => INTERVAL '1 day', if_not_exists => true);
            CALL add_columnstore_policy('scrapes_1m', after => INTERVAL '7 days', if_not_exists => true);
            CALL add_columnstore_policy('scrapes_1h', after => INTERVAL '60 days', if_not_exists => true);
        END IF;
    END IF;
END
$$;

-- Minutes and hours whose roll-up is to be made again, because rows came late.
-- Append-only for the writers: two of them never wait for each other here.
CREATE TABLE rollup_dirty (
    id       int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tier     text NOT NULL CHECK (tier IN ('1m', '1h')),
    agent_id int8 NOT NULL,
    bucket   timestamptz NOT NULL
);

-- For people and SQL tools: one row per sample.
CREATE VIEW samples AS
SELECT s.ts, a.name AS agent, r.name, r.labels, u.value
FROM scrapes s
JOIN agents a ON a.id = s.agent_id
JOIN layouts l ON l.id = s.layout_id
CROSS JOIN LATERAL unnest(s.vals, l.series_ids) AS u(value, series_id)
JOIN series r ON r.id = u.series_id
WHERE u.value IS NOT NULL;

-- The last value of every series that had one within five minutes.
CREATE VIEW latest AS
SELECT s.ts, a.name AS agent, r.name, r.labels, u.value
FROM agents a
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (layout_id) ts, layout_id, vals
    FROM scrapes
    WHERE agent_id = a.id AND ts > now() - INTERVAL '5 minutes'
    ORDER BY layout_id, ts DESC
) s
JOIN layouts l ON l.id = s.layout_id
CROSS JOIN LATERAL unnest(s.vals, l.series_ids) AS u(value, series_id)
JOIN series r ON r.id = u.series_id
WHERE u.value IS NOT NULL;
