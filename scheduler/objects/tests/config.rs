// SPDX-License-Identifier: Apache-2.0
//! Configurations of kube-scheduler: defaults, merging of plugin lists, arguments, and how mistakes are told.

use berth_scheduler_model::profile::{DefaultSpread, FitStrategy, Profile};
use berth_scheduler_model::rules::Plugin;
use berth_scheduler_objects::config::{Configuration, configuration, profile_text};

fn profile(text: &str) -> Profile {
    profile_text(text).expect("the profile can be read")
}

fn problems(text: &str) -> Vec<String> {
    let error = configuration(text).expect_err("the configuration is wrong");
    error.problems.iter().map(ToString::to_string).collect()
}

fn weight(profile: &Profile, plugin: Plugin) -> i64 {
    profile.weights[plugin as usize]
}

#[test]
fn an_empty_configuration_is_upstreams_default() {
    let read = configuration(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n",
    );
    assert_eq!(read, Ok(Configuration::default()));
    assert_eq!(profile("{}"), Profile::default());
    assert_eq!(profile("schedulerName: default-scheduler\nplugins: {}\n"), Profile::default());
}

#[test]
fn a_whole_configuration_is_read() {
    let read = configuration(
        r"
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
parallelism: 16
percentageOfNodesToScore: 50
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 30
enableProfiling: true
leaderElection: {leaderElect: false, leaseDuration: 1m30s, resourceName: berth}
clientConnection: {kubeconfig: /etc/kubeconfig, qps: 50.5, burst: 100}
profiles:
- schedulerName: spread
- schedulerName: pack
  percentageOfNodesToScore: 100
  plugins:
    multiPoint:
      disabled: [{name: ImageLocality}]
      enabled: [{name: NodeResourcesFit, weight: 5}]
    score:
      disabled: [{name: PodTopologySpread}]
      enabled: [{name: TaintToleration, weight: 7}]
    postFilter:
      disabled: [{name: '*'}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      ignoredResources: [example.com/foo]
      scoringStrategy:
        type: RequestedToCapacityRatio
        resources: [{name: cpu, weight: 3}, {name: example.com/bar}]
        requestedToCapacityRatio:
          shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]
",
    )
    .expect("the configuration can be read");
    assert_eq!(read.pod_initial_backoff_seconds, 2);
    assert_eq!(read.pod_max_backoff_seconds, 30);
    assert!(!read.leader_election.leader_elect);
    assert_eq!(read.leader_election.lease_duration_ms, 90_000);
    assert_eq!(read.leader_election.resource_name, "berth");
    assert_eq!(read.client_connection.qps, Some(51));
    let [spread, pack] = &read.profiles[..] else { panic!("two profiles") };
    assert_eq!(*spread, Profile { name: "spread".into(), ..Profile::default() });
    assert_eq!(&*pack.name, "pack");
    assert!(!pack.preemption);
    assert_eq!(weight(pack, Plugin::NodeResourcesFit), 5);
    assert_eq!(weight(pack, Plugin::TaintToleration), 7);
    assert_eq!(weight(pack, Plugin::ImageLocality), 0);
    assert_eq!(weight(pack, Plugin::PodTopologySpread), 0);
    assert!(pack.filters[Plugin::PodTopologySpread as usize]);
    assert_eq!(weight(pack, Plugin::InterPodAffinity), 2);
    assert_eq!(
        pack.fit,
        FitStrategy::RequestedToCapacityRatio {
            resources: vec![("cpu".into(), 3), ("example.com/bar".into(), 1)],
            shape: vec![(0, 0), (100, 10)],
        }
    );
}

#[test]
fn all_score_plugins_can_be_replaced() {
    let read = profile(
        r#"{"plugins": {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeAffinity"}]}}}"#,
    );
    let scoring: Vec<Plugin> =
        Plugin::ALL.into_iter().filter(|plugin| weight(&read, *plugin) > 0).collect();
    assert_eq!(scoring, [Plugin::NodeAffinity]);
    // Named again at `score` without a weight: the default weight is not taken over.
    assert_eq!(weight(&read, Plugin::NodeAffinity), 1);
    assert_eq!(read.filters, Profile::default().filters);
}

#[test]
fn multi_point_can_start_from_nothing() {
    let read = profile(
        r"
plugins:
  multiPoint:
    disabled: [{name: '*'}]
    enabled: [{name: SchedulingGates}, {name: PrioritySort}, {name: NodeResourcesFit, weight: 2}, {name: DefaultBinder}]
",
    );
    let filtering: Vec<Plugin> =
        Plugin::ALL.into_iter().filter(|plugin| read.filters[*plugin as usize]).collect();
    assert_eq!(filtering, [Plugin::NodeResourcesFit]);
    assert_eq!(weight(&read, Plugin::NodeResourcesFit), 2);
    assert!(!read.preemption);
}

#[test]
fn a_filter_can_be_turned_off_where_nothing_else_depends_on_it() {
    let read = profile("plugins: {filter: {disabled: [{name: TaintToleration}]}}");
    assert!(!read.filters[Plugin::TaintToleration as usize]);
    assert_eq!(weight(&read, Plugin::TaintToleration), 3);
    let wrong = profile_text("plugins: {filter: {disabled: [{name: NodeAffinity}]}}");
    assert_eq!(
        wrong.expect_err("half of it").to_string(),
        "plugins.filter: not supported by this scheduler: NodeAffinity at preFilter without filter"
    );
}

#[test]
fn arguments_have_upstreams_defaults() {
    let read = profile(
        r"
pluginConfig:
- name: NodeResourcesFit
  args: {scoringStrategy: {type: MostAllocated}}
- name: NodeResourcesBalancedAllocation
  args: {resources: [{name: cpu, weight: 1}, {name: nvidia.com/gpu}]}
- name: InterPodAffinity
  args: {hardPodAffinityWeight: 0, ignorePreferredTermsOfExistingPods: true}
- name: NodeAffinity
  args:
    addedAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: NotIn, values: [hdd]}]}]
- name: PodTopologySpread
  args:
    defaultingType: List
    defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
- name: DefaultPreemption
  args: {minCandidateNodesPercentage: 100}
- name: VolumeBinding
  args: {bindTimeoutSeconds: 60}
",
    );
    let both = vec![("cpu".into(), 1), ("memory".into(), 1)];
    assert_eq!(read.fit, FitStrategy::MostAllocated(both));
    assert_eq!(read.balanced[..], ["cpu".into(), "nvidia.com/gpu".into()]);
    assert_eq!(read.hard_pod_affinity_weight, 0);
    assert!(read.ignore_preferred_of_existing && read.added_required.is_some());
    let DefaultSpread::List(list) = read.default_spread else { panic!("a list") };
    assert!(list.len() == 1 && list[0].honor_affinity && !list[0].honor_taints && !list[0].hard);
}

#[test]
fn every_problem_is_told_with_its_path() {
    let got = problems(
        r"
apiVersion: kubescheduler.config.k8s.io/v1beta3
kind: KubeSchedulerConfiguration
parallelism: 0
podInitialBackoffSeconds: 20
extenders: [{urlPrefix: 'http://x'}]
colour: blue
profiles:
- schedulerName: a
  plugins:
    score:
      enabled: [{name: BestFit}, {name: NodePorts}, {name: NodeAffinity, weight: -1}]
    bind:
      disabled: [{name: DefaultBinder}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy:
        type: Tightest
        resources: [{name: cpu, weight: 101}]
  - name: NodeResourcesFit
    args: {}
  - name: Coscheduling
  - name: InterPodAffinity
    args: {hardPodAffinityWeight: many}
  - name: PodTopologySpread
    args:
      defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: Maybe}]
- schedulerName: a
- plugins: {}
",
    );
    let want = [
        "apiVersion: \"kubescheduler.config.k8s.io/v1beta3\" is not one of \
         kubescheduler.config.k8s.io/v1",
        "podMaxBackoffSeconds: must not be below podInitialBackoffSeconds",
        "parallelism: 0 is not within 1..=2147483647",
        "extenders: not supported by this scheduler: extenders",
        "profiles[0].plugins.bind: not supported by this scheduler: bind without DefaultBinder",
        "profiles[0].plugins.score.enabled[1].name: \"NodePorts\" is not one of TaintToleration, \
         NodeAffinity, NodeResourcesFit, VolumeBinding, PodTopologySpread, InterPodAffinity, \
         DynamicResources, NodeResourcesBalancedAllocation, ImageLocality",
        "profiles[0].plugins.score.enabled[2].weight: -1 is not within 0..=1000000",
        "profiles[0].pluginConfig[0].args.scoringStrategy.resources[0].weight: 101 is not within \
         0..=100",
        "profiles[0].pluginConfig[0].args.scoringStrategy.type: \"Tightest\" is not one of \
         LeastAllocated, MostAllocated, RequestedToCapacityRatio",
        "profiles[0].pluginConfig[1].name: listed twice",
        "profiles[0].pluginConfig[3].args.hardPodAffinityWeight: expected a whole number",
        "profiles[0].pluginConfig[4].args.defaultConstraints[0].whenUnsatisfiable: \"Maybe\" is \
         not one of DoNotSchedule, ScheduleAnyway",
        "profiles[1].schedulerName: another profile has the same name",
        "profiles[2].schedulerName: missing",
    ];
    for message in want {
        assert!(got.iter().any(|line| line == message), "not told: {message}\ngot: {got:#?}");
    }
    for start in [
        "profiles[0].plugins.score.enabled[0].name: \"BestFit\" is not one of ",
        "profiles[0].pluginConfig[2].name: \"Coscheduling\" is not one of ",
        "colour: unknown field; known here are apiVersion, clientConnection, ",
    ] {
        assert!(got.iter().any(|line| line.starts_with(start)), "not told: {start}");
    }
    assert_eq!(got.len(), want.len() + 3, "{got:#?}");
}

#[test]
fn weights_must_fit_the_engines_lanes() {
    let text = "plugins: {score: {enabled: [{name: NodeResourcesFit, weight: 39}]}}";
    assert_eq!(
        profile_text(text).expect_err("41 in all").to_string(),
        "plugins.score: the weights of NodeResourcesFit, NodeResourcesBalancedAllocation, \
         ImageLocality sum up to 41; at most 40 are possible"
    );
}

#[test]
fn what_is_no_document_is_refused() {
    assert_eq!(problems("[1, 2"), problems("[1, 2"));
    assert!(configuration("{\"a\": ").is_err());
    assert!(configuration("just text").is_err());
    assert_eq!(
        problems("{}"),
        ["apiVersion: missing", "kind: missing"],
        "a configuration says what it is"
    );
    let shape = profile_text("pluginConfig: {a: 1}\nplugins: [1]\n").expect_err("shapes");
    assert_eq!(shape.to_string(), "plugins: expected an object\npluginConfig: expected a list");
}

#[test]
fn a_curve_must_rise_and_be_there() {
    let strategy = |rest: &str| {
        let text = format!(
            "pluginConfig: [{{name: NodeResourcesFit, args: {{scoringStrategy: {{type: \
             RequestedToCapacityRatio{rest}}}}}}}]"
        );
        profile_text(&text).expect_err("no good curve").to_string()
    };
    let at = "pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio";
    assert_eq!(strategy(""), format!("{at}: missing"));
    assert_eq!(strategy(", requestedToCapacityRatio: {shape: []}"), format!("{at}.shape: missing"));
    assert_eq!(
        strategy(", requestedToCapacityRatio: {shape: [{utilization: 5}, {utilization: 5}]}"),
        format!("{at}.shape[1].utilization: must rise from point to point")
    );
}
