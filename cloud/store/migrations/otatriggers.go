package migrations

// The triggers that keep ota_count and ota_event of 0055_ota_state.sql, in each engine's own language.
const (
	otaTriggersSQLite = `
-- +goose StatementBegin
CREATE TRIGGER ota_count_insert AFTER INSERT ON ota_deployment BEGIN
    INSERT INTO ota_count (task, wave, state, class, lane, n) VALUES (new.task, new.wave, new.state, new.class, 0, 1)
        ON CONFLICT (task, wave, state, class, lane) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ota_count_update AFTER UPDATE OF state, class, wave, attempt, bytes ON ota_deployment
    WHEN old.state <> new.state OR old.class <> new.class OR old.wave <> new.wave OR old.attempt <> new.attempt OR old.bytes <> new.bytes BEGIN
    UPDATE ota_count SET n = n - 1 WHERE task = old.task AND wave = old.wave AND state = old.state AND class = old.class AND lane = 0;
    INSERT INTO ota_count (task, wave, state, class, lane, n, offers, bytes)
        VALUES (new.task, new.wave, new.state, new.class, 0, 1, MAX(new.attempt - old.attempt, 0), new.bytes - old.bytes)
        ON CONFLICT (task, wave, state, class, lane) DO UPDATE SET n = n + 1, offers = offers + excluded.offers, bytes = bytes + excluded.bytes;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ota_event_update AFTER UPDATE OF state, class, attempt ON ota_deployment
    WHEN old.state <> new.state OR old.class <> new.class OR old.attempt <> new.attempt BEGIN
    INSERT INTO ota_event (task, device, revision, at, state, class, code, attempt)
        VALUES (new.task, new.device, new.revision, new.updated_at, new.state, new.class, new.code, new.attempt);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ota_count_delete AFTER DELETE ON ota_deployment BEGIN
    UPDATE ota_count SET n = n - 1 WHERE task = old.task AND wave = old.wave AND state = old.state AND class = old.class AND lane = 0;
    DELETE FROM ota_event WHERE task = old.task AND device = old.device;
END;
-- +goose StatementEnd`
	otaTriggersSQLiteDrop = `
DROP TRIGGER ota_count_insert;
DROP TRIGGER ota_count_update;
DROP TRIGGER ota_event_update;
DROP TRIGGER ota_count_delete;`

	// A connection counts in a lane of its own, or shares one with few others: two nodes would else wait for each other's commits, as each
	// commit of devices of one campaign touches the same few rows.
	otaTriggersPostgres = `
-- +goose StatementBegin
CREATE FUNCTION ota_count_add(t BIGINT, w SMALLINT, s SMALLINT, c TEXT, dn BIGINT, doffers BIGINT, dbytes BIGINT) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ota_count (task, wave, state, class, lane, n, offers, bytes) VALUES (t, w, s, c, pg_backend_pid() % 16, dn, doffers, dbytes)
        ON CONFLICT (task, wave, state, class, lane) DO UPDATE SET n = ota_count.n + excluded.n, offers = ota_count.offers + excluded.offers,
            bytes = ota_count.bytes + excluded.bytes
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION ota_count_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM ota_count_add(new.task, new.wave, new.state, new.class, 1, 0, 0);
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION ota_count_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM ota_count_add(old.task, old.wave, old.state, old.class, -1, 0, 0);
    PERFORM ota_count_add(new.task, new.wave, new.state, new.class, 1, GREATEST(new.attempt - old.attempt, 0), new.bytes - old.bytes);
    IF old.state <> new.state OR old.class <> new.class OR old.attempt <> new.attempt THEN
        INSERT INTO ota_event (task, device, revision, at, state, class, code, attempt)
            VALUES (new.task, new.device, new.revision, new.updated_at, new.state, new.class, new.code, new.attempt);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION ota_count_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM ota_count_add(old.task, old.wave, old.state, old.class, -1, 0, 0);
    DELETE FROM ota_event WHERE task = old.task AND device = old.device;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER ota_count_insert AFTER INSERT ON ota_deployment FOR EACH ROW EXECUTE FUNCTION ota_count_insert();
CREATE TRIGGER ota_count_update AFTER UPDATE ON ota_deployment FOR EACH ROW
    WHEN (old.state <> new.state OR old.class <> new.class OR old.wave <> new.wave OR old.attempt <> new.attempt OR old.bytes <> new.bytes)
    EXECUTE FUNCTION ota_count_update();
CREATE TRIGGER ota_count_delete AFTER DELETE ON ota_deployment FOR EACH ROW EXECUTE FUNCTION ota_count_delete();`
	otaTriggersPostgresDrop = `
DROP TRIGGER ota_count_insert ON ota_deployment;
DROP TRIGGER ota_count_update ON ota_deployment;
DROP TRIGGER ota_count_delete ON ota_deployment;
DROP FUNCTION ota_count_insert();
DROP FUNCTION ota_count_update();
DROP FUNCTION ota_count_delete();
DROP FUNCTION ota_count_add(BIGINT, SMALLINT, SMALLINT, TEXT, BIGINT, BIGINT, BIGINT);`
)
