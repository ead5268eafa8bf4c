"""The class types of rules with their words and priority (Suricata's `classification.config`)."""

_PRIORITIES: dict[int, dict[str, str]] = {
    1: {
        "attempted-user": "Attempted User Privilege Gain", "unsuccessful-user": "Unsuccessful User Privilege Gain",
        "successful-user": "Successful User Privilege Gain",
        "attempted-admin": "Attempted Administrator Privilege Gain",
        "successful-admin": "Successful Administrator Privilege Gain",
        "shellcode-detect": "Executable code was detected", "trojan-activity": "A Network Trojan was detected",
        "web-application-attack": "Web Application Attack",
        "inappropriate-content": "Inappropriate Content was Detected",
        "policy-violation": "Potential Corporate Privacy Violation",
        "targeted-activity": "Targeted Malicious Activity was Detected",
        "exploit-kit": "Exploit Kit Activity Detected", "domain-c2": "Domain Observed Used for C2 Detected",
        "credential-theft": "Successful Credential Theft Detected",
        "command-and-control": "Malware Command and Control Activity Detected",
    },
    2: {
        "bad-unknown": "Potentially Bad Traffic", "attempted-recon": "Attempted Information Leak",
        "successful-recon-limited": "Information Leak", "successful-recon-largescale": "Large Scale Information Leak",
        "attempted-dos": "Attempted Denial of Service", "successful-dos": "Denial of Service",
        "rpc-portmap-decode": "Decode of an RPC Query",
        "suspicious-filename-detect": "A suspicious filename was detected",
        "suspicious-login": "An attempted login using a suspicious username was detected",
        "system-call-detect": "A system call was detected",
        "unusual-client-port-connection": "A client was using an unusual port",
        "denial-of-service": "Detection of a Denial of Service Attack",
        "non-standard-protocol": "Detection of a non-standard protocol or event",
        "web-application-activity": "access to a potentially vulnerable web application",
        "misc-attack": "Misc Attack", "default-login-attempt": "Attempt to login by a default username and password",
        "external-ip-check": "Device Retrieving External IP Address Detected",
        "pup-activity": "Possibly Unwanted Program Detected",
        "social-engineering": "Possible Social Engineering Attempted",
        "coin-mining": "Crypto Currency Mining Activity Detected",
    },
    3: {
        "not-suspicious": "Not Suspicious Traffic", "unknown": "Unknown Traffic",
        "string-detect": "A suspicious string was detected", "network-scan": "Detection of a Network Scan",
        "protocol-command-decode": "Generic Protocol Command Decode", "misc-activity": "Misc activity",
        "icmp-event": "Generic ICMP event", "tcp-connection": "A TCP connection was detected",
    },
}  # fmt: skip
#: Words and priority by class type.
CLASSES = {name: (words, priority) for priority, names in _PRIORITIES.items() for name, words in names.items()}
#: The priority of a rule that says neither.
DEFAULT_PRIORITY = 3
