"""DCE/RPC (C706 "DCE 1.1: RPC", [MS-RPCE]) enters, one transaction each bind and each call that is worth naming leaves.

It comes over TCP and, in named pipes, over SMB. Interfaces and operations that administrators and intruders use have
names; others stand with their identifier and number. Of an association that was open before anybody looked, the order
of its calls may tell the interface. Of DCOM the program is named that another machine is to start.
"""

from collections.abc import Iterator
from struct import Struct, error
from uuid import UUID

from collectors.network.reading import Fields, Transaction

_HEAD = Struct("<BBBB4sHHI").unpack_from
_SIZE = 16
_REQUEST, _FAULT, _BIND, _ALTER = 0, 3, 11, 14
_CONTEXTS, _CONTEXT, _CALL = Struct("<8xB3x").unpack_from, Struct("<HBx16s4x").unpack_from, Struct("<IHH").unpack_from
#: Contexts of a bind, and calls of a connection that are told of; the same call again and again is told of once.
MAX_CONTEXTS, MAX_CALLS = 32, 500
#: Bytes of calls that are still incomplete.
MAX_UNREAD = 262_144
#: Interface identifiers ([MS-RPCE] 1.9 and the documents of each protocol).
INTERFACES = {
    "367abb81-9844-35f1-ad32-98f038001003": "svcctl", "1ff70682-0a51-30e8-076d-740be8cee98b": "atsvc",
    "86d35949-83c9-4044-b424-db363231fd0c": "ITaskSchedulerService", "338cd001-2244-31f1-aaaa-900038001003": "winreg",
    "e3514235-4b06-11d1-ab04-00c04fc2dcd2": "drsuapi", "12345678-1234-abcd-ef00-01234567cffb": "netlogon",
    "12345778-1234-abcd-ef00-0123456789ac": "samr", "12345778-1234-abcd-ef00-0123456789ab": "lsarpc",
    "4b324fc8-1670-01d3-1278-5a47bf6ee188": "srvsvc", "6bffd098-a112-3610-9833-46c3f87e345a": "wkssvc",
    "12345678-1234-abcd-ef00-0123456789ab": "spoolss", "e1af8308-5d1f-11c9-91a4-08002b14a0fa": "epmapper",
    "000001a0-0000-0000-c000-000000000046": "IRemoteSCMActivator",
    "99fcfec4-5260-101b-bbcb-00aa0021347a": "IOXIDResolver",
    "9556dc99-828c-11cf-a37e-00aa003240c7": "IWbemServices", "f309ad18-d86a-11d0-a075-00c04fb68820": "IWbemLevel1Login",
    "c681d488-d850-11d0-8c52-00c04fd90f7e": "efsrpc", "3dde7c30-165d-11d1-ab8f-00805f14db40": "BackupKey",
    "00000143-0000-0000-c000-000000000046": "IRemUnknown2", "00000131-0000-0000-c000-000000000046": "IRemUnknown",
    "00020400-0000-0000-c000-000000000046": "IDispatch", "82273fdc-e32a-18c3-3f78-827929dc23ea": "eventlog",
}  # fmt: skip
#: Operations by interface and number ([MS-SCMR], [MS-TSCH], [MS-DRSR], [MS-NRPC], [MS-SAMR], [MS-RPRN], [MS-EFSR] …).
OPERATIONS = {
    "svcctl": {
        0: "CloseServiceHandle", 1: "ControlService", 2: "DeleteService", 11: "ChangeServiceConfigW",
        12: "CreateServiceW", 15: "OpenSCManagerW", 16: "OpenServiceW", 19: "StartServiceW", 24: "CreateServiceA",
        27: "OpenSCManagerA", 31: "StartServiceA",
    },
    "atsvc": {0: "NetrJobAdd", 1: "NetrJobDel", 2: "NetrJobEnum"},
    "ITaskSchedulerService": {1: "SchRpcRegisterTask", 6: "SchRpcEnumFolders", 12: "SchRpcRun", 13: "SchRpcDelete"},
    "winreg": {
        2: "OpenLocalMachine", 6: "BaseRegCreateKey", 15: "BaseRegOpenKey", 20: "BaseRegSaveKey", 22: "BaseRegSetValue",
    },
    "drsuapi": {
        0: "DRSBind", 1: "DRSUnbind", 3: "DRSGetNCChanges", 5: "DRSReplicaAdd", 12: "DRSCrackNames",
        16: "DRSDomainControllerInfo",
    },
    "netlogon": {
        4: "NetrServerReqChallenge", 15: "NetrServerAuthenticate2", 26: "NetrServerAuthenticate3",
        30: "NetrServerPasswordSet2", 39: "NetrLogonSamLogonEx",
    },
    "samr": {
        0: "SamrConnect", 13: "SamrEnumerateUsersInDomain", 25: "SamrGetMembersInAlias",
        50: "SamrCreateUser2InDomain", 55: "SamrUnicodeChangePasswordUser2", 58: "SamrSetInformationUser2",
        64: "SamrConnect5",
    },
    "lsarpc": {44: "LsarOpenPolicy2", 57: "LsarLookupSids2", 58: "LsarLookupNames2", 68: "LsarLookupNames3"},
    "srvsvc": {15: "NetrShareEnum", 12: "NetrSessionEnum", 21: "NetrServerGetInfo"},
    "wkssvc": {2: "NetrWkstaUserEnum"},
    "spoolss": {
        1: "RpcOpenPrinter", 29: "RpcClosePrinter", 65: "RpcRemoteFindFirstPrinterChangeNotificationEx",
        69: "RpcOpenPrinterEx", 89: "RpcAddPrinterDriverEx",
    },
    "epmapper": {2: "ept_lookup", 3: "ept_map"},
    "IRemoteSCMActivator": {3: "RemoteGetClassObject", 4: "RemoteCreateInstance"},
    "IWbemServices": {20: "ExecQuery", 24: "ExecMethod"},
    "IWbemLevel1Login": {6: "NTLMLogin"},
    "efsrpc": {0: "EfsRpcOpenFileRaw", 4: "EfsRpcEncryptFileSrv"},
    "BackupKey": {0: "BackuprKey"},
    "IDispatch": {6: "Invoke"},
}  # fmt: skip
#: Calls, as they come first, that only one interface explains where its bind was not seen: who copies a directory and
#: is no domain controller looks for one, then for the account, then asks for its data ([MS-DRSR] 4.1).
_IN_ORDER: dict[tuple[int, ...], str] = {(0, 16, 12, 3): "drsuapi"}
#: Programs that others can start through DCOM and have run commands, by class identifier (MITRE ATT&CK T1021.003).
_CLASSES = {
    UUID(identifier).bytes_le: name
    for identifier, name in (
        ("49b2791a-b1ae-4c90-9b8e-e860ba07f889", "MMC20.Application"),
        ("9ba05972-f6a8-11cf-a442-00a0c90a8f39", "ShellWindows"),
        ("c08afd90-f2a1-11d1-8455-00a0c91f3880", "ShellBrowserWindow"),
        ("00024500-0000-0000-c000-000000000046", "Excel.Application"),
        ("0006f03a-0000-0000-c000-000000000046", "Outlook.Application"),
        ("000209ff-0000-0000-c000-000000000046", "Word.Application"),
        ("00021a20-0000-0000-c000-000000000046", "Visio.Application"),
        ("d5978630-5b9f-11d1-8dd2-00aa004abd5e", "SensEvents"),
        ("8bc3f05e-d86b-11d0-a075-00c04fb68820", "WbemLevel1Login"),
    )
}
#: What an object's description begins with ([MS-DCOM] 2.2.18); a call that makes an object has one.
_OBJECT = b"MEOW"


def looks_like(data: bytes) -> bool:
    """Whether a side begins to speak DCE/RPC: version 5, a bind, little-endian."""
    return len(data) >= _SIZE and data[:2] == b"\x05\x00" and data[2] in (_BIND, _REQUEST) and data[4] == 0x10


class Calls:
    """The calls of one association. `pipe` is the named pipe that they go through."""

    def __init__(self, pipe: str = "") -> None:
        self._pipe = pipe
        self._unread = bytearray()
        self._interfaces: dict[int, str] = {}
        self._told: set[tuple[str, int, str]] = set()
        self._unbound: tuple[int, ...] = ()

    def take(self, data: bytes, time: int) -> Iterator[Transaction]:
        """Read what the client says next."""
        unread = self._unread
        unread += data
        while len(unread) >= _SIZE:
            version, minor, kind, _, order, length, _, _ = _HEAD(unread)
            if version != 5 or minor > 1 or length < _SIZE or not order[0] & 0x10:
                unread.clear()  # encrypted, or no DCE/RPC any more
                return
            if len(unread) < length:
                break
            body = bytes(unread[_SIZE:length])
            del unread[:length]
            try:
                yield from self._message(kind, body, time)
            except (error, IndexError, ValueError):
                continue
        if len(unread) > MAX_UNREAD:
            unread.clear()

    def _message(self, kind: int, body: bytes, time: int) -> Iterator[Transaction]:
        if kind in (_BIND, _ALTER):
            (count,) = _CONTEXTS(body)
            at = 12
            for _ in range(min(count, MAX_CONTEXTS)):
                number, syntaxes, raw = _CONTEXT(body, at)
                self._interfaces[number] = INTERFACES.get(name := str(UUID(bytes_le=raw)), name)
                at += 4 + 20 * (1 + syntaxes)
        elif kind == _REQUEST:
            size, context, operation = _CALL(body)
            endpoint = self._interfaces.get(context, "") or self._of_order(context, operation)
            made = _class(body)
            if (endpoint, operation, made) in self._told or len(self._told) >= MAX_CALLS:
                return
            self._told.add((endpoint, operation, made))
            fields: Fields = {
                "network.protocol": "dce_rpc", "dce_rpc.endpoint": endpoint,
                "dce_rpc.operation": OPERATIONS.get(endpoint, {}).get(operation, str(operation)),
                "dce_rpc.bytes": size, "dce_rpc.class": made, "dce_rpc.pipe": self._pipe,
            }  # fmt: skip
            yield Transaction(time, "dce_rpc", {name: value for name, value in fields.items() if value})

    def _of_order(self, context: int, operation: int) -> str:
        """Return the interface that a context without a bind must be of, by its first calls; "" where many could be."""
        if operation not in self._unbound and len(self._unbound) < MAX_CALLS:
            self._unbound += (operation,)
        endpoint = _IN_ORDER.get(self._unbound, "")
        if endpoint:
            self._interfaces[context] = endpoint
        return endpoint


def _class(body: bytes) -> str:
    """Name the program that a call has started, if it is one of those that run commands."""
    if _OBJECT not in body:
        return ""
    return next((name for identifier, name in _CLASSES.items() if identifier in body), "")


class DceRpcReader:
    """One connection of DCE/RPC over TCP."""

    ordered = True

    def __init__(self) -> None:
        self.done = False
        self._calls = Calls()

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the calls of the client."""
        return self._calls.take(data, time) if from_source else iter(())

    def end(self) -> Iterator[Transaction]:
        """Nothing is open."""
        return iter(())
