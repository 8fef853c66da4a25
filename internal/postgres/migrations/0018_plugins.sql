-- Plugins that people have uploaded, which agents are to run them, and how they fare.
CREATE TABLE plugin_bundles (
    id         int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    version    text NOT NULL,
    digest     text NOT NULL UNIQUE,
    signer     text NOT NULL,
    manifest   text NOT NULL,
    content    bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, version)
);
ALTER TABLE plugin_bundles ALTER COLUMN content SET STORAGE EXTERNAL; -- it is read in parts

CREATE TABLE plugin_rollouts (
    name         text PRIMARY KEY, -- of the plugin
    bundle_id    int8 NOT NULL REFERENCES plugin_bundles ON DELETE CASCADE,
    previous_id  int8 REFERENCES plugin_bundles ON DELETE SET NULL, -- for agents whose turn has not come
    selector     jsonb NOT NULL DEFAULT '{}',
    stages       int4[] NOT NULL,        -- percent of the agents, rising, the last is 100
    stage        int4 NOT NULL DEFAULT 1, -- the place in stages, from 1 on
    hold_seconds int4 NOT NULL,          -- that a stage lasts at the least
    stage_at     timestamptz NOT NULL DEFAULT now(),
    halted       text NOT NULL DEFAULT '', -- why it goes no further
    changed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER plugin_rollouts_changed AFTER INSERT OR UPDATE OR DELETE ON plugin_rollouts
    FOR EACH STATEMENT EXECUTE FUNCTION note_fleet_change();

-- What an agent's turn is, 0 to 99: another one for each plugin.
CREATE FUNCTION plugin_turn(agent text, plugin text) RETURNS int4 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || substr(md5(agent || '/' || plugin), 1, 7))::bit(28)::int4 % 100
$$;

CREATE TABLE plugin_reports (
    agent_id    int8 NOT NULL REFERENCES agents ON DELETE CASCADE,
    name        text NOT NULL,
    version     text NOT NULL,
    digest      text NOT NULL,
    state       text NOT NULL,
    error       text NOT NULL,
    unsigned    bool NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent_id, name, digest)
);
CREATE INDEX plugin_reports_name ON plugin_reports (name);
