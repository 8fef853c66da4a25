-- Stretches of time in which an agent's data came after its minutes were closed: the
-- roll-ups were made again then, and pictures say so.
CREATE TABLE late_data (
    agent_id int8 NOT NULL,
    since    timestamptz NOT NULL, -- whole minutes, by the samples' own time
    until    timestamptz NOT NULL, -- excluded
    noted_at timestamptz NOT NULL  -- when the last of it was rolled up
);
CREATE INDEX late_data_at ON late_data (agent_id, since);

-- How long samples are kept: what a worker's configuration file says, and what somebody
-- has chosen instead. NULL: the file says, or said, nothing.
CREATE TABLE retention (
    one               bool PRIMARY KEY DEFAULT true CHECK (one),
    configured_raw    interval,
    configured_minute interval,
    configured_hour   interval,
    chosen_raw        interval,
    chosen_minute     interval,
    chosen_hour       interval,
    changed_at        timestamptz,
    changed_by        text NOT NULL DEFAULT ''
);
INSERT INTO retention DEFAULT VALUES;
