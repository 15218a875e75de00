package migrations

// The triggers that keep device_count of 0006_registry.sql, in each engine's own language.
const (
	// A product's four rows are there from its beginning, so that a change of state is one statement.
	countTriggersSQLite = `
-- +goose StatementBegin
CREATE TRIGGER device_count_product AFTER INSERT ON product BEGIN
    INSERT INTO device_count (product, state, n) VALUES (new.sn, 0, 0), (new.sn, 1, 0), (new.sn, 2, 0), (new.sn, 3, 0);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER device_count_insert AFTER INSERT ON device BEGIN
    UPDATE device_count SET n = n + 1 WHERE product = new.product AND state = new.state;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER device_count_update AFTER UPDATE OF state ON device WHEN old.state <> new.state BEGIN
    UPDATE device_count SET n = n + CASE state WHEN new.state THEN 1 ELSE -1 END
        WHERE product = new.product AND state IN (old.state, new.state);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER device_count_delete AFTER DELETE ON device BEGIN
    UPDATE device_count SET n = n - 1 WHERE product = old.product AND state = old.state;
END;
-- +goose StatementEnd`
	countTriggersSQLiteDrop = `
DROP TRIGGER device_count_product;
DROP TRIGGER device_count_insert;
DROP TRIGGER device_count_update;
DROP TRIGGER device_count_delete;`

	// What 0020_connection.sql puts in the place of device_count_update: two updates of a row each, where the list after IN was a table
	// that SQLite made and dropped for each change.
	countUpdateSQLite = `
DROP TRIGGER device_count_update;
-- +goose StatementBegin
CREATE TRIGGER device_count_update AFTER UPDATE OF state ON device WHEN old.state <> new.state BEGIN
    UPDATE device_count SET n = n - 1 WHERE product = new.product AND state = old.state;
    UPDATE device_count SET n = n + 1 WHERE product = new.product AND state = new.state;
END;
-- +goose StatementEnd`
	countUpdateSQLiteBefore = `
DROP TRIGGER device_count_update;
-- +goose StatementBegin
CREATE TRIGGER device_count_update AFTER UPDATE OF state ON device WHEN old.state <> new.state BEGIN
    UPDATE device_count SET n = n + CASE state WHEN new.state THEN 1 ELSE -1 END
        WHERE product = new.product AND state IN (old.state, new.state);
END;
-- +goose StatementEnd`

	countTriggersPostgres = `
-- +goose StatementBegin
CREATE FUNCTION device_count_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO device_count_delta (product, state, n) SELECT product, state, COUNT(*) FROM fresh GROUP BY product, state;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION device_count_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO device_count_delta (product, state, n) VALUES (OLD.product, OLD.state, -1), (NEW.product, NEW.state, 1);
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION device_count_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO device_count_delta (product, state, n) SELECT product, state, -COUNT(*) FROM gone GROUP BY product, state;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER device_count_insert AFTER INSERT ON device REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION device_count_insert();
CREATE TRIGGER device_count_update AFTER UPDATE OF state ON device
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION device_count_update();
CREATE TRIGGER device_count_delete AFTER DELETE ON device REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION device_count_delete();`
	countTriggersPostgresDrop = `
DROP TRIGGER device_count_insert ON device;
DROP TRIGGER device_count_update ON device;
DROP TRIGGER device_count_delete ON device;
DROP FUNCTION device_count_insert();
DROP FUNCTION device_count_update();
DROP FUNCTION device_count_delete();`
)
