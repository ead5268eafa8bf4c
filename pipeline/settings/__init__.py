"""Settings: one TOML file and `HAIDANG_*` variables enter, a typed, checked object leaves, read once at start.

Environment over file over default. The file is `HAIDANG_CONFIG`, else `haidang.toml` in the data directory.
`HAIDANG_API__PORT=9000` is `[api] port`. `docs/settings.md` lists them all (a test holds it to these files). A file is
what some sections are about; `whole.py` puts them together, `reading.py` reads them, `faults.py` says what is wrong.
"""

from pipeline.settings.access import Access, Api, Oidc, Tls
from pipeline.settings.behaviours import Behaviours
from pipeline.settings.delivery import Delivery
from pipeline.settings.detection import Canary, Detectors, Devices, Watch
from pipeline.settings.faults import faults_of, secret_settings
from pipeline.settings.indicators import IndicatorFeed, Indicators
from pipeline.settings.queue import Cases, Queue
from pipeline.settings.reading import load_settings, read_settings, readable_settings
from pipeline.settings.section import Port
from pipeline.settings.services import Bus, Limits, State, Store
from pipeline.settings.sharing import Sharing
from pipeline.settings.sharing_taxii import Peer
from pipeline.settings.sources import (
    CANARY,
    RESERVED_SOURCES,
    SOURCE_NAME,
    SOURCES,
    FilesSource,
    HttpSource,
    KafkaSource,
    NetflowSource,
    NetworkSource,
    Source,
    SyslogSource,
    UnixSource,
)
from pipeline.settings.whole import Settings
from pipeline.settings_file import default_data_dir, settings_file

__all__ = [
    "CANARY", "RESERVED_SOURCES", "SOURCES", "SOURCE_NAME", "Access", "Api", "Behaviours", "Bus", "Canary",
    "Cases", "Delivery", "Detectors", "Devices", "FilesSource", "HttpSource", "IndicatorFeed", "Indicators",
    "KafkaSource", "Limits", "NetflowSource", "NetworkSource", "Oidc", "Peer", "Port", "Queue", "Settings",
    "Sharing", "Source", "State", "Store", "SyslogSource", "Tls", "UnixSource", "Watch", "default_data_dir",
    "faults_of", "load_settings", "read_settings", "readable_settings", "secret_settings", "settings_file",
]  # fmt: skip
