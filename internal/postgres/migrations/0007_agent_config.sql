-- What agents are told to collect, by their labels.
CREATE SEQUENCE agent_config_version; -- every content ever has a number of its own

CREATE TABLE agent_configs (
    id         int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    selector   jsonb NOT NULL DEFAULT '{}', -- for the agents that have all of these labels
    priority   int4 NOT NULL DEFAULT 0,     -- of those that fit, the highest counts, then the oldest
    content    text NOT NULL,               -- YAML
    version    int8 NOT NULL DEFAULT nextval('agent_config_version'),
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- What an agent said it runs with, and why it does not run with what it was told.
ALTER TABLE agents
    ADD COLUMN config_version int8 NOT NULL DEFAULT 0,
    ADD COLUMN config_refused int8 NOT NULL DEFAULT 0, -- the last version that it did not apply
    ADD COLUMN config_error   text NOT NULL DEFAULT '';

CREATE TRIGGER agent_configs_changed AFTER INSERT OR UPDATE OR DELETE ON agent_configs
    FOR EACH STATEMENT EXECUTE FUNCTION note_fleet_change();
CREATE TRIGGER agents_relabelled AFTER UPDATE OF labels ON agents
    FOR EACH STATEMENT EXECUTE FUNCTION note_fleet_change();
