"""The floor: a WSGI application without a framework that calls one database function for each request.

It writes the same rows as the platform's holds (key, cap, purse, tranche, hold, part, entries, usage, trail), each
request in a transaction of its own, and asks nobody who they are. psycopg prepares the two calls by itself.
"""

import os
import queue
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import psycopg

CONNECTIONS = 8  # few for one hot row: more only wait

FUNCTIONS = """
CREATE OR REPLACE FUNCTION bare_reserve(
    p_key text, p_body text, p_budget uuid, p_person uuid, p_flavor uuid, p_seconds int, p_purpose text, p_expires int
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp(); v_tx uuid := uuidv7(); v_hold uuid := uuidv7(); v_center uuid;
    v_price bigint; v_amount bigint; v_rest bigint; v_part bigint; v_position int := 0; t record; v_known record;
    v_body text := encode(sha256(p_body::bytea), 'hex');
BEGIN
    SELECT f.center_id, coalesce(r.price_micro, f.price_micro) INTO v_center, v_price
    FROM flavor f LEFT JOIN LATERAL (
        SELECT price_micro FROM rate WHERE flavor_id = f.id AND valid_from <= v_now ORDER BY valid_from DESC LIMIT 1
    ) r ON true WHERE f.id = p_flavor;
    v_amount := (v_price * p_seconds + 3599) / 3600; v_rest := v_amount;
    SELECT hold_id, body_sha256 INTO v_known FROM ledger_transaction WHERE key = p_key;
    IF FOUND THEN
        IF v_known.body_sha256 <> v_body THEN RAISE EXCEPTION 'idempotency-conflict'; END IF;
        RETURN v_known.hold_id;
    END IF;
    UPDATE member_cap SET held = held + v_amount
    WHERE budget_id = p_budget AND person_id = p_person AND is_open
      AND (cap_micro IS NULL OR held + used + v_amount <= cap_micro);
    IF NOT FOUND THEN RAISE EXCEPTION 'member-cap-exhausted'; END IF;
    UPDATE purse SET available = available - v_amount, held = held + v_amount
    WHERE budget_id = p_budget AND overrun = 0 AND available >= v_amount;
    IF NOT FOUND THEN RAISE EXCEPTION 'budget-exhausted'; END IF;
    INSERT INTO hold (id, created_at, budget_id, person_id, center_id, flavor_id, seconds, amount, price_micro, purpose,
                      expires_at, posted_seconds, posted_micro, state)
    VALUES (v_hold, v_now, p_budget, p_person, v_center, p_flavor, p_seconds, v_amount, v_price, p_purpose,
            v_now + make_interval(secs => p_expires), 0, 0, 'open');
    INSERT INTO ledger_transaction (id, created_at, key, command, body_sha256, hold_id)
    VALUES (v_tx, v_now, p_key, 'reserve', v_body, v_hold);
    FOR t IN SELECT id, remaining FROM tranche
             WHERE budget_id = p_budget AND remaining > 0 AND valid_from <= v_now AND valid_until > v_now
             ORDER BY valid_until, id FOR UPDATE LOOP
        EXIT WHEN v_rest = 0;
        v_part := least(v_rest, t.remaining); v_rest := v_rest - v_part;
        UPDATE tranche SET remaining = remaining - v_part WHERE id = t.id;
        INSERT INTO hold_part (hold_id, tranche_id, position, amount, used)
        VALUES (v_hold, t.id, v_position, v_part, 0);
        v_position := v_position + 1;
        INSERT INTO ledger_entry (transaction_id, account, budget_id, tranche_id, amount)
        VALUES (v_tx, 'available', p_budget, t.id, -v_part), (v_tx, 'held', p_budget, t.id, v_part);
    END LOOP;
    IF v_rest > 0 THEN RAISE EXCEPTION 'budget-exhausted'; END IF;
    INSERT INTO audit_entry (id, created_at, actor_id, actor_name, action, subject, subject_id, partner_id, changes,
                             address)
    SELECT uuidv7(), v_now, NULL, 'bench', 'hold.reserve', 'hold', v_hold, partner_id,
        jsonb_build_object('budget', p_budget, 'person', p_person, 'seconds', p_seconds, 'amount_micro', v_amount,
                           'purpose', p_purpose), '127.0.0.1'
    FROM budget WHERE id = p_budget;
    RETURN v_hold;
END $$;

CREATE OR REPLACE FUNCTION bare_settle(p_hold uuid, p_seconds int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp(); v_tx uuid := uuidv7(); h record; p record;
    v_cost bigint; v_charge bigint; v_rest bigint; v_taken bigint; v_back bigint; v_returned bigint := 0;
BEGIN
    SELECT * INTO h FROM hold WHERE id = p_hold FOR UPDATE;
    IF h.state <> 'open' THEN RETURN h.posted_micro; END IF;
    INSERT INTO ledger_transaction (id, created_at, key, command, body_sha256, hold_id)
    VALUES (v_tx, v_now, 'settle:' || p_hold, 'settle', encode(sha256(p_seconds::text::bytea), 'hex'), p_hold);
    v_cost := h.price_micro * p_seconds / 3600; v_charge := v_cost - h.posted_micro; v_rest := v_charge;
    UPDATE member_cap SET held = held - h.amount, used = used + v_charge
    WHERE budget_id = h.budget_id AND person_id = h.person_id;
    UPDATE purse SET held = held - h.amount, used = used + v_charge, available = available + h.amount - v_charge
    WHERE budget_id = h.budget_id;
    FOR p IN SELECT * FROM hold_part WHERE hold_id = p_hold ORDER BY position LOOP
        v_taken := least(v_rest, p.amount - p.used); v_rest := v_rest - v_taken;
        v_back := p.amount - p.used - v_taken; v_returned := v_returned + v_back;
        UPDATE hold_part SET used = used + v_taken WHERE hold_id = p_hold AND tranche_id = p.tranche_id;
        UPDATE tranche SET remaining = remaining + v_back WHERE id = p.tranche_id;
        INSERT INTO ledger_entry (transaction_id, account, budget_id, tranche_id, center_id, amount)
        VALUES (v_tx, 'held', h.budget_id, p.tranche_id, NULL, -v_taken),
               (v_tx, 'used', h.budget_id, p.tranche_id, h.center_id, v_taken),
               (v_tx, 'held', h.budget_id, p.tranche_id, NULL, -v_back),
               (v_tx, 'available', h.budget_id, p.tranche_id, NULL, v_back);
    END LOOP;
    INSERT INTO usage_day (budget_id, day, person_id, flavor_id, micro, seconds, sessions)
    VALUES (h.budget_id, (v_now AT TIME ZONE 'Asia/Shanghai')::date, h.person_id, h.flavor_id, v_charge, p_seconds, 1)
    ON CONFLICT (budget_id, day, person_id, flavor_id) DO UPDATE SET micro = usage_day.micro + excluded.micro,
        seconds = usage_day.seconds + excluded.seconds, sessions = usage_day.sessions + 1;
    UPDATE hold SET state = 'settled', closed_at = v_now, posted_seconds = p_seconds, posted_micro = v_cost,
                    started_at = coalesce(started_at, created_at)
    WHERE id = p_hold;
    INSERT INTO audit_entry (id, created_at, actor_id, actor_name, action, subject, subject_id, partner_id, changes,
                             address)
    SELECT uuidv7(), v_now, NULL, 'bench', 'hold.settle', 'hold', p_hold, partner_id,
        jsonb_build_object('seconds', p_seconds, 'charged_micro', v_cost), '127.0.0.1'
    FROM budget WHERE id = h.budget_id;
    RETURN v_cost;
END $$;
"""

StartResponse = Callable[[str, list[tuple[str, str]]], object]
RESERVE = "SELECT bare_reserve(%s, %s, %s, %s, %s, %s, %s, %s)"
SETTLE = "SELECT bare_settle(%s, %s)"

_pool: "queue.LifoQueue[psycopg.Connection[Any]]" = queue.LifoQueue()


def _connect() -> None:
    url = os.environ.get("DATABASE_URL")
    if url:
        plain = url.replace("postgresql+psycopg://", "postgresql://")
        for _ in range(CONNECTIONS):
            _pool.put(psycopg.connect(plain, autocommit=True))


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "GET":
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]
    body = orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    connection = _pool.get()
    try:
        if environ["PATH_INFO"] == "/reserve":
            asked = (
                *(environ["HTTP_IDEMPOTENCY_KEY"], orjson.dumps(body).decode()),
                *(uuid.UUID(body["budget_id"]), uuid.UUID(body["person_id"]), uuid.UUID(body["flavor_id"])),
                *(body["seconds"], body["purpose"], body["expires_in"]),
            )
            (row,) = connection.execute(RESERVE, asked)
            answer = {"id": row[0]}
        else:
            (row,) = connection.execute(SETTLE, (uuid.UUID(body["id"]), body["seconds"]))
            answer = {"id": body["id"], "posted_micro": row[0]}
    finally:
        _pool.put(connection)
    sent = orjson.dumps(answer)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(sent)))])
    return [sent]


_connect()
