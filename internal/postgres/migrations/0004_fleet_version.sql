-- A number that moves with every change by which a key or an agent becomes valid
-- or stops being so. Gateways and workers ask for it every few seconds, instead of
-- asking for every key again.
CREATE TABLE fleet_version (
    one     bool PRIMARY KEY DEFAULT true CHECK (one),
    version int8 NOT NULL DEFAULT 1
);
INSERT INTO fleet_version DEFAULT VALUES;

-- In the changing transaction, so that who reads a version and then the keys never
-- holds keys that are older than the version.
CREATE FUNCTION note_fleet_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE fleet_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER agent_keys_changed AFTER INSERT OR UPDATE OR DELETE ON agent_keys
    FOR EACH STATEMENT EXECUTE FUNCTION note_fleet_change();
CREATE TRIGGER agents_changed AFTER UPDATE OF disabled_at OR DELETE ON agents
    FOR EACH STATEMENT EXECUTE FUNCTION note_fleet_change();
