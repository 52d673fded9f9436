/// What replicas share. Identity (uid, namespace, name) stands beside it, in PodRequest and in BoundPod.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodSpec {
    /// metadata.labels.
    #[prost(btree_map = "string, string", tag = "1")]
    pub labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    /// The owner reference with `controller: true`; the default topology spread reads it.
    #[prost(message, optional, tag = "2")]
    pub owner: ::core::option::Option<OwnerReference>,
    /// The profile that places the pod; empty means "default-scheduler". An unknown one keeps the pod pending.
    #[prost(string, tag = "3")]
    pub scheduler_name: ::prost::alloc::string::String,
    /// Higher goes first, and may preempt lower.
    #[prost(int32, tag = "4")]
    pub priority: i32,
    /// "PreemptLowerPriority" (also when empty) or "Never".
    #[prost(string, tag = "5")]
    pub preemption_policy: ::prost::alloc::string::String,
    /// In order; one with `restart_policy: "Always"` is a sidecar.
    #[prost(message, repeated, tag = "6")]
    pub init_containers: ::prost::alloc::vec::Vec<Container>,
    /// In order.
    #[prost(message, repeated, tag = "7")]
    pub containers: ::prost::alloc::vec::Vec<Container>,
    /// Requests of the pod as a whole: cpu, memory and huge pages. They replace the containers' sum.
    #[prost(message, optional, tag = "8")]
    pub resources: ::core::option::Option<ResourceRequirements>,
    /// What the runtime class adds.
    #[prost(btree_map = "string, string", tag = "9")]
    pub overhead: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    /// Only this node will do.
    #[prost(string, tag = "10")]
    pub node_name: ::prost::alloc::string::String,
    /// Every pair must be a label of the node.
    #[prost(btree_map = "string, string", tag = "11")]
    pub node_selector: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(message, optional, tag = "12")]
    pub affinity: ::core::option::Option<Affinity>,
    #[prost(message, repeated, tag = "13")]
    pub tolerations: ::prost::alloc::vec::Vec<Toleration>,
    #[prost(message, repeated, tag = "14")]
    pub topology_spread_constraints: ::prost::alloc::vec::Vec<TopologySpreadConstraint>,
    /// Only volumes that matter for placement need be given; the others may.
    #[prost(message, repeated, tag = "15")]
    pub volumes: ::prost::alloc::vec::Vec<Volume>,
    /// While there is one, the pod waits.
    #[prost(message, repeated, tag = "16")]
    pub scheduling_gates: ::prost::alloc::vec::Vec<PodSchedulingGate>,
    /// Ports of the containers are ports of the host.
    #[prost(bool, tag = "17")]
    pub host_network: bool,
    /// Features that the node must declare (KEP-5328).
    #[prost(string, repeated, tag = "18")]
    pub required_node_features: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Names of resource claims. Berth has no dynamic resources: a pod with claims stays pending and the answer names this field.
    #[prost(message, repeated, tag = "19")]
    pub resource_claims: ::prost::alloc::vec::Vec<PodResourceClaim>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct OwnerReference {
    /// "apps/v1", "v1".
    #[prost(string, tag = "1")]
    pub api_version: ::prost::alloc::string::String,
    /// "ReplicaSet", "StatefulSet", "ReplicationController", or another.
    #[prost(string, tag = "2")]
    pub kind: ::prost::alloc::string::String,
    /// In the pod's namespace.
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Container {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub image: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "3")]
    pub resources: ::core::option::Option<ResourceRequirements>,
    #[prost(message, repeated, tag = "4")]
    pub ports: ::prost::alloc::vec::Vec<ContainerPort>,
    /// Init containers only: "Always" makes a sidecar.
    #[prost(string, tag = "5")]
    pub restart_policy: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ResourceRequirements {
    /// By resource name ("cpu", "memory", "ephemeral-storage", "nvidia.com/gpu").
    #[prost(btree_map = "string, string", tag = "1")]
    pub requests: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    /// Where a resource has a limit and no request, the limit is the request, as an API server fills it in.
    #[prost(btree_map = "string, string", tag = "2")]
    pub limits: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ContainerPort {
    #[prost(uint32, tag = "1")]
    pub host_port: u32,
    #[prost(uint32, tag = "2")]
    pub container_port: u32,
    /// "TCP" (also when empty), "UDP" or "SCTP".
    #[prost(string, tag = "3")]
    pub protocol: ::prost::alloc::string::String,
    /// Empty: all addresses of the host.
    #[prost(string, tag = "4")]
    pub host_ip: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PodSchedulingGate {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PodResourceClaim {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Affinity {
    #[prost(message, optional, tag = "1")]
    pub node_affinity: ::core::option::Option<NodeAffinity>,
    #[prost(message, optional, tag = "2")]
    pub pod_affinity: ::core::option::Option<PodAffinity>,
    #[prost(message, optional, tag = "3")]
    pub pod_anti_affinity: ::core::option::Option<PodAffinity>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NodeAffinity {
    #[prost(message, optional, tag = "1")]
    pub required_during_scheduling_ignored_during_execution: ::core::option::Option<
        NodeSelector,
    >,
    #[prost(message, repeated, tag = "2")]
    pub preferred_during_scheduling_ignored_during_execution: ::prost::alloc::vec::Vec<
        PreferredSchedulingTerm,
    >,
}
/// One of the terms must hold; without terms no node matches.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NodeSelector {
    #[prost(message, repeated, tag = "1")]
    pub node_selector_terms: ::prost::alloc::vec::Vec<NodeSelectorTerm>,
}
/// All requirements must hold; a term without any matches no node.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NodeSelectorTerm {
    #[prost(message, repeated, tag = "1")]
    pub match_expressions: ::prost::alloc::vec::Vec<Requirement>,
    /// The one field is "metadata.name", with "In" or "NotIn" and one value.
    #[prost(message, repeated, tag = "2")]
    pub match_fields: ::prost::alloc::vec::Vec<Requirement>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PreferredSchedulingTerm {
    /// 1 to 100.
    #[prost(int32, tag = "1")]
    pub weight: i32,
    #[prost(message, optional, tag = "2")]
    pub preference: ::core::option::Option<NodeSelectorTerm>,
}
/// A requirement on one label.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Requirement {
    #[prost(string, tag = "1")]
    pub key: ::prost::alloc::string::String,
    /// "In", "NotIn", "Exists", "DoesNotExist"; in node selectors also "Gt" and "Lt".
    #[prost(string, tag = "2")]
    pub operator: ::prost::alloc::string::String,
    #[prost(string, repeated, tag = "3")]
    pub values: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LabelSelector {
    #[prost(btree_map = "string, string", tag = "1")]
    pub match_labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(message, repeated, tag = "2")]
    pub match_expressions: ::prost::alloc::vec::Vec<Requirement>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodAffinity {
    #[prost(message, repeated, tag = "1")]
    pub required_during_scheduling_ignored_during_execution: ::prost::alloc::vec::Vec<
        PodAffinityTerm,
    >,
    #[prost(message, repeated, tag = "2")]
    pub preferred_during_scheduling_ignored_during_execution: ::prost::alloc::vec::Vec<
        WeightedPodAffinityTerm,
    >,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WeightedPodAffinityTerm {
    /// 1 to 100.
    #[prost(int32, tag = "1")]
    pub weight: i32,
    #[prost(message, optional, tag = "2")]
    pub pod_affinity_term: ::core::option::Option<PodAffinityTerm>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodAffinityTerm {
    /// Which pods; absent: none. An empty one: all.
    #[prost(message, optional, tag = "1")]
    pub label_selector: ::core::option::Option<LabelSelector>,
    /// With neither these nor a namespace selector: the pod's own namespace.
    #[prost(string, repeated, tag = "2")]
    pub namespaces: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// An empty one: all namespaces.
    #[prost(message, optional, tag = "3")]
    pub namespace_selector: ::core::option::Option<LabelSelector>,
    /// Nodes with equal values of this label make one domain.
    #[prost(string, tag = "4")]
    pub topology_key: ::prost::alloc::string::String,
    /// Labels of this pod whose values are added to the selector, with "In" and with "NotIn".
    #[prost(string, repeated, tag = "5")]
    pub match_label_keys: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "6")]
    pub mismatch_label_keys: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Taint {
    #[prost(string, tag = "1")]
    pub key: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub value: ::prost::alloc::string::String,
    /// "NoSchedule", "PreferNoSchedule" or "NoExecute".
    #[prost(string, tag = "3")]
    pub effect: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Toleration {
    /// Empty, with "Exists": any.
    #[prost(string, tag = "1")]
    pub key: ::prost::alloc::string::String,
    /// "Equal" (also when empty) or "Exists".
    #[prost(string, tag = "2")]
    pub operator: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub value: ::prost::alloc::string::String,
    /// Empty: any.
    #[prost(string, tag = "4")]
    pub effect: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TopologySpreadConstraint {
    /// At least 1.
    #[prost(int32, tag = "1")]
    pub max_skew: i32,
    #[prost(string, tag = "2")]
    pub topology_key: ::prost::alloc::string::String,
    /// "DoNotSchedule" (also when empty) or "ScheduleAnyway".
    #[prost(string, tag = "3")]
    pub when_unsatisfiable: ::prost::alloc::string::String,
    /// Absent: none.
    #[prost(message, optional, tag = "4")]
    pub label_selector: ::core::option::Option<LabelSelector>,
    /// With "DoNotSchedule" only; 0: not given.
    #[prost(int32, tag = "5")]
    pub min_domains: i32,
    /// "Honor" (also when empty) or "Ignore".
    #[prost(string, tag = "6")]
    pub node_affinity_policy: ::prost::alloc::string::String,
    /// "Honor" or "Ignore" (also when empty).
    #[prost(string, tag = "7")]
    pub node_taints_policy: ::prost::alloc::string::String,
    /// Labels of this pod whose values are added to the selector.
    #[prost(string, repeated, tag = "8")]
    pub match_label_keys: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Volume {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    /// Without a source the volume does not matter for placement (emptyDir, configMap, hostPath, ...).
    #[prost(oneof = "volume::Source", tags = "2, 3, 4, 5, 6, 7, 8, 9")]
    pub source: ::core::option::Option<volume::Source>,
}
/// Nested message and enum types in `Volume`.
pub mod volume {
    /// Without a source the volume does not matter for placement (emptyDir, configMap, hostPath, ...).
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Source {
        #[prost(message, tag = "2")]
        PersistentVolumeClaim(super::PersistentVolumeClaimVolumeSource),
        /// A generic ephemeral volume: the claim is called pod name, dash, volume name, and is owned by the pod.
        #[prost(message, tag = "3")]
        Ephemeral(super::EphemeralVolumeSource),
        #[prost(message, tag = "4")]
        Csi(super::CsiVolumeSource),
        #[prost(message, tag = "5")]
        GcePersistentDisk(super::GcePersistentDiskVolumeSource),
        #[prost(message, tag = "6")]
        AwsElasticBlockStore(super::AwsElasticBlockStoreVolumeSource),
        #[prost(message, tag = "7")]
        Iscsi(super::IscsiVolumeSource),
        #[prost(message, tag = "8")]
        Rbd(super::RbdVolumeSource),
        #[prost(message, tag = "9")]
        Image(super::ImageVolumeSource),
    }
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PersistentVolumeClaimVolumeSource {
    #[prost(string, tag = "1")]
    pub claim_name: ::prost::alloc::string::String,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct EphemeralVolumeSource {}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CsiVolumeSource {
    #[prost(string, tag = "1")]
    pub driver: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GcePersistentDiskVolumeSource {
    #[prost(string, tag = "1")]
    pub pd_name: ::prost::alloc::string::String,
    #[prost(bool, tag = "2")]
    pub read_only: bool,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct AwsElasticBlockStoreVolumeSource {
    #[prost(string, tag = "1")]
    pub volume_id: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct IscsiVolumeSource {
    #[prost(string, tag = "1")]
    pub iqn: ::prost::alloc::string::String,
    #[prost(bool, tag = "2")]
    pub read_only: bool,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RbdVolumeSource {
    #[prost(string, repeated, tag = "1")]
    pub monitors: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Empty: "rbd".
    #[prost(string, tag = "2")]
    pub pool: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub image: ::prost::alloc::string::String,
    #[prost(bool, tag = "4")]
    pub read_only: bool,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ImageVolumeSource {
    #[prost(string, tag = "1")]
    pub reference: ::prost::alloc::string::String,
}
/// v1.Node. Its name is its identity.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Node {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(message, repeated, tag = "3")]
    pub taints: ::prost::alloc::vec::Vec<Taint>,
    /// spec.unschedulable.
    #[prost(bool, tag = "4")]
    pub unschedulable: bool,
    /// status.allocatable, "pods" among it. A resource that is absent is not there.
    #[prost(btree_map = "string, string", tag = "5")]
    pub allocatable: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(message, repeated, tag = "6")]
    pub images: ::prost::alloc::vec::Vec<ContainerImage>,
    /// status.declaredFeatures (KEP-5328).
    #[prost(string, repeated, tag = "7")]
    pub declared_features: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ContainerImage {
    /// With tag or digest; several names of one image.
    #[prost(string, repeated, tag = "1")]
    pub names: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(int64, tag = "2")]
    pub size_bytes: i64,
}
/// A pod that somebody placed: it counts on its node, whoever decided that.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct BoundPod {
    /// Identity over time.
    #[prost(string, tag = "1")]
    pub uid: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
    /// Where it runs. A node that is not known (yet) is fine: the pod counts nowhere until the node is.
    #[prost(string, tag = "6")]
    pub node: ::prost::alloc::string::String,
    /// status.startTime in microseconds since the Unix epoch; 0: unknown. Later ones are preempted first.
    #[prost(int64, tag = "7")]
    pub started_unix_us: i64,
    /// metadata.deletionTimestamp is set.
    #[prost(bool, tag = "8")]
    pub terminating: bool,
    #[prost(oneof = "bound_pod::What", tags = "4, 5")]
    pub what: ::core::option::Option<bound_pod::What>,
}
/// Nested message and enum types in `BoundPod`.
pub mod bound_pod {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum What {
        #[prost(message, tag = "4")]
        Spec(super::PodSpec),
        /// A registered template (RegisterTemplate).
        #[prost(uint32, tag = "5")]
        Template(u32),
    }
}
/// A namespace with its labels; namespace selectors read them.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Namespace {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
}
/// A Service or a controller, as far as it says which pods belong together: the default topology spread reads it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Group {
    /// "Service", "ReplicationController", "ReplicaSet" or "StatefulSet".
    #[prost(string, tag = "1")]
    pub kind: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "4")]
    pub selector: ::core::option::Option<LabelSelector>,
}
/// policy/v1.PodDisruptionBudget.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DisruptionBudget {
    #[prost(string, tag = "1")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub name: ::prost::alloc::string::String,
    #[prost(message, optional, tag = "3")]
    pub selector: ::core::option::Option<LabelSelector>,
    /// status.disruptionsAllowed.
    #[prost(int32, tag = "4")]
    pub disruptions_allowed: i32,
    /// status.disruptedPods: names of pods whose eviction is counted already.
    #[prost(string, repeated, tag = "5")]
    pub disrupted_pods: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// v1.PersistentVolume.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PersistentVolume {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    /// A quantity of bytes.
    #[prost(string, tag = "3")]
    pub capacity: ::prost::alloc::string::String,
    /// "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod".
    #[prost(string, repeated, tag = "4")]
    pub access_modes: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, tag = "5")]
    pub storage_class_name: ::prost::alloc::string::String,
    /// The claim it is bound to or reserved for.
    #[prost(message, optional, tag = "6")]
    pub claim_ref: ::core::option::Option<ClaimReference>,
    /// Nodes from which it can be reached; absent: all.
    #[prost(message, optional, tag = "7")]
    pub node_affinity: ::core::option::Option<NodeSelector>,
    #[prost(message, optional, tag = "8")]
    pub csi: ::core::option::Option<CsiPersistentVolumeSource>,
    /// "Filesystem" (also when empty) or "Block".
    #[prost(string, tag = "9")]
    pub volume_mode: ::prost::alloc::string::String,
    /// status.phase: "Available", "Bound", "Released", ...
    #[prost(string, tag = "10")]
    pub phase: ::prost::alloc::string::String,
    #[prost(bool, tag = "11")]
    pub terminating: bool,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ClaimReference {
    #[prost(string, tag = "1")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub name: ::prost::alloc::string::String,
    /// Empty: reserved for a claim of that name.
    #[prost(string, tag = "3")]
    pub uid: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CsiPersistentVolumeSource {
    #[prost(string, tag = "1")]
    pub driver: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub volume_handle: ::prost::alloc::string::String,
}
/// v1.PersistentVolumeClaim.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PersistentVolumeClaim {
    #[prost(string, tag = "1")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub uid: ::prost::alloc::string::String,
    /// Uid of the pod that owns it (generic ephemeral volumes); empty: none.
    #[prost(string, tag = "4")]
    pub owner_uid: ::prost::alloc::string::String,
    /// Absent and empty differ: an empty one wants volumes without a class.
    #[prost(string, optional, tag = "5")]
    pub storage_class_name: ::core::option::Option<::prost::alloc::string::String>,
    /// The volume it names or is bound to; empty: none.
    #[prost(string, tag = "6")]
    pub volume_name: ::prost::alloc::string::String,
    /// Annotation pv.kubernetes.io/bind-completed.
    #[prost(bool, tag = "7")]
    pub bind_completed: bool,
    /// Annotation volume.kubernetes.io/selected-node; empty: none.
    #[prost(string, tag = "8")]
    pub selected_node: ::prost::alloc::string::String,
    /// status.phase is "Lost".
    #[prost(bool, tag = "9")]
    pub lost: bool,
    #[prost(bool, tag = "10")]
    pub terminating: bool,
    /// A quantity of bytes.
    #[prost(string, tag = "11")]
    pub request: ::prost::alloc::string::String,
    #[prost(string, repeated, tag = "12")]
    pub access_modes: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(message, optional, tag = "13")]
    pub selector: ::core::option::Option<LabelSelector>,
    /// "Filesystem" (also when empty) or "Block".
    #[prost(string, tag = "14")]
    pub volume_mode: ::prost::alloc::string::String,
}
/// storage.k8s.io/v1.StorageClass.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StorageClass {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub provisioner: ::prost::alloc::string::String,
    /// "Immediate" (also when empty) or "WaitForFirstConsumer".
    #[prost(string, tag = "3")]
    pub volume_binding_mode: ::prost::alloc::string::String,
    /// Where volumes can be made: one of the terms must hold; none: everywhere.
    #[prost(message, repeated, tag = "4")]
    pub allowed_topologies: ::prost::alloc::vec::Vec<NodeSelectorTerm>,
}
/// storage.k8s.io/v1.CSINode.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CsiNode {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "2")]
    pub drivers: ::prost::alloc::vec::Vec<CsiNodeDriver>,
    /// In-tree plugins whose volumes count at their CSI driver.
    #[prost(string, repeated, tag = "3")]
    pub migrated_plugins: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CsiNodeDriver {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    /// Volumes it takes; absent: no limit.
    #[prost(int32, optional, tag = "2")]
    pub allocatable_count: ::core::option::Option<i32>,
}
/// storage.k8s.io/v1.CSIDriver.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CsiDriver {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(bool, tag = "2")]
    pub storage_capacity: bool,
}
/// storage.k8s.io/v1.CSIStorageCapacity.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CsiStorageCapacity {
    #[prost(string, tag = "1")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub storage_class_name: ::prost::alloc::string::String,
    /// For which nodes; absent: none.
    #[prost(message, optional, tag = "4")]
    pub node_topology: ::core::option::Option<LabelSelector>,
    /// Quantities of bytes; empty: not given.
    #[prost(string, tag = "5")]
    pub capacity: ::prost::alloc::string::String,
    #[prost(string, tag = "6")]
    pub maximum_volume_size: ::prost::alloc::string::String,
}
/// storage.k8s.io/v1.VolumeAttachment.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct VolumeAttachment {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub attacher: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub node_name: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    pub persistent_volume_name: ::prost::alloc::string::String,
}
/// Which object, without its content.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ObjectKey {
    /// Names of the messages here: "Node", "BoundPod", "Namespace", "Group", "DisruptionBudget", "PersistentVolume",
    /// "PersistentVolumeClaim", "StorageClass", "CSINode", "CSIDriver", "CSIStorageCapacity", "VolumeAttachment".
    #[prost(string, tag = "1")]
    pub kind: ::prost::alloc::string::String,
    /// Where the kind has one.
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    /// The object's name; the uid for a BoundPod.
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
    /// The `kind` of a Group ("Service", ...).
    #[prost(string, tag = "4")]
    pub group_kind: ::prost::alloc::string::String,
}
/// An object that is there, whole: it replaces the one of the same identity. Or one that is gone.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Update {
    #[prost(oneof = "update::What", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub what: ::core::option::Option<update::What>,
}
/// Nested message and enum types in `Update`.
pub mod update {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum What {
        #[prost(message, tag = "1")]
        Node(super::Node),
        #[prost(message, tag = "2")]
        Pod(super::BoundPod),
        #[prost(message, tag = "3")]
        Namespace(super::Namespace),
        #[prost(message, tag = "4")]
        Group(super::Group),
        #[prost(message, tag = "5")]
        Budget(super::DisruptionBudget),
        #[prost(message, tag = "6")]
        Volume(super::PersistentVolume),
        #[prost(message, tag = "7")]
        Claim(super::PersistentVolumeClaim),
        #[prost(message, tag = "8")]
        StorageClass(super::StorageClass),
        #[prost(message, tag = "9")]
        CsiNode(super::CsiNode),
        #[prost(message, tag = "10")]
        CsiDriver(super::CsiDriver),
        #[prost(message, tag = "11")]
        CsiCapacity(super::CsiStorageCapacity),
        #[prost(message, tag = "12")]
        Attachment(super::VolumeAttachment),
        /// Gone. A pod that this service placed is given back with Release or by this; both are the same.
        #[prost(message, tag = "13")]
        Gone(super::ObjectKey),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApplyRequest {
    /// Applied in this order.
    #[prost(message, repeated, tag = "1")]
    pub updates: ::prost::alloc::vec::Vec<Update>,
    /// One bad update leaves all of them undone. Otherwise a bad one is left out and named, and the others are applied.
    #[prost(bool, tag = "2")]
    pub all_or_nothing: bool,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApplyResponse {
    /// The state with all of them has this revision.
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// How many were applied.
    #[prost(uint32, tag = "2")]
    pub applied: u32,
    /// Those that were not.
    #[prost(message, repeated, tag = "3")]
    pub errors: ::prost::alloc::vec::Vec<UpdateError>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct UpdateError {
    /// Index in `updates`.
    #[prost(uint32, tag = "1")]
    pub index: u32,
    #[prost(enumeration = "update_error::Code", tag = "2")]
    pub code: i32,
    /// Path of the field, from the object on: `node.allocatable\["cpu"\]`.
    #[prost(string, tag = "3")]
    pub field: ::prost::alloc::string::String,
    #[prost(string, tag = "4")]
    pub message: ::prost::alloc::string::String,
}
/// Nested message and enum types in `UpdateError`.
pub mod update_error {
    #[derive(
        Clone,
        Copy,
        Debug,
        PartialEq,
        Eq,
        Hash,
        PartialOrd,
        Ord,
        ::prost::Enumeration
    )]
    #[repr(i32)]
    pub enum Code {
        Unspecified = 0,
        /// A field has no acceptable value.
        Invalid = 1,
        /// `gone` names something that is not known.
        NotFound = 2,
        /// A limit of the service is reached.
        Limit = 3,
    }
    impl Code {
        /// String value of the enum field names used in the ProtoBuf definition.
        ///
        /// The values are not transformed in any way and thus are considered stable
        /// (if the ProtoBuf definition does not change) and safe for programmatic use.
        pub fn as_str_name(&self) -> &'static str {
            match self {
                Self::Unspecified => "CODE_UNSPECIFIED",
                Self::Invalid => "INVALID",
                Self::NotFound => "NOT_FOUND",
                Self::Limit => "LIMIT",
            }
        }
        /// Creates an enum from field names used in the ProtoBuf definition.
        pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
            match value {
                "CODE_UNSPECIFIED" => Some(Self::Unspecified),
                "INVALID" => Some(Self::Invalid),
                "NOT_FOUND" => Some(Self::NotFound),
                "LIMIT" => Some(Self::Limit),
                _ => None,
            }
        }
    }
}
/// The nodes there are, in as many messages as wanted. Nothing changes before the client closes its side; then, in one step,
/// nodes that were not named are deleted, those that differ are replaced. One bad node refuses the whole (INVALID_ARGUMENT).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SyncNodesRequest {
    #[prost(message, repeated, tag = "1")]
    pub nodes: ::prost::alloc::vec::Vec<Node>,
}
/// The pods that are bound, in as many messages as wanted; applied in one step when the client closes its side.
///
/// The client's view wins, but only over what it can have seen: pods that this service placed after `as_of_revision` are kept
/// though the client does not name them.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct SyncPodsRequest {
    #[prost(message, repeated, tag = "1")]
    pub pods: ::prost::alloc::vec::Vec<BoundPod>,
    /// The revision of the last answer or Watch message which the client's view includes; read from the first message. 0: the view
    /// is complete, every pod that is not named is gone.
    #[prost(uint64, tag = "2")]
    pub as_of_revision: u64,
}
/// What differed. Lists are cut at 1,000 names each; the counts are exact.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SyncResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(uint32, tag = "2")]
    pub added_count: u32,
    #[prost(uint32, tag = "3")]
    pub removed_count: u32,
    #[prost(uint32, tag = "4")]
    pub changed_count: u32,
    #[prost(uint32, tag = "5")]
    pub unchanged_count: u32,
    /// Names of nodes, uids of pods.
    #[prost(string, repeated, tag = "6")]
    pub added: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, repeated, tag = "7")]
    pub removed: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Pods: on another node, or with another spec.
    #[prost(string, repeated, tag = "8")]
    pub changed: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Pods kept because they were placed after `as_of_revision`.
    #[prost(uint32, tag = "9")]
    pub kept_count: u32,
}
/// A pod to be placed.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodRequest {
    /// The pod's identity over time, at most 512 bytes. A request with the uid of a known pod is a repetition.
    #[prost(string, tag = "1")]
    pub uid: ::prost::alloc::string::String,
    /// Empty: "default".
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    /// Unique in its namespace.
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
    #[prost(oneof = "pod_request::What", tags = "4, 5")]
    pub what: ::core::option::Option<pod_request::What>,
}
/// Nested message and enum types in `PodRequest`.
pub mod pod_request {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum What {
        #[prost(message, tag = "4")]
        Spec(super::PodSpec),
        /// A registered template (RegisterTemplate).
        #[prost(uint32, tag = "5")]
        Template(u32),
    }
}
/// How the pods of one message are to be handled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ScheduleOptions {
    /// 0: placements are final. Otherwise each placement is a lease: the room is taken, and falls free again unless Confirm comes
    /// within this time.
    #[prost(int64, tag = "4")]
    pub lease_ms: i64,
    /// Either every pod of the message is placed or none is. Only with answer_now; nothing is preempted for such a batch.
    #[prost(bool, tag = "5")]
    pub all_or_nothing: bool,
    /// How long the room of a nomination is held for the pod; 0: the server's default (60 s).
    #[prost(int64, tag = "6")]
    pub nomination_hold_ms: i64,
    /// What happens to a pod that no node takes now. Without a mode: answer_now.
    #[prost(oneof = "schedule_options::Mode", tags = "1, 2, 3")]
    pub mode: ::core::option::Option<schedule_options::Mode>,
}
/// Nested message and enum types in `ScheduleOptions`.
pub mod schedule_options {
    /// What happens to a pod that no node takes now. Without a mode: answer_now.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Mode {
        /// It is refused, and forgotten; unless preemption can make room (see Preempting).
        #[prost(bool, tag = "1")]
        AnswerNow(bool),
        /// It waits in the scheduler's queue until this time (milliseconds since the Unix epoch), is tried again when something
        /// changes that may help it, and is decided later: on the ScheduleStream that brought it and on Watch. At the deadline it is
        /// refused with `deadline_passed`.
        #[prost(int64, tag = "2")]
        QueueUntilUnixMs(i64),
        /// The same, as a time from the arrival of the request.
        #[prost(int64, tag = "3")]
        QueueForMs(i64),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ScheduleRequest {
    #[prost(message, optional, tag = "1")]
    pub options: ::core::option::Option<ScheduleOptions>,
    /// Decided in this order (waiting pods: by priority, then in this order). At most 4,096.
    #[prost(message, repeated, tag = "2")]
    pub pods: ::prost::alloc::vec::Vec<PodRequest>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ScheduleResponse {
    /// The state after the last decision has this revision.
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// results\[i\] answers pods\[i\]; one pod's failure does not touch the others.
    #[prost(message, repeated, tag = "2")]
    pub results: ::prost::alloc::vec::Vec<PodResult>,
}
/// What became of one pod.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodResult {
    /// The revision at which it was decided: a placement's own, otherwise that of the state that was looked at.
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// The pod. Left empty in the `results` of a ScheduleStream, where the position says it.
    #[prost(string, tag = "2")]
    pub uid: ::prost::alloc::string::String,
    #[prost(oneof = "pod_result::Outcome", tags = "3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub outcome: ::core::option::Option<pod_result::Outcome>,
}
/// Nested message and enum types in `PodResult`.
pub mod pod_result {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Outcome {
        #[prost(message, tag = "3")]
        Placed(super::Placed),
        #[prost(message, tag = "4")]
        Refused(super::Refused),
        #[prost(message, tag = "5")]
        Queued(super::Queued),
        #[prost(message, tag = "6")]
        Preempting(super::Preempting),
        #[prost(message, tag = "7")]
        Conflict(super::Conflict),
        #[prost(message, tag = "8")]
        Invalid(super::Invalid),
        #[prost(message, tag = "9")]
        NotAccepted(super::NotAccepted),
        #[prost(message, tag = "10")]
        Cancelled(super::Cancelled),
        #[prost(message, tag = "11")]
        Withdrawn(super::Withdrawn),
    }
}
/// The pod has a node, and its requests count there from now on.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Placed {
    #[prost(string, tag = "1")]
    pub node: ::prost::alloc::string::String,
    /// The pod was placed before; this repeats that decision.
    #[prost(bool, tag = "2")]
    pub repeated: bool,
    /// For a lease: when it ends (milliseconds since the Unix epoch) unless it is confirmed. 0: final.
    #[prost(int64, tag = "3")]
    pub lease_until_unix_ms: i64,
    /// What the pod's unbound claims get.
    #[prost(message, repeated, tag = "4")]
    pub volumes: ::prost::alloc::vec::Vec<VolumeChoice>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct VolumeChoice {
    /// The claim, in the pod's namespace.
    #[prost(string, tag = "1")]
    pub claim: ::prost::alloc::string::String,
    /// The volume reserved for it; empty: one is to be made, for the chosen node.
    #[prost(string, tag = "2")]
    pub volume: ::prost::alloc::string::String,
}
/// No node takes the pod.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Refused {
    /// As kube-scheduler says it: "0/5000 nodes are available: 3000 Insufficient cpu, 2000 node(s) had untolerated taint(s)."
    /// Where very many pods are refused at once, it names rules instead of reasons.
    #[prost(string, tag = "1")]
    pub message: ::prost::alloc::string::String,
    /// Nodes there are.
    #[prost(uint32, tag = "2")]
    pub nodes: u32,
    /// Nodes by the rule that refused them first. The counts add up to `nodes`, unless a rule refuses the pod as a whole.
    #[prost(message, repeated, tag = "3")]
    pub rules: ::prost::alloc::vec::Vec<RuleCount>,
    /// The pod waited until its deadline.
    #[prost(bool, tag = "4")]
    pub deadline_passed: bool,
    /// Scheduling gates that keep it waiting.
    #[prost(string, repeated, tag = "5")]
    pub gates: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RuleCount {
    /// Kubernetes' name of the plugin: "NodeResourcesFit".
    #[prost(string, tag = "1")]
    pub plugin: ::prost::alloc::string::String,
    #[prost(uint32, tag = "2")]
    pub nodes: u32,
}
/// The pod waits; it is decided later.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Queued {
    #[prost(enumeration = "queued::Queue", tag = "1")]
    pub queue: i32,
    #[prost(int64, tag = "2")]
    pub deadline_unix_ms: i64,
    /// Why it could not be placed at the first try; absent where it was not tried.
    #[prost(message, optional, tag = "3")]
    pub why: ::core::option::Option<Refused>,
}
/// Nested message and enum types in `Queued`.
pub mod queued {
    #[derive(
        Clone,
        Copy,
        Debug,
        PartialEq,
        Eq,
        Hash,
        PartialOrd,
        Ord,
        ::prost::Enumeration
    )]
    #[repr(i32)]
    pub enum Queue {
        Unspecified = 0,
        /// About to be tried.
        Active = 1,
        /// Tried lately; waits a little before it is tried again.
        Backoff = 2,
        /// Waits for a change that may help it.
        Unschedulable = 3,
        /// Waits for its scheduling gates.
        Gated = 4,
    }
    impl Queue {
        /// String value of the enum field names used in the ProtoBuf definition.
        ///
        /// The values are not transformed in any way and thus are considered stable
        /// (if the ProtoBuf definition does not change) and safe for programmatic use.
        pub fn as_str_name(&self) -> &'static str {
            match self {
                Self::Unspecified => "QUEUE_UNSPECIFIED",
                Self::Active => "ACTIVE",
                Self::Backoff => "BACKOFF",
                Self::Unschedulable => "UNSCHEDULABLE",
                Self::Gated => "GATED",
            }
        }
        /// Creates an enum from field names used in the ProtoBuf definition.
        pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
            match value {
                "QUEUE_UNSPECIFIED" => Some(Self::Unspecified),
                "ACTIVE" => Some(Self::Active),
                "BACKOFF" => Some(Self::Backoff),
                "UNSCHEDULABLE" => Some(Self::Unschedulable),
                "GATED" => Some(Self::Gated),
                _ => None,
            }
        }
    }
}
/// Room for the pod is made by preemption. The client ends the victims, which count as terminating from now on, and releases
/// them; then the pod is placed, and told as a later decision. Until `hold_until_unix_ms` it waits in the queue, also with
/// answer_now, and no pod of lower priority gets the room. Then a pod with answer_now is gone; another one waits on without the
/// nomination. Victims that are still there are spared.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Preempting {
    /// The node on which room is made.
    #[prost(string, tag = "1")]
    pub node: ::prost::alloc::string::String,
    #[prost(message, repeated, tag = "2")]
    pub victims: ::prost::alloc::vec::Vec<Victim>,
    /// How many of them violate a disruption budget.
    #[prost(uint32, tag = "3")]
    pub budget_violations: u32,
    #[prost(int64, tag = "4")]
    pub hold_until_unix_ms: i64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Victim {
    #[prost(string, tag = "1")]
    pub uid: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
}
/// The uid is known with other content. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Conflict {
    /// What differs: "spec", "namespace" or "name".
    #[prost(string, tag = "1")]
    pub field: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub message: ::prost::alloc::string::String,
}
/// The request for this pod cannot be understood. Nothing was changed.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Invalid {
    /// All problems, at most 16.
    #[prost(message, repeated, tag = "1")]
    pub violations: ::prost::alloc::vec::Vec<FieldViolation>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct FieldViolation {
    /// From the request on: `pods\[3\].spec.containers\[0\].resources.requests\["cpu"\]`.
    #[prost(string, tag = "1")]
    pub field: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub message: ::prost::alloc::string::String,
}
/// The service did not take the request up. Nothing was changed; the same request may be sent again.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct NotAccepted {
    #[prost(enumeration = "not_accepted::Reason", tag = "1")]
    pub reason: i32,
    #[prost(string, tag = "2")]
    pub message: ::prost::alloc::string::String,
    /// When to try again; 0: no hint.
    #[prost(int64, tag = "3")]
    pub retry_after_ms: i64,
}
/// Nested message and enum types in `NotAccepted`.
pub mod not_accepted {
    #[derive(
        Clone,
        Copy,
        Debug,
        PartialEq,
        Eq,
        Hash,
        PartialOrd,
        Ord,
        ::prost::Enumeration
    )]
    #[repr(i32)]
    pub enum Reason {
        Unspecified = 0,
        /// Too much is waiting.
        Overloaded = 1,
        /// The journal's disk is full: nothing new can be made durable. Reads, and repetitions of earlier requests, are answered.
        DiskFull = 2,
        /// The journal failed; the process takes no more writes until it is restarted.
        JournalFailed = 3,
        /// The service is stopping.
        Stopping = 4,
        /// A limit of the service is reached; the message names it.
        Limit = 5,
    }
    impl Reason {
        /// String value of the enum field names used in the ProtoBuf definition.
        ///
        /// The values are not transformed in any way and thus are considered stable
        /// (if the ProtoBuf definition does not change) and safe for programmatic use.
        pub fn as_str_name(&self) -> &'static str {
            match self {
                Self::Unspecified => "REASON_UNSPECIFIED",
                Self::Overloaded => "OVERLOADED",
                Self::DiskFull => "DISK_FULL",
                Self::JournalFailed => "JOURNAL_FAILED",
                Self::Stopping => "STOPPING",
                Self::Limit => "LIMIT",
            }
        }
        /// Creates an enum from field names used in the ProtoBuf definition.
        pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
            match value {
                "REASON_UNSPECIFIED" => Some(Self::Unspecified),
                "OVERLOADED" => Some(Self::Overloaded),
                "DISK_FULL" => Some(Self::DiskFull),
                "JOURNAL_FAILED" => Some(Self::JournalFailed),
                "STOPPING" => Some(Self::Stopping),
                "LIMIT" => Some(Self::Limit),
                _ => None,
            }
        }
    }
}
/// The pod was taken out of the queue by Cancel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Cancelled {}
/// The batch was all_or_nothing and another pod of it failed: this one is not placed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Withdrawn {
    /// Index of the pod that failed.
    #[prost(uint32, tag = "1")]
    pub failed_index: u32,
}
/// One message of the client on a ScheduleStream. Its parts are done in the order of the fields: first releases, then
/// confirmations, cancellations, and then the pods. A message may have any of them, or none (it is answered all the same).
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StreamRequest {
    /// Chosen by the client; comes back in the answer.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Uids, as in Release.
    #[prost(string, repeated, tag = "2")]
    pub release: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Uids, as in Confirm.
    #[prost(string, repeated, tag = "3")]
    pub confirm: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Uids, as in Cancel.
    #[prost(string, repeated, tag = "4")]
    pub cancel: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// For the pods of this message.
    #[prost(message, optional, tag = "5")]
    pub options: ::core::option::Option<ScheduleOptions>,
    /// At most 4,096.
    #[prost(message, repeated, tag = "6")]
    pub pods: ::prost::alloc::vec::Vec<PodRequest>,
}
/// One message of the server on a ScheduleStream: the answer to one message of the client, in their order; or decisions about
/// pods that were queued. (The answer to a message that is not taken up for overload may overtake others: `id` says which it is.)
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StreamResponse {
    /// Of the message that is answered; 0 with `later`.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The state after the last decision has this revision.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    /// results\[i\] answers pods\[i\]. `uid` is empty here.
    #[prost(message, repeated, tag = "3")]
    pub results: ::prost::alloc::vec::Vec<PodResult>,
    /// Uids of `release`, `confirm` and `cancel` that were not known (or not leased, or not queued).
    #[prost(string, repeated, tag = "4")]
    pub unknown: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Pods that this stream queued earlier: a nomination, or the end of their waiting.
    #[prost(message, repeated, tag = "5")]
    pub later: ::prost::alloc::vec::Vec<PodResult>,
    /// `release`, `confirm` and `cancel` were not taken up. (Pods have theirs in `results`.)
    #[prost(message, optional, tag = "6")]
    pub not_accepted: ::core::option::Option<NotAccepted>,
}
/// Registers what many pods share. The same content gives the same template, also after a restart.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RegisterTemplateRequest {
    #[prost(message, optional, tag = "1")]
    pub spec: ::core::option::Option<PodSpec>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct RegisterTemplateResponse {
    /// From 1 on.
    #[prost(uint32, tag = "1")]
    pub template: u32,
    #[prost(uint64, tag = "2")]
    pub revision: u64,
}
/// Forgets templates. Pods that were placed with them stay as they are.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DropTemplatesRequest {
    #[prost(uint32, repeated, tag = "1")]
    pub templates: ::prost::alloc::vec::Vec<u32>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct DropTemplatesResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// Those that were not known.
    #[prost(uint32, repeated, tag = "2")]
    pub unknown: ::prost::alloc::vec::Vec<u32>,
}
/// The pods are gone: what they took is free. Works for placed, leased, queued and nominated pods, whoever placed them.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ReleaseRequest {
    #[prost(string, repeated, tag = "1")]
    pub uids: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ReleaseResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// Uids that were not known; that is no error: a repeated Release finds its pods gone.
    #[prost(string, repeated, tag = "2")]
    pub unknown: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// Makes leased placements final.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ConfirmRequest {
    #[prost(string, repeated, tag = "1")]
    pub uids: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ConfirmResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// Uids without a placement: never placed, released, or the lease has ended. Those pods have no room.
    #[prost(string, repeated, tag = "2")]
    pub unknown: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// Takes pods out of the queue, nominations with them.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CancelRequest {
    #[prost(string, repeated, tag = "1")]
    pub uids: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CancelResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// Uids that were not queued; those already placed stay placed.
    #[prost(string, repeated, tag = "2")]
    pub unknown: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct WatchRequest {
    /// Changes after this revision: that of an answer, or of the last WatchResponse. Absent: from now on.
    #[prost(uint64, optional, tag = "1")]
    pub after_revision: ::core::option::Option<u64>,
    /// Only changes of pods: decisions, releases, the ends of leases and waits.
    #[prost(bool, tag = "2")]
    pub pods_only: bool,
    /// Only pods of these namespaces; none: all. Other kinds are not left out by this.
    #[prost(string, repeated, tag = "3")]
    pub namespaces: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// The first message comes at once, with the revision at which the watch begins.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct WatchResponse {
    /// All changes up to this revision were sent: resume from here.
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// By revision.
    #[prost(message, repeated, tag = "2")]
    pub changes: ::prost::alloc::vec::Vec<Change>,
    /// The watch ends here, and the client has to read the state anew (List), then watch from that revision. The call's status is
    /// then OUT_OF_RANGE.
    #[prost(message, optional, tag = "3")]
    pub list_again: ::core::option::Option<ListAgain>,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListAgain {
    #[prost(enumeration = "list_again::Reason", tag = "1")]
    pub reason: i32,
    /// The oldest revision from which a watch can begin.
    #[prost(uint64, tag = "2")]
    pub oldest_revision: u64,
    #[prost(uint64, tag = "3")]
    pub current_revision: u64,
}
/// Nested message and enum types in `ListAgain`.
pub mod list_again {
    #[derive(
        Clone,
        Copy,
        Debug,
        PartialEq,
        Eq,
        Hash,
        PartialOrd,
        Ord,
        ::prost::Enumeration
    )]
    #[repr(i32)]
    pub enum Reason {
        Unspecified = 0,
        /// The revision is older than the history that is kept.
        TooOld = 1,
        /// The revision lies in the future: this server never had that state.
        UnknownRevision = 2,
        /// The client reads too slowly; what it did not read is no longer kept.
        TooSlow = 3,
    }
    impl Reason {
        /// String value of the enum field names used in the ProtoBuf definition.
        ///
        /// The values are not transformed in any way and thus are considered stable
        /// (if the ProtoBuf definition does not change) and safe for programmatic use.
        pub fn as_str_name(&self) -> &'static str {
            match self {
                Self::Unspecified => "REASON_UNSPECIFIED",
                Self::TooOld => "TOO_OLD",
                Self::UnknownRevision => "UNKNOWN_REVISION",
                Self::TooSlow => "TOO_SLOW",
            }
        }
        /// Creates an enum from field names used in the ProtoBuf definition.
        pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
            match value {
                "REASON_UNSPECIFIED" => Some(Self::Unspecified),
                "TOO_OLD" => Some(Self::TooOld),
                "UNKNOWN_REVISION" => Some(Self::UnknownRevision),
                "TOO_SLOW" => Some(Self::TooSlow),
                _ => None,
            }
        }
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Change {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(oneof = "change::What", tags = "2, 3")]
    pub what: ::core::option::Option<change::What>,
}
/// Nested message and enum types in `Change`.
pub mod change {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum What {
        #[prost(message, tag = "2")]
        Pod(super::PodChange),
        /// A node is there or changed, or another object did; `gone` when it went. Content: Get and List.
        #[prost(message, tag = "3")]
        Object(super::ObjectChange),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodChange {
    #[prost(string, tag = "1")]
    pub uid: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
    #[prost(enumeration = "PodState", tag = "4")]
    pub state: i32,
    /// Where it is placed, bound, or nominated.
    #[prost(string, tag = "5")]
    pub node: ::prost::alloc::string::String,
    /// With POD_STATE_NOMINATED.
    #[prost(message, optional, tag = "6")]
    pub preempting: ::core::option::Option<Preempting>,
    /// With POD_STATE_DEADLINE_PASSED.
    #[prost(message, optional, tag = "7")]
    pub refused: ::core::option::Option<Refused>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ObjectChange {
    #[prost(message, optional, tag = "1")]
    pub key: ::core::option::Option<ObjectKey>,
    #[prost(bool, tag = "2")]
    pub gone: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum PodState {
    Unspecified = 0,
    /// Waits in the queue.
    Queued = 1,
    /// Waits, and has a nomination: victims are to be ended.
    Nominated = 2,
    /// Placed, and to be confirmed.
    Leased = 3,
    /// Placed.
    Placed = 4,
    /// Bound by somebody else (Apply, SyncPods).
    Bound = 5,
    /// Gone: released, or told as gone.
    Released = 6,
    /// Gone: the lease was not confirmed in time.
    LeaseEnded = 7,
    /// Gone: cancelled while it waited.
    Cancelled = 8,
    /// Gone: not placed before its deadline.
    DeadlinePassed = 9,
}
impl PodState {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "POD_STATE_UNSPECIFIED",
            Self::Queued => "POD_STATE_QUEUED",
            Self::Nominated => "POD_STATE_NOMINATED",
            Self::Leased => "POD_STATE_LEASED",
            Self::Placed => "POD_STATE_PLACED",
            Self::Bound => "POD_STATE_BOUND",
            Self::Released => "POD_STATE_RELEASED",
            Self::LeaseEnded => "POD_STATE_LEASE_ENDED",
            Self::Cancelled => "POD_STATE_CANCELLED",
            Self::DeadlinePassed => "POD_STATE_DEADLINE_PASSED",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "POD_STATE_UNSPECIFIED" => Some(Self::Unspecified),
            "POD_STATE_QUEUED" => Some(Self::Queued),
            "POD_STATE_NOMINATED" => Some(Self::Nominated),
            "POD_STATE_LEASED" => Some(Self::Leased),
            "POD_STATE_PLACED" => Some(Self::Placed),
            "POD_STATE_BOUND" => Some(Self::Bound),
            "POD_STATE_RELEASED" => Some(Self::Released),
            "POD_STATE_LEASE_ENDED" => Some(Self::LeaseEnded),
            "POD_STATE_CANCELLED" => Some(Self::Cancelled),
            "POD_STATE_DEADLINE_PASSED" => Some(Self::DeadlinePassed),
            _ => None,
        }
    }
}
/// What would be decided now, and why. Nothing is changed.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ExplainRequest {
    /// How many of the best nodes to show with their scores; 0: 5. At most 1,000.
    #[prost(uint32, tag = "3")]
    pub top: u32,
    /// Nodes to show in any case.
    #[prost(string, repeated, tag = "4")]
    pub nodes: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    /// Show every node that is refused, not only the counts. Cut at 10,000.
    #[prost(bool, tag = "5")]
    pub refused_nodes: bool,
    #[prost(oneof = "explain_request::Which", tags = "1, 2")]
    pub which: ::core::option::Option<explain_request::Which>,
}
/// Nested message and enum types in `ExplainRequest`.
pub mod explain_request {
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Which {
        /// A pod that waits, or one that is placed (as if it came anew, beside itself).
        #[prost(string, tag = "1")]
        Uid(::prost::alloc::string::String),
        /// A pod that need not be known.
        #[prost(message, tag = "2")]
        Pod(super::PodRequest),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ExplainResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// Nodes that would take the pod.
    #[prost(uint32, tag = "2")]
    pub feasible: u32,
    /// Nodes there are.
    #[prost(uint32, tag = "3")]
    pub nodes: u32,
    /// The node that would be chosen; empty: none.
    #[prost(string, tag = "4")]
    pub chosen: ::prost::alloc::string::String,
    /// Why not, where there is none.
    #[prost(message, optional, tag = "5")]
    pub refused: ::core::option::Option<Refused>,
    /// Best first, then the nodes asked for, then refused ones.
    #[prost(message, repeated, tag = "6")]
    pub verdicts: ::prost::alloc::vec::Vec<NodeVerdict>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NodeVerdict {
    #[prost(string, tag = "1")]
    pub node: ::prost::alloc::string::String,
    #[prost(bool, tag = "2")]
    pub feasible: bool,
    /// Of a feasible node: sum of weight x score.
    #[prost(int64, tag = "3")]
    pub total: i64,
    #[prost(message, repeated, tag = "4")]
    pub scores: ::prost::alloc::vec::Vec<ScoreTerm>,
    /// Of a refused one: the first rule that refuses, its reasons in Kubernetes' words, and whether preemption may help
    /// ("Unschedulable") or not ("UnschedulableAndUnresolvable").
    #[prost(string, tag = "5")]
    pub plugin: ::prost::alloc::string::String,
    #[prost(string, repeated, tag = "6")]
    pub reasons: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
    #[prost(string, tag = "7")]
    pub code: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ScoreTerm {
    #[prost(string, tag = "1")]
    pub plugin: ::prost::alloc::string::String,
    /// Normalised, 0 to 100.
    #[prost(int64, tag = "2")]
    pub score: i64,
    #[prost(int64, tag = "3")]
    pub weight: i64,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetNodeRequest {
    #[prost(string, tag = "1")]
    pub name: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetNodeResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(message, optional, tag = "2")]
    pub node: ::core::option::Option<NodeInfo>,
}
/// A node, and what is on it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct NodeInfo {
    #[prost(message, optional, tag = "1")]
    pub node: ::core::option::Option<Node>,
    /// What its pods request in all, leased ones included.
    #[prost(btree_map = "string, string", tag = "2")]
    pub requested: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(uint32, tag = "3")]
    pub pods: u32,
}
/// Lists come in pages, by name (pods: in an order that stays the same while pods come and go). Each page is consistent in
/// itself, at its own revision; it may be shorter than asked for with more to come: the token says. To follow a list without a
/// gap, watch from the first page's revision on.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListNodesRequest {
    /// At most 1,000; 0: 1,000.
    #[prost(uint32, tag = "1")]
    pub page_size: u32,
    /// `next_page_token` of the page before.
    #[prost(string, tag = "2")]
    pub page_token: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListNodesResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(message, repeated, tag = "2")]
    pub nodes: ::prost::alloc::vec::Vec<NodeInfo>,
    /// Empty: this is the last page.
    #[prost(string, tag = "3")]
    pub next_page_token: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetPodRequest {
    #[prost(string, tag = "1")]
    pub uid: ::prost::alloc::string::String,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetPodResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(message, optional, tag = "2")]
    pub pod: ::core::option::Option<PodInfo>,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct PodInfo {
    #[prost(string, tag = "1")]
    pub uid: ::prost::alloc::string::String,
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    #[prost(string, tag = "3")]
    pub name: ::prost::alloc::string::String,
    #[prost(enumeration = "PodState", tag = "4")]
    pub state: i32,
    /// Where it is placed, bound or nominated.
    #[prost(string, tag = "5")]
    pub node: ::prost::alloc::string::String,
    /// The revision at which it got into this state.
    #[prost(uint64, tag = "6")]
    pub since_revision: u64,
    #[prost(int64, tag = "7")]
    pub lease_until_unix_ms: i64,
    /// Of a waiting pod.
    #[prost(message, optional, tag = "8")]
    pub queued: ::core::option::Option<Queued>,
    #[prost(int32, tag = "9")]
    pub priority: i32,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListPodsRequest {
    /// At most 1,000; 0: 1,000.
    #[prost(uint32, tag = "1")]
    pub page_size: u32,
    #[prost(string, tag = "2")]
    pub page_token: ::prost::alloc::string::String,
    /// Only pods on this node.
    #[prost(string, tag = "3")]
    pub node: ::prost::alloc::string::String,
    /// Only pods of this namespace.
    #[prost(string, tag = "4")]
    pub namespace: ::prost::alloc::string::String,
    /// Only pods in this state.
    #[prost(enumeration = "PodState", tag = "5")]
    pub state: i32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListPodsResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(message, repeated, tag = "2")]
    pub pods: ::prost::alloc::vec::Vec<PodInfo>,
    #[prost(string, tag = "3")]
    pub next_page_token: ::prost::alloc::string::String,
}
/// The classes of equal pods that are compiled at the moment, largest first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct ListClassesRequest {
    /// At most 10,000; 0: 100.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListClassesResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(message, repeated, tag = "2")]
    pub classes: ::prost::alloc::vec::Vec<ClassInfo>,
    /// How many there are in all.
    #[prost(uint32, tag = "3")]
    pub count: u32,
    /// What they take together.
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ClassInfo {
    #[prost(uint32, tag = "1")]
    pub class: u32,
    #[prost(string, tag = "2")]
    pub namespace: ::prost::alloc::string::String,
    /// Decisions about pods of this class since it was compiled.
    #[prost(uint64, tag = "3")]
    pub decisions: u64,
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
    #[prost(btree_map = "string, string", tag = "5")]
    pub requests: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(btree_map = "string, string", tag = "6")]
    pub labels: ::prost::alloc::collections::BTreeMap<
        ::prost::alloc::string::String,
        ::prost::alloc::string::String,
    >,
    #[prost(int32, tag = "7")]
    pub priority: i32,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct StatsRequest {}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct StatsResponse {
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    #[prost(string, tag = "2")]
    pub version: ::prost::alloc::string::String,
    #[prost(uint64, tag = "3")]
    pub uptime_ms: u64,
    #[prost(uint32, tag = "4")]
    pub nodes: u32,
    /// Placed, leased and bound.
    #[prost(uint32, tag = "5")]
    pub pods: u32,
    #[prost(uint32, tag = "6")]
    pub leased: u32,
    #[prost(uint32, tag = "7")]
    pub nominated: u32,
    /// Waiting, by queue.
    #[prost(uint32, tag = "8")]
    pub queued_active: u32,
    #[prost(uint32, tag = "9")]
    pub queued_backoff: u32,
    #[prost(uint32, tag = "10")]
    pub queued_unschedulable: u32,
    #[prost(uint32, tag = "11")]
    pub queued_gated: u32,
    #[prost(uint32, tag = "12")]
    pub templates: u32,
    #[prost(uint32, tag = "13")]
    pub classes: u32,
    #[prost(uint64, tag = "14")]
    pub class_bytes: u64,
    /// Since the start.
    #[prost(uint64, tag = "15")]
    pub placed_total: u64,
    #[prost(uint64, tag = "16")]
    pub refused_total: u64,
    #[prost(uint64, tag = "17")]
    pub released_total: u64,
    #[prost(uint64, tag = "18")]
    pub overloaded_total: u64,
    /// Streams and watches that are open.
    #[prost(uint32, tag = "19")]
    pub streams: u32,
    #[prost(uint32, tag = "20")]
    pub watches: u32,
    /// Absent without a journal.
    #[prost(message, optional, tag = "21")]
    pub journal: ::core::option::Option<JournalStats>,
}
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct JournalStats {
    /// Bytes on disk: the log, and the snapshot.
    #[prost(uint64, tag = "1")]
    pub log_bytes: u64,
    #[prost(uint64, tag = "2")]
    pub snapshot_bytes: u64,
    #[prost(uint64, tag = "3")]
    pub records_total: u64,
    #[prost(uint64, tag = "4")]
    pub fsyncs_total: u64,
    /// "ok", "disk full" or "failed".
    #[prost(string, tag = "5")]
    pub state: ::prost::alloc::string::String,
}
/// Generated client implementations.
pub mod scheduler_client {
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
    pub struct SchedulerClient<T> {
        inner: tonic::client::Grpc<T>,
    }
    impl<T> SchedulerClient<T>
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
        ) -> SchedulerClient<InterceptedService<T, F>>
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
            SchedulerClient::new(InterceptedService::new(inner, interceptor))
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
        /// Places pods: one call, one batch.
        pub async fn schedule(
            &mut self,
            request: impl tonic::IntoRequest<super::ScheduleRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ScheduleResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Schedule",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Schedule"));
            self.inner.unary(req, path, codec).await
        }
        /// Places pods, pipelined: the client sends without waiting, answers come in order; queued pods are decided later here too.
        /// After the client has closed its side, the stream goes on until everything is answered and decided. When it breaks, its queued
        /// pods go on waiting; their decisions then come on Watch. A client that leaves answers unread is not read either, and its
        /// connection is cut after 30 s.
        pub async fn schedule_stream(
            &mut self,
            request: impl tonic::IntoStreamingRequest<Message = super::StreamRequest>,
        ) -> std::result::Result<
            tonic::Response<tonic::codec::Streaming<super::StreamResponse>>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/ScheduleStream",
            );
            let mut req = request.into_streaming_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new("berth.scheduler.v1.Scheduler", "ScheduleStream"),
                );
            self.inner.streaming(req, path, codec).await
        }
        /// Registers a spec under a number, so that pods need not carry it.
        pub async fn register_template(
            &mut self,
            request: impl tonic::IntoRequest<super::RegisterTemplateRequest>,
        ) -> std::result::Result<
            tonic::Response<super::RegisterTemplateResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/RegisterTemplate",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new("berth.scheduler.v1.Scheduler", "RegisterTemplate"),
                );
            self.inner.unary(req, path, codec).await
        }
        pub async fn drop_templates(
            &mut self,
            request: impl tonic::IntoRequest<super::DropTemplatesRequest>,
        ) -> std::result::Result<
            tonic::Response<super::DropTemplatesResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/DropTemplates",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(
                    GrpcMethod::new("berth.scheduler.v1.Scheduler", "DropTemplates"),
                );
            self.inner.unary(req, path, codec).await
        }
        /// Gives places back.
        pub async fn release(
            &mut self,
            request: impl tonic::IntoRequest<super::ReleaseRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ReleaseResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Release",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Release"));
            self.inner.unary(req, path, codec).await
        }
        /// Makes leased placements final.
        pub async fn confirm(
            &mut self,
            request: impl tonic::IntoRequest<super::ConfirmRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ConfirmResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Confirm",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Confirm"));
            self.inner.unary(req, path, codec).await
        }
        /// Takes waiting pods out of the queue.
        pub async fn cancel(
            &mut self,
            request: impl tonic::IntoRequest<super::CancelRequest>,
        ) -> std::result::Result<tonic::Response<super::CancelResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Cancel",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Cancel"));
            self.inner.unary(req, path, codec).await
        }
        /// Tells of changes: nodes, pods bound by others, and what else placement depends on.
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Apply",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Apply"));
            self.inner.unary(req, path, codec).await
        }
        /// Replaces all nodes, and says what differed.
        pub async fn sync_nodes(
            &mut self,
            request: impl tonic::IntoStreamingRequest<Message = super::SyncNodesRequest>,
        ) -> std::result::Result<tonic::Response<super::SyncResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/SyncNodes",
            );
            let mut req = request.into_streaming_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "SyncNodes"));
            self.inner.client_streaming(req, path, codec).await
        }
        /// Replaces all bound pods, and says what differed.
        pub async fn sync_pods(
            &mut self,
            request: impl tonic::IntoStreamingRequest<Message = super::SyncPodsRequest>,
        ) -> std::result::Result<tonic::Response<super::SyncResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/SyncPods",
            );
            let mut req = request.into_streaming_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "SyncPods"));
            self.inner.client_streaming(req, path, codec).await
        }
        /// Says what would be decided, and why.
        pub async fn explain(
            &mut self,
            request: impl tonic::IntoRequest<super::ExplainRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ExplainResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Explain",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Explain"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn get_node(
            &mut self,
            request: impl tonic::IntoRequest<super::GetNodeRequest>,
        ) -> std::result::Result<
            tonic::Response<super::GetNodeResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/GetNode",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "GetNode"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn list_nodes(
            &mut self,
            request: impl tonic::IntoRequest<super::ListNodesRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ListNodesResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/ListNodes",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "ListNodes"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn get_pod(
            &mut self,
            request: impl tonic::IntoRequest<super::GetPodRequest>,
        ) -> std::result::Result<tonic::Response<super::GetPodResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/GetPod",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "GetPod"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn list_pods(
            &mut self,
            request: impl tonic::IntoRequest<super::ListPodsRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ListPodsResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/ListPods",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "ListPods"));
            self.inner.unary(req, path, codec).await
        }
        pub async fn list_classes(
            &mut self,
            request: impl tonic::IntoRequest<super::ListClassesRequest>,
        ) -> std::result::Result<
            tonic::Response<super::ListClassesResponse>,
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/ListClasses",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "ListClasses"));
            self.inner.unary(req, path, codec).await
        }
        /// Follows decisions and changes.
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
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Watch",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Watch"));
            self.inner.server_streaming(req, path, codec).await
        }
        pub async fn stats(
            &mut self,
            request: impl tonic::IntoRequest<super::StatsRequest>,
        ) -> std::result::Result<tonic::Response<super::StatsResponse>, tonic::Status> {
            self.inner
                .ready()
                .await
                .map_err(|e| {
                    tonic::Status::unknown(
                        format!("Service was not ready: {}", e.into()),
                    )
                })?;
            let codec = tonic_prost::ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static(
                "/berth.scheduler.v1.Scheduler/Stats",
            );
            let mut req = request.into_request();
            req.extensions_mut()
                .insert(GrpcMethod::new("berth.scheduler.v1.Scheduler", "Stats"));
            self.inner.unary(req, path, codec).await
        }
    }
}
