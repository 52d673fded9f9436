/// What holds for all services.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Common {
    #[prost(message, optional, tag = "1")]
    pub node: ::core::option::Option<Node>,
    /// Ranges of which load balancer addresses are given, in order: 203.0.113.0/24.
    #[prost(string, repeated, tag = "2")]
    pub load_balancer_pools: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Services may take external addresses.
    #[prost(bool, tag = "3")]
    pub allow_external_ips: bool,
}
/// The node on which this balancer runs.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Node {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub zone: ::prost::alloc::string::String,
    /// Addresses on which node ports are served.
    #[prost(string, repeated, tag = "3")]
    pub addresses: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// First and last port that may be a node port; 0 and 0 allow all.
    #[prost(uint32, tag = "4")]
    pub node_port_first: u32,
    #[prost(uint32, tag = "5")]
    pub node_port_last: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Service {
    /// Unique; namespace/name where it comes from Kubernetes.
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, repeated, tag = "2")]
    pub addresses: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "3")]
    pub external_ips: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Addresses that were asked for by number.
    #[prost(string, repeated, tag = "4")]
    pub load_balancer_ips: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// One address of the pools.
    #[prost(bool, tag = "5")]
    pub load_balancer: bool,
    #[prost(message, repeated, tag = "6")]
    pub ports: ::prost::alloc::vec::Vec<Port>,
    #[prost(message, repeated, tag = "7")]
    pub endpoints: ::prost::alloc::vec::Vec<Endpoint>,
    #[prost(message, optional, tag = "8")]
    pub settings: ::core::option::Option<Settings>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Port {
    /// Unique in the service; may be empty where there is one port only.
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(enumeration = "Protocol", tag = "2")]
    pub protocol: i32,
    #[prost(uint32, tag = "3")]
    pub port: u32,
    /// Where endpoints listen that say nothing; 0 is the port itself.
    #[prost(uint32, tag = "4")]
    pub target_port: u32,
    /// 0 is none.
    #[prost(uint32, tag = "5")]
    pub node_port: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Endpoint {
    /// Unique in its service; empty takes the address.
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub address: ::prost::alloc::string::String,
    /// Its port for each port of the service that it serves; none: those of the service, at their target ports.
    #[prost(message, repeated, tag = "3")]
    pub ports: ::prost::alloc::vec::Vec<EndpointPort>,
    /// Takes no new flows. (KEP-1672; absent, an endpoint is ready unless it is terminating.)
    #[prost(bool, optional, tag = "4")]
    pub ready: ::core::option::Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub serving: ::core::option::Option<bool>,
    #[prost(bool, tag = "6")]
    pub terminating: bool,
    #[prost(string, tag = "7")]
    pub node: ::prost::alloc::string::String,
    #[prost(string, tag = "8")]
    pub zone: ::prost::alloc::string::String,
    /// 0 is refused; absent is 1.
    #[prost(uint32, optional, tag = "9")]
    pub weight: ::core::option::Option<u32>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct EndpointPort {
    /// Name of the service's port.
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(uint32, tag = "2")]
    pub port: u32,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Settings {
    #[prost(enumeration = "TrafficPolicy", tag = "1")]
    pub internal_policy: i32,
    #[prost(enumeration = "TrafficPolicy", tag = "2")]
    pub external_policy: i32,
    #[prost(enumeration = "Distribution", tag = "3")]
    pub distribution: i32,
    #[prost(string, repeated, tag = "4")]
    pub source_ranges: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, optional, tag = "5")]
    pub affinity: ::core::option::Option<Affinity>,
    #[prost(enumeration = "Algorithm", tag = "6")]
    pub balance: i32,
    #[prost(enumeration = "HashKey", tag = "7")]
    pub hash: i32,
    #[prost(message, optional, tag = "8")]
    pub limits: ::core::option::Option<Limits>,
    #[prost(message, optional, tag = "9")]
    pub slow_start: ::core::option::Option<SlowStart>,
    #[prost(message, optional, tag = "10")]
    pub outlier: ::core::option::Option<Outlier>,
    #[prost(message, optional, tag = "11")]
    pub drain: ::core::option::Option<::prost_types::Duration>,
    #[prost(message, optional, tag = "12")]
    pub timeouts: ::core::option::Option<Timeouts>,
    #[prost(enumeration = "ProxyProtocol", tag = "13")]
    pub proxy_in: i32,
    #[prost(enumeration = "ProxyProtocol", tag = "14")]
    pub proxy_out: i32,
    #[prost(message, optional, tag = "15")]
    pub health_check: ::core::option::Option<HealthCheck>,
    /// 0 is none.
    #[prost(uint32, tag = "16")]
    pub health_check_node_port: u32,
    #[prost(enumeration = "DataPath", tag = "17")]
    pub path: i32,
    #[prost(enumeration = "SourceAddress", tag = "18")]
    pub source: i32,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Affinity {
    /// Absent is 3 h.
    #[prost(message, optional, tag = "1")]
    pub timeout: ::core::option::Option<::prost_types::Duration>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Limits {
    #[prost(uint32, optional, tag = "1")]
    pub connections_max: ::core::option::Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    pub connections_per_endpoint_max: ::core::option::Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    pub connections_per_source_max: ::core::option::Option<u32>,
    #[prost(message, optional, tag = "4")]
    pub rate_per_endpoint: ::core::option::Option<Rate>,
    #[prost(message, optional, tag = "5")]
    pub rate_per_source: ::core::option::Option<Rate>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Rate {
    #[prost(uint32, tag = "1")]
    pub per_second: u32,
    /// 0 is per_second.
    #[prost(uint32, tag = "2")]
    pub burst: u32,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SlowStart {
    #[prost(message, optional, tag = "1")]
    pub window: ::core::option::Option<::prost_types::Duration>,
    /// 0 is 10.
    #[prost(uint32, tag = "2")]
    pub percent_min: u32,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Outlier {
    #[prost(bool, tag = "1")]
    pub off: bool,
    /// 0 and absent are the defaults.
    #[prost(uint32, tag = "2")]
    pub failures: u32,
    #[prost(message, optional, tag = "3")]
    pub ejection: ::core::option::Option<::prost_types::Duration>,
    #[prost(message, optional, tag = "4")]
    pub ejection_max: ::core::option::Option<::prost_types::Duration>,
    #[prost(uint32, optional, tag = "5")]
    pub percent_max: ::core::option::Option<u32>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Timeouts {
    #[prost(message, optional, tag = "1")]
    pub connect: ::core::option::Option<::prost_types::Duration>,
    #[prost(message, optional, tag = "2")]
    pub first_byte: ::core::option::Option<::prost_types::Duration>,
    #[prost(message, optional, tag = "3")]
    pub idle: ::core::option::Option<::prost_types::Duration>,
    #[prost(message, optional, tag = "4")]
    pub age_max: ::core::option::Option<::prost_types::Duration>,
    #[prost(message, optional, tag = "5")]
    pub udp_unreplied: ::core::option::Option<::prost_types::Duration>,
    #[prost(message, optional, tag = "6")]
    pub udp_replied: ::core::option::Option<::prost_types::Duration>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct HealthCheck {
    /// 0 is the port that serves.
    #[prost(uint32, tag = "4")]
    pub port: u32,
    #[prost(message, optional, tag = "5")]
    pub interval: ::core::option::Option<::prost_types::Duration>,
    #[prost(message, optional, tag = "6")]
    pub timeout: ::core::option::Option<::prost_types::Duration>,
    #[prost(uint32, tag = "7")]
    pub rise: u32,
    #[prost(uint32, tag = "8")]
    pub fall: u32,
    #[prost(oneof = "health_check::Probe", tags = "1, 2, 3")]
    pub probe: ::core::option::Option<health_check::Probe>,
}
/// Nested message and enum types in `HealthCheck`.
pub mod health_check {
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Probe {
        /// A connection is accepted.
        #[prost(message, tag = "1")]
        Tcp(super::TcpProbe),
        /// GET is answered with a status from 200 to 399.
        #[prost(message, tag = "2")]
        Http(super::HttpProbe),
        /// grpc.health.v1.Health/Check answers SERVING.
        #[prost(message, tag = "3")]
        Grpc(super::GrpcProbe),
    }
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct TcpProbe {}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct HttpProbe {
    #[prost(string, tag = "1")]
    pub path: ::prost::alloc::string::String,
    /// Empty is the endpoint's address.
    #[prost(string, tag = "2")]
    pub host: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GrpcProbe {
    /// Empty is the server as a whole.
    #[prost(string, tag = "1")]
    pub service: ::prost::alloc::string::String,
}
/// A service as it is served.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ServiceView {
    /// As it was wanted.
    #[prost(message, optional, tag = "1")]
    pub service: ::core::option::Option<Service>,
    /// Whose it is: file, grpc, kubernetes.
    #[prost(string, tag = "2")]
    pub owner: ::prost::alloc::string::String,
    /// Addresses that it got out of pools.
    #[prost(string, repeated, tag = "3")]
    pub given: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// The data path that it takes, and why.
    #[prost(enumeration = "DataPath", tag = "4")]
    pub path: i32,
    #[prost(string, tag = "5")]
    pub path_because: ::prost::alloc::string::String,
    /// The source address that endpoints see, and why.
    #[prost(enumeration = "SourceAddress", tag = "6")]
    pub source: i32,
    #[prost(string, tag = "7")]
    pub source_because: ::prost::alloc::string::String,
    /// Endpoints that take no new flows since somebody asked to drain them.
    #[prost(string, repeated, tag = "8")]
    pub drained: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Endpoints that active checks found unhealthy.
    #[prost(string, repeated, tag = "9")]
    pub unhealthy: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Protocol {
    /// TCP.
    Unspecified = 0,
    Tcp = 1,
    Udp = 2,
}
impl Protocol {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "PROTOCOL_UNSPECIFIED",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "PROTOCOL_UNSPECIFIED" => Some(Self::Unspecified),
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum TrafficPolicy {
    Unspecified = 0,
    Cluster = 1,
    Local = 2,
}
impl TrafficPolicy {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "TRAFFIC_POLICY_UNSPECIFIED",
            Self::Cluster => "CLUSTER",
            Self::Local => "LOCAL",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "TRAFFIC_POLICY_UNSPECIFIED" => Some(Self::Unspecified),
            "CLUSTER" => Some(Self::Cluster),
            "LOCAL" => Some(Self::Local),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Distribution {
    Unspecified = 0,
    Any = 1,
    PreferSameZone = 2,
    PreferSameNode = 3,
}
impl Distribution {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "DISTRIBUTION_UNSPECIFIED",
            Self::Any => "ANY",
            Self::PreferSameZone => "PREFER_SAME_ZONE",
            Self::PreferSameNode => "PREFER_SAME_NODE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "DISTRIBUTION_UNSPECIFIED" => Some(Self::Unspecified),
            "ANY" => Some(Self::Any),
            "PREFER_SAME_ZONE" => Some(Self::PreferSameZone),
            "PREFER_SAME_NODE" => Some(Self::PreferSameNode),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum Algorithm {
    Unspecified = 0,
    PeakEwma = 1,
    PowerOfTwo = 2,
    LeastConnections = 3,
    RoundRobin = 4,
    SmoothWeighted = 5,
    Maglev = 6,
    RingHash = 7,
    Random = 8,
}
impl Algorithm {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "ALGORITHM_UNSPECIFIED",
            Self::PeakEwma => "PEAK_EWMA",
            Self::PowerOfTwo => "POWER_OF_TWO",
            Self::LeastConnections => "LEAST_CONNECTIONS",
            Self::RoundRobin => "ROUND_ROBIN",
            Self::SmoothWeighted => "SMOOTH_WEIGHTED",
            Self::Maglev => "MAGLEV",
            Self::RingHash => "RING_HASH",
            Self::Random => "RANDOM",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "ALGORITHM_UNSPECIFIED" => Some(Self::Unspecified),
            "PEAK_EWMA" => Some(Self::PeakEwma),
            "POWER_OF_TWO" => Some(Self::PowerOfTwo),
            "LEAST_CONNECTIONS" => Some(Self::LeastConnections),
            "ROUND_ROBIN" => Some(Self::RoundRobin),
            "SMOOTH_WEIGHTED" => Some(Self::SmoothWeighted),
            "MAGLEV" => Some(Self::Maglev),
            "RING_HASH" => Some(Self::RingHash),
            "RANDOM" => Some(Self::Random),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum HashKey {
    Unspecified = 0,
    Source = 1,
    Flow = 2,
}
impl HashKey {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "HASH_KEY_UNSPECIFIED",
            Self::Source => "SOURCE",
            Self::Flow => "FLOW",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "HASH_KEY_UNSPECIFIED" => Some(Self::Unspecified),
            "SOURCE" => Some(Self::Source),
            "FLOW" => Some(Self::Flow),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum ProxyProtocol {
    Unspecified = 0,
    Off = 1,
    V1 = 2,
    V2 = 3,
}
impl ProxyProtocol {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "PROXY_PROTOCOL_UNSPECIFIED",
            Self::Off => "OFF",
            Self::V1 => "V1",
            Self::V2 => "V2",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "PROXY_PROTOCOL_UNSPECIFIED" => Some(Self::Unspecified),
            "OFF" => Some(Self::Off),
            "V1" => Some(Self::V1),
            "V2" => Some(Self::V2),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum DataPath {
    Unspecified = 0,
    PathAuto = 1,
    PathFast = 2,
    PathProxy = 3,
}
impl DataPath {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "DATA_PATH_UNSPECIFIED",
            Self::PathAuto => "PATH_AUTO",
            Self::PathFast => "PATH_FAST",
            Self::PathProxy => "PATH_PROXY",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "DATA_PATH_UNSPECIFIED" => Some(Self::Unspecified),
            "PATH_AUTO" => Some(Self::PathAuto),
            "PATH_FAST" => Some(Self::PathFast),
            "PATH_PROXY" => Some(Self::PathProxy),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum SourceAddress {
    Unspecified = 0,
    SourceAuto = 1,
    SourceKeep = 2,
    SourceMasquerade = 3,
}
impl SourceAddress {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "SOURCE_ADDRESS_UNSPECIFIED",
            Self::SourceAuto => "SOURCE_AUTO",
            Self::SourceKeep => "SOURCE_KEEP",
            Self::SourceMasquerade => "SOURCE_MASQUERADE",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "SOURCE_ADDRESS_UNSPECIFIED" => Some(Self::Unspecified),
            "SOURCE_AUTO" => Some(Self::SourceAuto),
            "SOURCE_KEEP" => Some(Self::SourceKeep),
            "SOURCE_MASQUERADE" => Some(Self::SourceMasquerade),
            _ => None,
        }
    }
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct StatusRequest {}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct StatusResponse {
    #[prost(string, tag = "1")]
    pub version: ::prost::alloc::string::String,
    /// Changes when the data plane is another process.
    #[prost(string, tag = "2")]
    pub instance: ::prost::alloc::string::String,
    #[prost(uint64, tag = "3")]
    pub revision: u64,
    #[prost(uint32, tag = "4")]
    pub services: u32,
    #[prost(uint32, tag = "5")]
    pub endpoints: u32,
    #[prost(message, optional, tag = "6")]
    pub data_plane: ::core::option::Option<DataPlane>,
    /// The configuration file, if there is one.
    #[prost(message, optional, tag = "7")]
    pub file: ::core::option::Option<FileStatus>,
    #[prost(message, optional, tag = "8")]
    pub uptime: ::core::option::Option<::prost_types::Duration>,
    #[prost(uint32, tag = "9")]
    pub unserved: u32,
    #[prost(uint32, tag = "10")]
    pub unhealthy: u32,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DataPlane {
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    #[prost(uint32, tag = "2")]
    pub workers: u32,
    #[prost(message, optional, tag = "3")]
    pub uptime: ::core::option::Option<::prost_types::Duration>,
    /// It ran already when the service began.
    #[prost(bool, tag = "4")]
    pub adopted: bool,
    /// How often it had to be started anew.
    #[prost(uint64, tag = "5")]
    pub restarts: u64,
    /// Empty: it answers. Otherwise why it does not.
    #[prost(string, tag = "6")]
    pub trouble: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct FileStatus {
    #[prost(string, tag = "1")]
    pub path: ::prost::alloc::string::String,
    /// What is wrong with the file as it stands; the running table is the last one that was right.
    #[prost(string, repeated, tag = "2")]
    pub problems: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// How often it was taken, and refused.
    #[prost(uint64, tag = "3")]
    pub taken: u64,
    #[prost(uint64, tag = "4")]
    pub refused: u64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct WatchRequest {
    /// Time between two answers; absent is 1 s, the least are 100 ms.
    #[prost(message, optional, tag = "1")]
    pub interval: ::core::option::Option<::prost_types::Duration>,
    /// Of these services; empty: of all.
    #[prost(string, repeated, tag = "2")]
    pub services: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Leave the endpoints out.
    #[prost(bool, tag = "3")]
    pub brief: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WatchResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(message, repeated, tag = "2")]
    pub ports: ::prost::alloc::vec::Vec<PortStats>,
}
/// One port of one service. Counters count since the data plane began.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PortStats {
    #[prost(string, tag = "1")]
    pub service: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub port: ::prost::alloc::string::String,
    #[prost(enumeration = "Protocol", tag = "3")]
    pub protocol: i32,
    /// Connections, or UDP flows, now.
    #[prost(uint64, tag = "4")]
    pub active: u64,
    /// Let in.
    #[prost(uint64, tag = "5")]
    pub accepted: u64,
    /// Got no endpoint, by reason.
    #[prost(btree_map = "string, uint64", tag = "6")]
    pub refused: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        u64,
    >,
    /// Tried with another endpoint, since one failed.
    #[prost(uint64, tag = "7")]
    pub retries: u64,
    /// From clients, and to them.
    #[prost(uint64, tag = "8")]
    pub bytes_in: u64,
    #[prost(uint64, tag = "9")]
    pub bytes_out: u64,
    #[prost(message, optional, tag = "10")]
    pub connect: ::core::option::Option<Latencies>,
    #[prost(message, optional, tag = "11")]
    pub first_byte: ::core::option::Option<Latencies>,
    #[prost(message, repeated, tag = "12")]
    pub endpoints: ::prost::alloc::vec::Vec<EndpointStats>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Latencies {
    #[prost(uint64, tag = "1")]
    pub count: u64,
    #[prost(uint64, tag = "2")]
    pub sum_ns: u64,
    /// Upper bounds of the buckets in which half of them, 99 of 100, 999 of 1,000 lie.
    #[prost(uint64, tag = "3")]
    pub p50_ns: u64,
    #[prost(uint64, tag = "4")]
    pub p99_ns: u64,
    #[prost(uint64, tag = "5")]
    pub p999_ns: u64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct EndpointStats {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub address: ::prost::alloc::string::String,
    #[prost(uint64, tag = "3")]
    pub active: u64,
    #[prost(uint64, tag = "4")]
    pub opened: u64,
    #[prost(uint64, tag = "5")]
    pub failed: u64,
    #[prost(uint64, tag = "6")]
    pub ejected: u64,
    #[prost(uint64, tag = "7")]
    pub bytes_in: u64,
    #[prost(uint64, tag = "8")]
    pub bytes_out: u64,
    #[prost(uint64, tag = "9")]
    pub latency_ns: u64,
    #[prost(bool, tag = "10")]
    pub healthy: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApplyRequest {
    /// The services named here are all that there are of this source: others of it go.
    #[prost(bool, tag = "1")]
    pub replace: bool,
    /// Services that are new or different, each with all of its endpoints.
    #[prost(message, repeated, tag = "2")]
    pub services: ::prost::alloc::vec::Vec<Service>,
    /// Names of services that are gone. Who is gone already is no problem.
    #[prost(string, repeated, tag = "3")]
    pub remove: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Single endpoints of services that are there, or stand above.
    #[prost(message, repeated, tag = "4")]
    pub endpoints: ::prost::alloc::vec::Vec<EndpointChange>,
    /// What holds for all services. Absent: as it is.
    #[prost(message, optional, tag = "5")]
    pub common: ::core::option::Option<Common>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct EndpointChange {
    /// Name of the service.
    #[prost(string, tag = "1")]
    pub service: ::prost::alloc::string::String,
    #[prost(oneof = "endpoint_change::What", tags = "2, 3")]
    pub what: ::core::option::Option<endpoint_change::What>,
}
/// Nested message and enum types in `EndpointChange`.
pub mod endpoint_change {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum What {
        /// It is new, or different.
        #[prost(message, tag = "2")]
        Set(super::Endpoint),
        /// Name of the endpoint that is gone.
        #[prost(string, tag = "3")]
        Remove(::prost::alloc::string::String),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApplyResponse {
    #[prost(oneof = "apply_response::Outcome", tags = "1, 2")]
    pub outcome: ::core::option::Option<apply_response::Outcome>,
}
/// Nested message and enum types in `ApplyResponse`.
pub mod apply_response {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Outcome {
        #[prost(message, tag = "1")]
        Applied(super::Applied),
        #[prost(message, tag = "2")]
        Refused(super::Refused),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Applied {
    /// Revision of the table that all workers use.
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(message, optional, tag = "2")]
    pub summary: ::core::option::Option<Summary>,
    /// From the receipt of the message until the last worker had adopted the table, in nanoseconds.
    #[prost(uint64, tag = "3")]
    pub took_ns: u64,
    /// Addresses that cannot be served; the rest is, and these are tried again every second.
    #[prost(message, repeated, tag = "4")]
    pub unserved: ::prost::alloc::vec::Vec<Unserved>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Refused {
    /// All problems; of very many the first 1,000.
    #[prost(message, repeated, tag = "1")]
    pub problems: ::prost::alloc::vec::Vec<Problem>,
    /// How many more there are.
    #[prost(uint64, tag = "2")]
    pub more: u64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Problem {
    /// The field: services\[3\].endpoints\[1\].address.
    #[prost(string, tag = "1")]
    pub path: ::prost::alloc::string::String,
    /// What is wrong with it.
    #[prost(string, tag = "2")]
    pub message: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Unserved {
    #[prost(string, tag = "1")]
    pub service: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub port: ::prost::alloc::string::String,
    #[prost(enumeration = "Protocol", tag = "3")]
    pub protocol: i32,
    #[prost(string, tag = "4")]
    pub address: ::prost::alloc::string::String,
    /// Why: the address is not local, the port is in use, a privilege lacks.
    #[prost(string, tag = "5")]
    pub reason: ::prost::alloc::string::String,
}
/// What is different afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Summary {
    #[prost(uint32, tag = "1")]
    pub services_added: u32,
    #[prost(uint32, tag = "2")]
    pub services_changed: u32,
    #[prost(uint32, tag = "3")]
    pub services_removed: u32,
    #[prost(uint32, tag = "4")]
    pub endpoints_added: u32,
    #[prost(uint32, tag = "5")]
    pub endpoints_changed: u32,
    #[prost(uint32, tag = "6")]
    pub endpoints_removed: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PlanResponse {
    #[prost(message, optional, tag = "1")]
    pub summary: ::core::option::Option<Summary>,
    /// The services that would be different, by name; of very many the first 1,000.
    #[prost(string, repeated, tag = "2")]
    pub services: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// What is wrong. Empty: an Apply would be taken.
    #[prost(message, repeated, tag = "3")]
    pub problems: ::prost::alloc::vec::Vec<Problem>,
    #[prost(uint64, tag = "4")]
    pub more_problems: u64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetRequest {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetResponse {
    #[prost(message, optional, tag = "1")]
    pub service: ::core::option::Option<ServiceView>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListRequest {
    /// Most services of an answer; 0 is 100, the most are 1,000.
    #[prost(uint32, tag = "1")]
    pub page_size: u32,
    /// What the last answer gave; empty begins.
    #[prost(string, tag = "2")]
    pub page_token: ::prost::alloc::string::String,
    /// Leave the endpoints out.
    #[prost(bool, tag = "3")]
    pub brief: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    pub services: ::prost::alloc::vec::Vec<ServiceView>,
    /// Ask with it for the next page; empty is the end.
    #[prost(string, tag = "2")]
    pub next_page_token: ::prost::alloc::string::String,
    /// How many there are in all.
    #[prost(uint32, tag = "3")]
    pub total: u32,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DrainRequest {
    #[prost(string, tag = "1")]
    pub service: ::prost::alloc::string::String,
    /// Names of endpoints.
    #[prost(string, repeated, tag = "2")]
    pub endpoints: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Take them back in.
    #[prost(bool, tag = "3")]
    pub undo: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DrainResponse {
    #[prost(oneof = "drain_response::Outcome", tags = "1, 2")]
    pub outcome: ::core::option::Option<drain_response::Outcome>,
}
/// Nested message and enum types in `DrainResponse`.
pub mod drain_response {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Outcome {
        #[prost(message, tag = "1")]
        Applied(super::Applied),
        #[prost(message, tag = "2")]
        Refused(super::Refused),
    }
}
/// Generated client implementations.
pub mod balancer_client {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value,
    )]
    use tonic::codegen::*;
    use tonic::codegen::http::Uri;
    #[derive(Debug, Clone)]
    pub struct BalancerClient<T> {
        inner: tonic::client::Grpc<T>,
    }
    impl<T> BalancerClient<T>
    where
        T: tonic::client::GrpcService<tonic::body::Body>,
        T::Error: Into<StdError>,
        T::ResponseBody: Body<Data = Bytes> + std::marker::Send + 'static,
        <T::ResponseBody as Body>::Error: Into<StdError> + std::marker::Send,
    {
        pub fn new(inner: T) -> Self {
            let inner = tonic::client::Grpc::new(inner);
            Self { inner }
        }
        pub fn with_origin(inner: T, origin: Uri) -> Self {
            let inner = tonic::client::Grpc::with_origin(inner, origin);
            Self { inner }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> BalancerClient<InterceptedService<T, F>>
        where
            F: tonic::service::Interceptor,
            T::ResponseBody: Default,
            T: tonic::codegen::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<
                    <T as tonic::client::GrpcService<tonic::body::Body>>::ResponseBody,
                >,
            >,
            <T as tonic::codegen::Service<
                http::Request<tonic::body::Body>,
            >>::Error: Into<StdError> + std::marker::Send + std::marker::Sync,
        {
            BalancerClient::new(InterceptedService::new(inner, interceptor))
        }
        /// Compress requests with the given encoding.
        ///
        /// This requires the server to support it otherwise it might respond with an
        /// error.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.send_compressed(encoding);
            self
        }
        /// Enable decompressing responses.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.inner = self.inner.accept_compressed(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_decoding_message_size(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.inner = self.inner.max_encoding_message_size(limit);
            self
        }
        /// Takes what is wanted, all or nothing.
        pub async fn apply(
            &mut self,
            request: impl tonic::IntoRequest<super::ApplyRequest>,
        ) -> std::result::Result<tonic::Response<super::ApplyResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.balancer.v1.Balancer/Apply",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.balancer.v1.Balancer", "Apply"));
            self.inner.unary(req, path, codec).await
        }
        /// What an Apply would change, and everything that is wrong with it. Changes nothing.
        pub async fn plan(
            &mut self,
            request: impl tonic::IntoRequest<super::ApplyRequest>,
        ) -> std::result::Result<tonic::Response<super::PlanResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.balancer.v1.Balancer/Plan",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.balancer.v1.Balancer", "Plan"));
            self.inner.unary(req, path, codec).await
        }
        /// One service with its endpoints, as it is served.
        pub async fn get(
            &mut self,
            request: impl tonic::IntoRequest<super::GetRequest>,
        ) -> std::result::Result<tonic::Response<super::GetResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.balancer.v1.Balancer/Get",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.balancer.v1.Balancer", "Get"));
            self.inner.unary(req, path, codec).await
        }
        /// All services in the order of their names, a page at a time.
        pub async fn list(
            &mut self,
            request: impl tonic::IntoRequest<super::ListRequest>,
        ) -> std::result::Result<tonic::Response<super::ListResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.balancer.v1.Balancer/List",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.balancer.v1.Balancer", "List"));
            self.inner.unary(req, path, codec).await
        }
        /// Takes endpoints out of their service, or back in: they get no new flows; those that they have live until they end, or until the
        /// service's drain time is over.
        pub async fn drain(
            &mut self,
            request: impl tonic::IntoRequest<super::DrainRequest>,
        ) -> std::result::Result<tonic::Response<super::DrainResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.balancer.v1.Balancer/Drain",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.balancer.v1.Balancer", "Drain"));
            self.inner.unary(req, path, codec).await
        }
        /// How the balancer is.
        pub async fn status(
            &mut self,
            request: impl tonic::IntoRequest<super::StatusRequest>,
        ) -> std::result::Result<tonic::Response<super::StatusResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.balancer.v1.Balancer/Status",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.balancer.v1.Balancer", "Status"));
            self.inner.unary(req, path, codec).await
        }
        /// Counters, now and then every so often, until the client ends it.
        pub async fn watch(
            &mut self,
            request: impl tonic::IntoRequest<super::WatchRequest>,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<super::WatchResponse>>,
            tonic::Status,
        > {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = crate::codec::WireCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.balancer.v1.Balancer/Watch",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.balancer.v1.Balancer", "Watch"));
            self.inner.server_streaming(req, path, codec).await
        }
    }
}
/// Generated server implementations.
pub mod balancer_server {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value,
    )]
    use tonic::codegen::*;
    /// Generated trait containing gRPC methods that should be implemented for use with BalancerServer.
    #[async_trait]
    pub trait Balancer: std::marker::Send + std::marker::Sync + 'static {
        /// Takes what is wanted, all or nothing.
        async fn apply(
            &self,
            request: tonic::Request<super::ApplyRequest>,
        ) -> std::result::Result<tonic::Response<super::ApplyResponse>, tonic::Status>;
        /// What an Apply would change, and everything that is wrong with it. Changes nothing.
        async fn plan(
            &self,
            request: tonic::Request<super::ApplyRequest>,
        ) -> std::result::Result<tonic::Response<super::PlanResponse>, tonic::Status>;
        /// One service with its endpoints, as it is served.
        async fn get(
            &self,
            request: tonic::Request<super::GetRequest>,
        ) -> std::result::Result<tonic::Response<super::GetResponse>, tonic::Status>;
        /// All services in the order of their names, a page at a time.
        async fn list(
            &self,
            request: tonic::Request<super::ListRequest>,
        ) -> std::result::Result<tonic::Response<super::ListResponse>, tonic::Status>;
        /// Takes endpoints out of their service, or back in: they get no new flows; those that they have live until they end, or until the
        /// service's drain time is over.
        async fn drain(
            &self,
            request: tonic::Request<super::DrainRequest>,
        ) -> std::result::Result<tonic::Response<super::DrainResponse>, tonic::Status>;
        /// How the balancer is.
        async fn status(
            &self,
            request: tonic::Request<super::StatusRequest>,
        ) -> std::result::Result<tonic::Response<super::StatusResponse>, tonic::Status>;
        /// Server streaming response type for the Watch method.
        type WatchStream: tonic::codegen::tokio_stream::Stream<
                Item = std::result::Result<super::WatchResponse, tonic::Status>,
            >
            + std::marker::Send
            + 'static;
        /// Counters, now and then every so often, until the client ends it.
        async fn watch(
            &self,
            request: tonic::Request<super::WatchRequest>,
        ) -> std::result::Result<tonic::Response<Self::WatchStream>, tonic::Status>;
    }
    #[derive(Debug)]
    pub struct BalancerServer<T> {
        inner: Arc<T>,
        accept_compression_encodings: EnabledCompressionEncodings,
        send_compression_encodings: EnabledCompressionEncodings,
        max_decoding_message_size: Option<usize>,
        max_encoding_message_size: Option<usize>,
    }
    impl<T> BalancerServer<T> {
        pub fn new(inner: T) -> Self {
            Self::from_arc(Arc::new(inner))
        }
        pub fn from_arc(inner: Arc<T>) -> Self {
            Self {
                inner,
                accept_compression_encodings: Default::default(),
                send_compression_encodings: Default::default(),
                max_decoding_message_size: None,
                max_encoding_message_size: None,
            }
        }
        pub fn with_interceptor<F>(
            inner: T,
            interceptor: F,
        ) -> InterceptedService<Self, F>
        where
            F: tonic::service::Interceptor,
        {
            InterceptedService::new(Self::new(inner), interceptor)
        }
        /// Enable decompressing requests with the given encoding.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.accept_compression_encodings.enable(encoding);
            self
        }
        /// Compress responses with the given encoding, if the client supports it.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.send_compression_encodings.enable(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.max_decoding_message_size = Some(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.max_encoding_message_size = Some(limit);
            self
        }
    }
    impl<T, B> tonic::codegen::Service<http::Request<B>> for BalancerServer<T>
    where
        T: Balancer,
        B: Body + std::marker::Send + 'static,
        B::Error: Into<StdError> + std::marker::Send + 'static,
    {
        type Response = http::Response<tonic::body::Body>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;
        fn poll_ready(
            &mut self,
            _cx: &mut Context<'_>,
        ) -> Poll<std::result::Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: http::Request<B>) -> Self::Future {
            match req.uri().path() {
                "/berth.balancer.v1.Balancer/Apply" => {
                    #[allow(non_camel_case_types)]
                    struct ApplySvc<T: Balancer>(pub Arc<T>);
                    impl<T: Balancer> tonic::server::UnaryService<super::ApplyRequest>
                    for ApplySvc<T> {
                        type Response = super::ApplyResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::ApplyRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Balancer>::apply(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ApplySvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.balancer.v1.Balancer/Plan" => {
                    #[allow(non_camel_case_types)]
                    struct PlanSvc<T: Balancer>(pub Arc<T>);
                    impl<T: Balancer> tonic::server::UnaryService<super::ApplyRequest>
                    for PlanSvc<T> {
                        type Response = super::PlanResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::ApplyRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Balancer>::plan(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = PlanSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.balancer.v1.Balancer/Get" => {
                    #[allow(non_camel_case_types)]
                    struct GetSvc<T: Balancer>(pub Arc<T>);
                    impl<T: Balancer> tonic::server::UnaryService<super::GetRequest>
                    for GetSvc<T> {
                        type Response = super::GetResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Balancer>::get(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.balancer.v1.Balancer/List" => {
                    #[allow(non_camel_case_types)]
                    struct ListSvc<T: Balancer>(pub Arc<T>);
                    impl<T: Balancer> tonic::server::UnaryService<super::ListRequest>
                    for ListSvc<T> {
                        type Response = super::ListResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::ListRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Balancer>::list(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = ListSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.balancer.v1.Balancer/Drain" => {
                    #[allow(non_camel_case_types)]
                    struct DrainSvc<T: Balancer>(pub Arc<T>);
                    impl<T: Balancer> tonic::server::UnaryService<super::DrainRequest>
                    for DrainSvc<T> {
                        type Response = super::DrainResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::DrainRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Balancer>::drain(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = DrainSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.balancer.v1.Balancer/Status" => {
                    #[allow(non_camel_case_types)]
                    struct StatusSvc<T: Balancer>(pub Arc<T>);
                    impl<T: Balancer> tonic::server::UnaryService<super::StatusRequest>
                    for StatusSvc<T> {
                        type Response = super::StatusResponse;
                        type Future = BoxFuture<
                            tonic::Response<Self::Response>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::StatusRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Balancer>::status(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = StatusSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/berth.balancer.v1.Balancer/Watch" => {
                    #[allow(non_camel_case_types)]
                    struct WatchSvc<T: Balancer>(pub Arc<T>);
                    impl<
                        T: Balancer,
                    > tonic::server::ServerStreamingService<super::WatchRequest>
                    for WatchSvc<T> {
                        type Response = super::WatchResponse;
                        type ResponseStream = T::WatchStream;
                        type Future = BoxFuture<
                            tonic::Response<Self::ResponseStream>,
                            tonic::Status,
                        >;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::WatchRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Balancer>::watch(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = WatchSvc(inner);
                        let codec = crate::codec::WireCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.server_streaming(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                _ => {
                    Box::pin(async move {
                        let mut response = http::Response::new(
                            tonic::body::Body::default(),
                        );
                        let headers = response.headers_mut();
                        headers
                            .insert(
                                tonic::Status::GRPC_STATUS,
                                (tonic::Code::Unimplemented as i32).into(),
                            );
                        headers
                            .insert(
                                http::header::CONTENT_TYPE,
                                tonic::metadata::GRPC_CONTENT_TYPE,
                            );
                        Ok(response)
                    })
                }
            }
        }
    }
    impl<T> Clone for BalancerServer<T> {
        fn clone(&self) -> Self {
            let inner = self.inner.clone();
            Self {
                inner,
                accept_compression_encodings: self.accept_compression_encodings,
                send_compression_encodings: self.send_compression_encodings,
                max_decoding_message_size: self.max_decoding_message_size,
                max_encoding_message_size: self.max_encoding_message_size,
            }
        }
    }
    /// Generated gRPC service name
    pub const SERVICE_NAME: &str = "berth.balancer.v1.Balancer";
    impl<T> tonic::server::NamedService for BalancerServer<T> {
        const NAME: &'static str = SERVICE_NAME;
    }
}
