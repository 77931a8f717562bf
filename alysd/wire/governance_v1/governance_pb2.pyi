from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]
    PRIORITY_CRITICAL: _ClassVar[Priority]

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_SUCCESS: _ClassVar[Status]
    STATUS_ERROR: _ClassVar[Status]
    STATUS_TIMEOUT: _ClassVar[Status]
    STATUS_UNAUTHORIZED: _ClassVar[Status]
    STATUS_RATE_LIMITED: _ClassVar[Status]
    STATUS_UNAVAILABLE: _ClassVar[Status]

class UpdateType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPDATE_TYPE_UNSPECIFIED: _ClassVar[UpdateType]
    UPDATE_TYPE_ADD: _ClassVar[UpdateType]
    UPDATE_TYPE_REMOVE: _ClassVar[UpdateType]
    UPDATE_TYPE_CONFIG: _ClassVar[UpdateType]
    UPDATE_TYPE_EMERGENCY_HALT: _ClassVar[UpdateType]

class ProposalType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROPOSAL_TYPE_UNSPECIFIED: _ClassVar[ProposalType]
    PROPOSAL_TYPE_FEDERATION: _ClassVar[ProposalType]
    PROPOSAL_TYPE_PARAMETER: _ClassVar[ProposalType]
    PROPOSAL_TYPE_EMERGENCY: _ClassVar[ProposalType]
    PROPOSAL_TYPE_UPGRADE: _ClassVar[ProposalType]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_LOW: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority
PRIORITY_CRITICAL: Priority
STATUS_UNSPECIFIED: Status
STATUS_SUCCESS: Status
STATUS_ERROR: Status
STATUS_TIMEOUT: Status
STATUS_UNAUTHORIZED: Status
STATUS_RATE_LIMITED: Status
STATUS_UNAVAILABLE: Status
UPDATE_TYPE_UNSPECIFIED: UpdateType
UPDATE_TYPE_ADD: UpdateType
UPDATE_TYPE_REMOVE: UpdateType
UPDATE_TYPE_CONFIG: UpdateType
UPDATE_TYPE_EMERGENCY_HALT: UpdateType
PROPOSAL_TYPE_UNSPECIFIED: ProposalType
PROPOSAL_TYPE_FEDERATION: ProposalType
PROPOSAL_TYPE_PARAMETER: ProposalType
PROPOSAL_TYPE_EMERGENCY: ProposalType
PROPOSAL_TYPE_UPGRADE: ProposalType

class StreamRequest(_message.Message):
    __slots__ = ("metadata", "node_registration", "signature_request", "pegin_notification", "status_update", "heartbeat", "proposal_attestation")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    NODE_REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    PEGIN_NOTIFICATION_FIELD_NUMBER: _ClassVar[int]
    STATUS_UPDATE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    metadata: RequestMetadata
    node_registration: NodeRegistration
    signature_request: SignatureRequest
    pegin_notification: PeginNotification
    status_update: StatusUpdate
    heartbeat: Heartbeat
    proposal_attestation: ProposalAttestation
    def __init__(self, metadata: _Optional[_Union[RequestMetadata, _Mapping]] = ..., node_registration: _Optional[_Union[NodeRegistration, _Mapping]] = ..., signature_request: _Optional[_Union[SignatureRequest, _Mapping]] = ..., pegin_notification: _Optional[_Union[PeginNotification, _Mapping]] = ..., status_update: _Optional[_Union[StatusUpdate, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., proposal_attestation: _Optional[_Union[ProposalAttestation, _Mapping]] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("metadata", "registration_ack", "signature_response", "federation_update", "proposal_notification", "error_response", "heartbeat_ack")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_ACK_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    FEDERATION_UPDATE_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_NOTIFICATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_ACK_FIELD_NUMBER: _ClassVar[int]
    metadata: ResponseMetadata
    registration_ack: NodeRegistrationAck
    signature_response: SignatureResponse
    federation_update: FederationUpdate
    proposal_notification: ProposalNotification
    error_response: ErrorResponse
    heartbeat_ack: HeartbeatAck
    def __init__(self, metadata: _Optional[_Union[ResponseMetadata, _Mapping]] = ..., registration_ack: _Optional[_Union[NodeRegistrationAck, _Mapping]] = ..., signature_response: _Optional[_Union[SignatureResponse, _Mapping]] = ..., federation_update: _Optional[_Union[FederationUpdate, _Mapping]] = ..., proposal_notification: _Optional[_Union[ProposalNotification, _Mapping]] = ..., error_response: _Optional[_Union[ErrorResponse, _Mapping]] = ..., heartbeat_ack: _Optional[_Union[HeartbeatAck, _Mapping]] = ...) -> None: ...

class RequestMetadata(_message.Message):
    __slots__ = ("request_id", "timestamp", "node_id", "protocol_version", "priority", "timeout")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    timestamp: int
    node_id: str
    protocol_version: str
    priority: Priority
    timeout: int
    def __init__(self, request_id: _Optional[str] = ..., timestamp: _Optional[int] = ..., node_id: _Optional[str] = ..., protocol_version: _Optional[str] = ..., priority: _Optional[_Union[Priority, str]] = ..., timeout: _Optional[int] = ...) -> None: ...

class ResponseMetadata(_message.Message):
    __slots__ = ("request_id", "timestamp", "node_id", "status", "message")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    timestamp: int
    node_id: str
    status: Status
    message: str
    def __init__(self, request_id: _Optional[str] = ..., timestamp: _Optional[int] = ..., node_id: _Optional[str] = ..., status: _Optional[_Union[Status, str]] = ..., message: _Optional[str] = ...) -> None: ...

class NodeInfo(_message.Message):
    __slots__ = ("version", "chain", "genesis", "role", "public_key")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    version: str
    chain: str
    genesis: bytes
    role: str
    public_key: bytes
    def __init__(self, version: _Optional[str] = ..., chain: _Optional[str] = ..., genesis: _Optional[bytes] = ..., role: _Optional[str] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class NodeRegistration(_message.Message):
    __slots__ = ("node_info", "capabilities", "endpoints", "auth")
    NODE_INFO_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    AUTH_FIELD_NUMBER: _ClassVar[int]
    node_info: NodeInfo
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    auth: bytes
    def __init__(self, node_info: _Optional[_Union[NodeInfo, _Mapping]] = ..., capabilities: _Optional[_Iterable[str]] = ..., endpoints: _Optional[_Iterable[str]] = ..., auth: _Optional[bytes] = ...) -> None: ...

class NodeRegistrationAck(_message.Message):
    __slots__ = ("accepted", "assigned_node_id", "session_token", "expires_at")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    assigned_node_id: str
    session_token: str
    expires_at: int
    def __init__(self, accepted: bool = ..., assigned_node_id: _Optional[str] = ..., session_token: _Optional[str] = ..., expires_at: _Optional[int] = ...) -> None: ...

class SignatureRequest(_message.Message):
    __slots__ = ("tx_hex", "input_indices", "amounts", "tx_type", "required_signatures", "timeout_seconds")
    TX_HEX_FIELD_NUMBER: _ClassVar[int]
    INPUT_INDICES_FIELD_NUMBER: _ClassVar[int]
    AMOUNTS_FIELD_NUMBER: _ClassVar[int]
    TX_TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    tx_hex: str
    input_indices: _containers.RepeatedScalarFieldContainer[int]
    amounts: _containers.RepeatedScalarFieldContainer[int]
    tx_type: str
    required_signatures: int
    timeout_seconds: int
    def __init__(self, tx_hex: _Optional[str] = ..., input_indices: _Optional[_Iterable[int]] = ..., amounts: _Optional[_Iterable[int]] = ..., tx_type: _Optional[str] = ..., required_signatures: _Optional[int] = ..., timeout_seconds: _Optional[int] = ...) -> None: ...

class SignatureResponse(_message.Message):
    __slots__ = ("status", "signatures", "failure_reason", "partial_signatures")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    status: Status
    signatures: _containers.RepeatedScalarFieldContainer[bytes]
    failure_reason: str
    partial_signatures: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, status: _Optional[_Union[Status, str]] = ..., signatures: _Optional[_Iterable[bytes]] = ..., failure_reason: _Optional[str] = ..., partial_signatures: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PeginNotification(_message.Message):
    __slots__ = ("btc_txid", "vout", "amount", "evm_address", "confirmations", "extra_data")
    BTC_TXID_FIELD_NUMBER: _ClassVar[int]
    VOUT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EVM_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATIONS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_DATA_FIELD_NUMBER: _ClassVar[int]
    btc_txid: str
    vout: int
    amount: int
    evm_address: str
    confirmations: int
    extra_data: bytes
    def __init__(self, btc_txid: _Optional[str] = ..., vout: _Optional[int] = ..., amount: _Optional[int] = ..., evm_address: _Optional[str] = ..., confirmations: _Optional[int] = ..., extra_data: _Optional[bytes] = ...) -> None: ...

class FederationUpdate(_message.Message):
    __slots__ = ("update_type", "members", "effective_height", "update_signature", "config")
    UPDATE_TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    update_type: UpdateType
    members: _containers.RepeatedCompositeFieldContainer[FederationMember]
    effective_height: int
    update_signature: bytes
    config: FederationConfig
    def __init__(self, update_type: _Optional[_Union[UpdateType, str]] = ..., members: _Optional[_Iterable[_Union[FederationMember, _Mapping]]] = ..., effective_height: _Optional[int] = ..., update_signature: _Optional[bytes] = ..., config: _Optional[_Union[FederationConfig, _Mapping]] = ...) -> None: ...

class ProposalNotification(_message.Message):
    __slots__ = ("proposal_id", "proposal_type", "proposal_data", "voting_deadline", "required_votes")
    PROPOSAL_ID_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_TYPE_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_DATA_FIELD_NUMBER: _ClassVar[int]
    VOTING_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_VOTES_FIELD_NUMBER: _ClassVar[int]
    proposal_id: str
    proposal_type: ProposalType
    proposal_data: bytes
    voting_deadline: int
    required_votes: int
    def __init__(self, proposal_id: _Optional[str] = ..., proposal_type: _Optional[_Union[ProposalType, str]] = ..., proposal_data: _Optional[bytes] = ..., voting_deadline: _Optional[int] = ..., required_votes: _Optional[int] = ...) -> None: ...

class ProposalAttestation(_message.Message):
    __slots__ = ("proposal_id", "proposal_hash", "public_key", "signature")
    PROPOSAL_ID_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_HASH_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    proposal_id: str
    proposal_hash: bytes
    public_key: bytes
    signature: bytes
    def __init__(self, proposal_id: _Optional[str] = ..., proposal_hash: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class StatusUpdate(_message.Message):
    __slots__ = ("status", "block_height", "sync_status", "connection_count", "metrics")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SYNC_STATUS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_COUNT_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    status: str
    block_height: int
    sync_status: str
    connection_count: int
    metrics: _containers.ScalarMap[str, float]
    def __init__(self, status: _Optional[str] = ..., block_height: _Optional[int] = ..., sync_status: _Optional[str] = ..., connection_count: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("timestamp", "sequence", "health")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    timestamp: int
    sequence: int
    health: str
    def __init__(self, timestamp: _Optional[int] = ..., sequence: _Optional[int] = ..., health: _Optional[str] = ...) -> None: ...

class HeartbeatAck(_message.Message):
    __slots__ = ("original_timestamp", "ack_timestamp", "sequence")
    ORIGINAL_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    ACK_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    original_timestamp: int
    ack_timestamp: int
    sequence: int
    def __init__(self, original_timestamp: _Optional[int] = ..., ack_timestamp: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class ErrorResponse(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class FederationMember(_message.Message):
    __slots__ = ("member_id", "public_key", "weight", "active")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    public_key: bytes
    weight: int
    active: bool
    def __init__(self, member_id: _Optional[str] = ..., public_key: _Optional[bytes] = ..., weight: _Optional[int] = ..., active: bool = ...) -> None: ...

class FederationConfig(_message.Message):
    __slots__ = ("signature_threshold", "member_count", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SIGNATURE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    signature_threshold: int
    member_count: int
    parameters: _containers.ScalarMap[str, str]
    def __init__(self, signature_threshold: _Optional[int] = ..., member_count: _Optional[int] = ..., parameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class HealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: Status
    def __init__(self, status: _Optional[_Union[Status, str]] = ...) -> None: ...

class CapabilitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CapabilitiesResponse(_message.Message):
    __slots__ = ("protocol_versions", "capabilities")
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    protocol_versions: _containers.RepeatedScalarFieldContainer[str]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_versions: _Optional[_Iterable[str]] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...
