"""Files whose times count from the beginning of a capture: an import says so, and which they are."""

from datetime import UTC, tzinfo
from pathlib import Path

import orjson
import pytest

from collectors.decoders import Hints
from collectors.envelope import Origin
from collectors.import_files import Result, _as_json, _look_at, _print
from collectors.reading import read_file
from pipeline.messages import speaking

_ZONE: tzinfo = UTC


def test_an_import_says_which_files_have_no_times(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    origin = Origin("import", "here", "vn", Hints(timezone=_ZONE))
    result = Result()
    folder = shared_data / "zeek" / "malicious15"  # Zeek's logs of a capture that begins at 0; one log has real times
    for name in ("conn.log", "ssl.log", "software.log"):
        for lines, _ in read_file(folder / name, origin, 131_072):
            result.read += len(lines)
            _look_at(lines, folder / name, result)
            claimed = [
                event["labels.claimed_time"] for line in lines if "labels.claimed_time" in (event := orjson.loads(line))
            ]
            assert all(each.startswith("1970-01-0") for each in claimed)
    assert dict(result.retimed) == {str(folder / "conn.log"): 2, str(folder / "ssl.log"): 206}
    assert _as_json(result)["times_replaced"][1] == {"file": str(folder / "ssl.log"), "records": 206}
    with speaking("en"):
        _print(result)
    said = " ".join(capsys.readouterr().out.split())
    assert "208 events stand at the time of the import" in said
    assert "editcap -t" in said


def test_a_record_at_the_very_beginning_of_a_capture_counts_as_well(tmp_path: Path) -> None:
    file = tmp_path / "conn.log"
    header = "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\n#types\ttime\tstring\taddr\n"
    file.write_text(f"{header}0.000000\tC1\t10.0.0.1\n1601998366.786397\tC2\t10.0.0.1\n")
    result = Result()
    for lines, _ in read_file(file, Origin("import", "here", "vn"), 131_072):
        _look_at(lines, file, result)
    assert dict(result.retimed) == {str(file): 1}
