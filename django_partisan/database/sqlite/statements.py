"""SQLite's statements of claims and outcomes."""

from __future__ import annotations

from django_partisan.attempt import ClaimedTask
from django_partisan.database.sqlite.moments import FORMAT, NOW, seconds_from_now
from django_partisan.database.values import CLAIMABLE, DEPENDENCY, TASK, TaskUpdate

MICROSECONDS = (
    "(CAST(strftime('%%s', {0}) AS INTEGER) * 1000000"
    " + CAST(substr(strftime('%%f', {0}), 4) AS INTEGER) * 1000)"
)
# What a claim carries that is not the column of that name as it is.
_CLAIMED = {
    "due": "execute_after || ''",
    "starts_by": "(julianday(expires_at) - julianday('now')) * 86400.0",
}

# UPDATE takes no alias here, and WITH holds no UPDATE: hence two statements where others need one.
CLAIM = f"""UPDATE {TASK} SET status = 'in_process', lease = lease + 1, manager_id = %s,
       claimed_at = {NOW}, updated_at = {NOW}, attempts = attempts + 1, started_at = NULL,
       unique_key = CASE WHEN is_unique_until_finish OR unique_for_seconds IS NOT NULL
            THEN unique_key END
 WHERE id IN (SELECT id FROM ({{levels}}) LIMIT %s)
RETURNING {", ".join(_CLAIMED.get(name, name) for name in ClaimedTask._fields)}"""

# One for each priority, since there is no LATERAL: future tasks of a better priority are not read.
LEVEL = f"""SELECT * FROM (SELECT id FROM {TASK}
     WHERE {CLAIMABLE} AND queue_name = %s AND priority = %s AND execute_after <= {NOW}
     ORDER BY execute_after, id LIMIT %s)"""
_OUTCOMES = ", ".join(
    f"json_extract(value, '$[{place}]') AS x_{name}"
    for place, name in enumerate(TaskUpdate._fields)
)
_STILL_OURS = f"{TASK}.id = x.x_id AND {TASK}.lease = x.x_lease AND {TASK}.status = 'in_process'"

# What would wait again ends here where that was asked for.
_STATUS = """CASE WHEN x.x_status = 'new' AND cancel_requested_at IS NOT NULL THEN 'cancelled'
            ELSE x.x_status END"""
_RECORD = f"""UPDATE {TASK} SET status = {_STATUS}, result = x.x_result, manager_id = NULL,
       updated_at = {NOW},
       execute_after = CASE
            WHEN x.x_due_at IS NOT NULL THEN strftime({FORMAT}, x.x_due_at, 'unixepoch')
            WHEN x.x_delay_seconds IS NOT NULL THEN {seconds_from_now("x.x_delay_seconds")}
            ELSE execute_after END,
       claimed_at = CASE WHEN {_STATUS} = 'new' THEN NULL ELSE claimed_at END,
       started_at = CASE WHEN {_STATUS} = 'new' OR x.x_started_ago IS NULL THEN NULL
            ELSE {seconds_from_now("-x.x_started_ago")} END,
       finished_at = CASE WHEN {_STATUS} = 'new' THEN NULL
            ELSE {seconds_from_now("-x.x_ended_ago")} END,
       unique_key = CASE WHEN {_STATUS} = 'new' OR unique_for_seconds IS NOT NULL
            THEN unique_key END,
       attempts = attempts + x.x_attempts, retries = retries + x.x_retries,
       postpones = postpones + x.x_postpones, rescues = rescues + x.x_rescues,
       crashes = crashes + x.x_crashes, lease = lease + x.x_leases
  FROM (SELECT {_OUTCOMES} FROM json_each(%s)) AS x
 WHERE {_STILL_OURS}"""
# What others wait for leaves a mark as well, and so is a transaction of two statements.
RECORD_PLAIN = f"{_RECORD} AND NOT has_dependents RETURNING id, status"
RECORD_PARENTS = f"{_RECORD} AND has_dependents RETURNING id, status"
REQUEST_CANCEL = f"""UPDATE {TASK} SET
       status = CASE WHEN status = 'in_process' THEN status ELSE 'cancelled' END,
       cancel_requested_at = COALESCE(cancel_requested_at, {NOW}),
       finished_at = CASE WHEN status <> 'in_process' THEN {NOW} END,
       unique_key = CASE WHEN status = 'in_process' THEN unique_key END, held_by = NULL,
       updated_at = {NOW}
 WHERE id IN (SELECT value FROM json_each(%s)) AND status IN ('new', 'waiting', 'in_process')
RETURNING id, status, queue_name, has_dependents"""
DELETE = f"""DELETE FROM {TASK}
 WHERE status = 'in_process' AND unique_for_seconds IS NULL AND NOT has_dependents AND id IN (
    SELECT t.id FROM {TASK} t JOIN (SELECT {_OUTCOMES} FROM json_each(%s)) x
        ON t.id = x.x_id AND t.lease = x.x_lease)
RETURNING id, EXISTS (SELECT 1 FROM {DEPENDENCY} d WHERE d.child_id = {TASK}.id)"""
FORGET = f"DELETE FROM {DEPENDENCY} WHERE child_id IN (SELECT value FROM json_each(%s))"
REGAIN = f"""UPDATE {TASK} SET unique_key = unique_hash
 WHERE id IN (SELECT min(id) FROM {TASK}
         WHERE id IN (SELECT value FROM json_each(%s)) AND status = 'new'
           AND unique_key IS NULL AND unique_hash IS NOT NULL GROUP BY unique_hash)
   AND NOT EXISTS (SELECT 1 FROM {TASK} d WHERE d.unique_key = {TASK}.unique_hash)"""
