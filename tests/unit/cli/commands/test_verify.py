import json
from typing import Any


def test_a_whole_ledger(place: Any) -> None:
    said = place.call("verify")
    records = len(place.paths.ledger.read_bytes().splitlines())
    assert (said.code, said.out.splitlines()[-1]) == (0, f"ok: {records} records, run {place.paths.run_id}")
    found = json.loads(place.call("verify", "--json").out)
    assert found == {
        "ok": True, "run_id": place.paths.run_id, "records": records, "torn_bytes": 0, "fault": None, "differences": [],
        "not_covered": ["owner.json", "run.lock"],
    }  # fmt: skip


def test_a_changed_record_is_named_with_its_offset(place: Any) -> None:
    lines = place.paths.ledger.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"attempt":1', b'"attempt":9')
    place.paths.ledger.write_bytes(b"".join(lines))
    said = place.call("verify", "--json")
    made = json.loads(said.out)
    assert (said.code, made["ok"], made["records"]) == (1, False, 3)
    assert (made["fault"]["seq"], made["fault"]["offset"]) == (3, sum(map(len, lines[:3])))
    assert "does not match" in made["fault"]["reason"]
    assert f"record 3 at byte {made['fault']['offset']}" in place.call("verify").out


def test_a_torn_tail_is_reported_and_left(place: Any) -> None:
    with place.paths.ledger.open("ab") as file:
        file.write(b'{"half')
    before = place.paths.ledger.read_bytes()
    said = place.call("verify")
    assert said.code == 0
    assert "a torn tail of 6 bytes: the next resume cuts it off" in said.out
    assert place.paths.ledger.read_bytes() == before


def test_a_cut_off_end_is_noticed(place: Any) -> None:
    lines = place.paths.ledger.read_bytes().splitlines(keepends=True)
    place.paths.ledger.write_bytes(b"".join(lines[:-1]))
    said = place.call("verify")
    assert said.code == 1
    assert "its end was cut off" in said.out


def test_records_that_verify_but_make_no_sense(place: Any) -> None:
    """Whoever can hash can forge a chain; the moves must still be legal."""
    from branchline.ledger.codec import GENESIS, decode, encode

    prev, sha = GENESIS, GENESIS
    forged: list[bytes] = []
    for seq, line in enumerate(place.paths.ledger.read_bytes().splitlines()):
        record = decode(line, seq=seq, prev=prev)
        prev = record.sha
        if seq != 2:
            record = type(record)(
                seq=len(forged), epoch=1, id=record.id, at=record.at, run_id=record.run_id, event=record.event
            )
            made, sha = encode(record, sha)
            forged.append(made)
    place.paths.ledger.write_bytes(b"".join(forged))
    place.paths.head.unlink()
    said = place.call("verify")
    assert said.code == 1
    assert "does not make sense" in said.out


def test_an_empty_ledger_never_began(place: Any) -> None:
    place.paths.ledger.write_bytes(b"")
    place.paths.head.unlink()
    said = place.call("verify", place.paths.run_id)
    assert said.code == 1
    assert "never began" in said.out
